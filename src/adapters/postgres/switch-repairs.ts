import type { Queryable } from './database.ts';
import type { StagePlace } from './stages.ts';

/** What one side of a path still lacks, of one flag. */
export interface OpenRepairs {
  /** Keys that wait for a repair or are under repair; a key that lacks on both sides counts twice. */
  open: number;
  /** Keys that lack on both sides: nobody repairs them by machine, because each side may hold what the other hasn't. */
  bothSides: number;
  /** How often a key has been tried at most. */
  attemptsMax: number;
  /** Seconds since the oldest was queued; 0 where there is none. */
  oldestSeconds: number;
  /** What the last failures were, most frequent first: SQLSTATEs or names of errors, never what they say. */
  classes: readonly { errorClass: string; count: number }[];
}

/** A write that is announced and not overdue is under way: its call is waited for, not its repair. */
const COUNTS = `environment = $1 AND flag = $2
  AND NOT (journal AND attempts = 0 AND not_before > statement_timestamp())`;

/** `lacking`: only what this side lacks; null: what either does. */
export async function openRepairs(
  session: Queryable,
  { environment, flag }: StagePlace,
  lacking: 'old' | 'new' | null = null,
): Promise<OpenRepairs> {
  const rows = await session.query(
    `WITH either AS (SELECT * FROM switchback.repairs WHERE ${COUNTS}),
       open AS (SELECT * FROM either WHERE $3::text IS NULL OR side = $3)
     SELECT error_class, count(DISTINCT (side, key)) AS count, max(attempts) AS attempts_max,
       floor(extract(epoch FROM clock_timestamp() - min(queued_at))) AS oldest_seconds,
       (SELECT count(DISTINCT (side, key)) FROM open) AS open,
       (SELECT count(*) FROM (SELECT key FROM either GROUP BY key HAVING count(DISTINCT side) = 2) AS two) AS both_sides
     FROM open GROUP BY error_class ORDER BY count(*) DESC, error_class`,
    [environment, flag, lacking],
  );
  const most = (column: string): number => Math.max(0, ...rows.map((row) => Number(row[column])));
  return {
    open: Number(rows[0]?.['open'] ?? 0),
    bothSides: Number(rows[0]?.['both_sides'] ?? 0),
    attemptsMax: most('attempts_max'),
    oldestSeconds: most('oldest_seconds'),
    classes: rows.map((row) => ({ errorClass: row['error_class'] ?? '', count: Number(row['count']) })),
  };
}

/**
 * Orders the drain: what waits after a failed repair is due at once, and answers with what is open. Instances of services
 * do the work, since only they know how.
 */
export async function drainRepairs(
  session: Queryable,
  place: StagePlace,
  lacking: 'old' | 'new' | null = null,
): Promise<OpenRepairs> {
  await session.query(
    `UPDATE switchback.repairs SET not_before = statement_timestamp()
     WHERE ${COUNTS} AND taken_by IS NULL AND not_before > statement_timestamp()`,
    [place.environment, place.flag],
  );
  return openRepairs(session, place, lacking);
}

/**
 * Takes off the keys that were queued before `before`, by the database's clock: a comparison of all rows that began then has
 * found no difference. Answers how many keys that were. What is queued since, or under repair, stays.
 */
export async function provenRepaired(session: Queryable, place: StagePlace, before: string): Promise<number> {
  const rows = await session.query(
    `DELETE FROM switchback.repairs WHERE ${COUNTS} AND taken_by IS NULL AND last_failed_at < $3::timestamptz RETURNING key`,
    [place.environment, place.flag, before],
  );
  return rows.length;
}

/** Forgets what `side` lacks: at this stage it is neither read nor written. */
export async function dropRepairs(
  session: Queryable,
  { environment, flag }: StagePlace,
  side: 'old' | 'new',
): Promise<void> {
  await session.query('DELETE FROM switchback.repairs WHERE environment = $1 AND flag = $2 AND side = $3', [
    environment,
    flag,
    side,
  ]);
}
