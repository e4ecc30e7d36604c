import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteIdentifier } from './identifier.ts';
import { keyAfter, keyText, keyUpTo, keyValues } from './range-key.ts';
import type { Place, RangeOwner, RangeRow } from './range-ledger.ts';
import { searchPath } from './table-expressions.ts';
import type { Comparison } from './verify.ts';
import type { RangeOn, Repaired } from './verify-repair.ts';

/** After the place `lower` up to `upper`; null: from the first row, and to the last. */
export interface Between {
  lower: Place | null;
  upper: Place | null;
}
/** How much a statement may take. */
export interface StatementLimits {
  /** Postgres ends it after that; null: it takes what it takes. */
  timeoutMs: number | null;
  /** Processes beside the session's own; null: as many as the server gives. */
  workers: number | null;
}
export interface RowsFound {
  checked: number;
  differing: number;
}
export interface ChunkFound extends RowsFound {
  repaired: Repaired;
  /** Rows that differ, at most `SAMPLE_MAX`. */
  sample: SampleRow[];
}
/** A row that differs; `values` are words about its columns, empty unless they were asked for. */
export interface SampleRow {
  key: Place;
  values: string[];
}
export const SAMPLE_MAX = 20;
/** A longer value is cut off: the start of it tells people which one it is. */
const VALUE_CHARACTERS_MAX = 60;
const ROW_LOCK_TIMEOUT_MS = 200;
const NOTHING: Repaired = { rows: 0, digests: { before: null, after: null } };

/** A statement was ended by its time limit (or by an administrator: then a shorter one is no harm). */
export const isTimeout = (error: unknown): boolean => error instanceof PostgresError && error.sqlState === '57014';

/**
 * Counts the rows that differ, by one statement and so in one snapshot. Where the cheap form of the comparison fails on a
 * row, the other one is asked. `session` must be in a transaction that does nothing else.
 */
export async function countDiffering(
  session: Queryable,
  comparison: Comparison,
  between: Between,
  { timeoutMs, workers }: StatementLimits,
): Promise<RowsFound> {
  const within = boundsOf(comparison, between);
  await session.query(
    `SET LOCAL search_path = ${searchPath(comparison.shape.schema)}; SET LOCAL statement_timeout = ${timeoutMs ?? 0};
     SET LOCAL lock_timeout = ${ROW_LOCK_TIMEOUT_MS}${workers === null ? '' : `; SET LOCAL max_parallel_workers_per_gather = ${workers}`}`,
  );
  return counted(session, comparison, within);
}

async function counted(session: Queryable, comparison: Comparison, within: Bounds): Promise<RowsFound> {
  const { asked, differs } = comparison;
  const from = fromOf(comparison, within);
  const [row] = await session.query(
    `SELECT count(*) AS checked, count(*) FILTER (WHERE ${differs}) AS differing FROM ${from} WHERE ${within.sql} AND ${asked}`,
    within.values,
  );
  return { checked: Number(row?.['checked']), differing: Number(row?.['differing']) };
}

/**
 * Compares the rows of a range, shows some that differ, and repairs where asked. `session` must be in a transaction, in
 * which the caller has made sure that the range is still its own.
 */
export async function compareChunk(
  session: Queryable,
  comparison: Comparison,
  between: Between,
  { repair, showValues }: { repair: boolean; showValues: boolean },
): Promise<ChunkFound> {
  const within = boundsOf(comparison, between);
  await session.query(
    `SET LOCAL search_path = ${searchPath(comparison.shape.schema)}; SET LOCAL lock_timeout = ${ROW_LOCK_TIMEOUT_MS}`,
  );
  const found: ChunkFound = { ...(await counted(session, comparison, within)), repaired: NOTHING, sample: [] };
  if (found.differing > 0) {
    found.sample = await sampleOf(session, comparison, within, showValues);
    if (repair) found.repaired = await repairRows(session, comparison, within);
  }
  await session.query('SET LOCAL search_path = pg_catalog');
  return found;
}

interface Bounds {
  sql: string;
  on: RangeOn;
  values: (Place | null)[];
}

function boundsOf({ key, shape }: Comparison, { lower, upper }: Between): Bounds {
  if (key === null || upper === null) return { sql: 'true', on: () => 'true', values: [] };
  const on: RangeOn = (of, alias) => {
    const upTo = keyUpTo(of, alias, keyValues(of, '$1::text[]'));
    return lower === null ? upTo : `${keyAfter(of, alias, keyValues(of, '$2::text[]'))} AND ${upTo}`;
  };
  return { sql: on(key, quoteIdentifier(shape.table)), on, values: lower === null ? [upper] : [upper, lower] };
}

