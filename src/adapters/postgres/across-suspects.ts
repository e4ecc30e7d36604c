import type { Queryable } from './database.ts';
import { type Place, placeOf, type RangeOwner } from './range-ledger.ts';
import { OF_STEP, stepValues } from './step-row.ts';

/** Keys that a comparison of two tables has still to judge: kept with the ranges, so that a crash forgets none. */
const PLACES = 'SELECT ARRAY(SELECT json_array_elements_text(e)) FROM json_array_elements($5::json) e';

export async function addSuspects(session: Queryable, owner: RangeOwner, places: readonly Place[]): Promise<void> {
  if (places.length === 0) return;
  await session.query(
    `INSERT INTO switchback.suspects (migration, version, epoch, step, key) SELECT $1, $2, $3, $4, p.key
     FROM (${PLACES}) p (key) ON CONFLICT DO NOTHING`,
    [...stepValues(owner), JSON.stringify(places)],
  );
}

/** The first that wait for their verdict, at most `limit`. */
export async function listSuspects(session: Queryable, owner: RangeOwner, limit: number): Promise<Place[]> {
  const rows = await session.query(
    `SELECT to_json(key)::text AS key FROM switchback.suspects WHERE ${OF_STEP} AND NOT hot ORDER BY key LIMIT $5`,
    [...stepValues(owner), limit],
  );
  return rows.map((row) => placeOf(row['key']) ?? []);
}

/** Takes these away, or all of them. Answers with how many there were. */
export async function removeSuspects(
  session: Queryable,
  owner: RangeOwner,
  places: readonly Place[] | null,
): Promise<number> {
  const [row] =
    places === null
      ? await session.query(
          `WITH gone AS (DELETE FROM switchback.suspects WHERE ${OF_STEP} RETURNING 1) SELECT count(*) FROM gone`,
          stepValues(owner),
        )
      : await session.query(
          `WITH gone AS (DELETE FROM switchback.suspects WHERE ${OF_STEP} AND key IN (${PLACES}) RETURNING 1)
           SELECT count(*) FROM gone`,
          [...stepValues(owner), JSON.stringify(places)],
        );
  return Number(row?.['count']);
}

/** Those that can't be judged now stay for the next pass. Answers with how many there were. */
export async function keepHot(session: Queryable, owner: RangeOwner, places: readonly Place[]): Promise<number> {
  const rows = await session.query(
    `UPDATE switchback.suspects SET hot = true WHERE ${OF_STEP} AND NOT hot AND key IN (${PLACES}) RETURNING 1 AS kept`,
    [...stepValues(owner), JSON.stringify(places)],
  );
  return rows.length;
}

/** A new pass looks at what was hot in the one before. */
export const wakeHot = (session: Queryable, owner: RangeOwner): Promise<unknown> =>
  session.query(`UPDATE switchback.suspects SET hot = false WHERE ${OF_STEP} AND hot`, stepValues(owner));