const fromOf = ({ from, fromWithin }: Comparison, { on }: Bounds): string => fromWithin?.(on) ?? from;

async function sampleOf(
  session: Queryable,
  comparison: Comparison,
  within: Bounds,
  showValues: boolean,
): Promise<SampleRow[]> {
  const { key, shape, asked, differs, columns } = comparison;
  const from = fromOf(comparison, within);
  const place = key === null ? 'ARRAY[]::text[]' : keyText(key, quoteIdentifier(shape.table));
  if (key === null && !showValues) return [];
  const values = columns.map(
    (column) =>
      `CASE WHEN ${column.counts} AND ${column.differs} THEN json_build_array(${[column.actual, column.expected].map(shortened).join(', ')}) END`,
  );
  const rows = await session.query(
    `SELECT to_json(${place})::text AS place, json_build_array(${showValues ? values.join(', ') : ''})::text AS found
     FROM ${from} WHERE ${within.sql} AND ${asked} AND ${differs} LIMIT ${SAMPLE_MAX}`,
    within.values,
  );
  return rows.map((row) => {
    const found = JSON.parse(row['found'] ?? '[]') as ([string | null, string | null] | null)[];
    return {
      key: JSON.parse(row['place'] ?? '[]') as Place,
      values: found.flatMap((pair, index) =>
        pair === null ? [] : [`${columns[index]?.name} is ${shown(pair[0])}, not ${shown(pair[1])}`],
      ),
    };
  });
}
const shortened = (value: string): string => `left((${value})::text, ${VALUE_CHARACTERS_MAX + 1})`;
const shown = (text: string | null): string => {
  if (text === null) return 'NULL';
  return text.length > VALUE_CHARACTERS_MAX ? `'${text.slice(0, VALUE_CHARACTERS_MAX)}…'` : `'${text}'`;
};

/** Rows that can't take the repair stay as they are and are found again by the next pass. */
async function repairRows(session: Queryable, { repair, differs }: Comparison, within: Bounds): Promise<Repaired> {
  if (repair === null) return NOTHING;
  await session.query('SAVEPOINT zz_repair');
  try {
    const [row] = await session.query(repair(within.sql, differs, within.on), within.values);
    await session.query('RELEASE SAVEPOINT zz_repair');
    return {
      rows: Number(row?.['rows']),
      digests: { before: row?.['before_digest'] ?? null, after: row?.['after_digest'] ?? null },
    };
  } catch (error) {
    if (!(error instanceof PostgresError) || !/^(22|23|P0)/.test(error.sqlState)) throw error;
    await session.query('ROLLBACK TO SAVEPOINT zz_repair; RELEASE SAVEPOINT zz_repair');
    return NOTHING;
  }
}

/**
 * Ends ranges that one statement has found clean: `checked` rows, which are counted in the first of them. The session
 * must hold the fence. False where another worker has ended one of them meanwhile: then nothing of it may be kept.
 */
export async function endRanges(
  session: Queryable,
  owner: RangeOwner,
  ranges: readonly RangeRow[],
  checked: number,
): Promise<boolean> {
  const ended = await session.query(
    `UPDATE switchback.ranges SET cursor_key = upper_key, keys_done = CASE WHEN id = $3 THEN $4::bigint ELSE 0 END, state = 'done', updated_at = clock_timestamp()
     WHERE id = ANY ($1::bigint[]) AND generation = $2 AND state = 'open' RETURNING 1 AS ended`,
    [ranges.map(({ id }) => id), owner.run.generation, ranges[0]?.id ?? null, checked],
  );
  return ended.length === ranges.length;
}

export const mismatch = (
  step: string,
  found: { differing: number; checked: number; keys: string; values: string; hint: string; hold: boolean },
): SwitchbackError =>
  new SwitchbackError(
    'VerifyMismatch',
    `${found.differing.toLocaleString('en-US')} of ${found.checked.toLocaleString('en-US')} rows differ from what step "${step}" expects${found.keys === '' ? '' : `: key ${found.keys}`}${found.values === '' ? '' : `; ${found.values}`}`,
    {
      hint: found.hint,
      fields: {
        step,
        differing: found.differing,
        checked: found.checked,
        keys: found.keys,
        ...(found.hold && { hold: true }),
      },
    },
  );
