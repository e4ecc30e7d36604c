import type { RunRef } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { OF_STEP, stepValues } from './step-row.ts';

/** A piece of a table that one worker walks at a time, and how far it has come. Places are texts of the key. */
export type Place = readonly string[];
export interface RangeRow {
  id: string;
  ordinal: number;
  lower: Place | null;
  upper: Place | null;
  cursor: Place | null;
  open: boolean;
  keysDone: number;
  rowsDone: number;
  chunkRows: number;
  /** As in the lineage, of the rows changed so far. */
  digests: { before: string | null; after: string | null };
}
export interface RangeOwner {
  run: RunRef;
  step: string;
}

const OPEN_IN_ORDER = `SELECT id FROM switchback.ranges WHERE ${OF_STEP} AND generation = $5 AND state = 'open' ORDER BY id FOR UPDATE`;

export async function listRanges(session: Queryable, owner: RangeOwner): Promise<RangeRow[]> {
  const rows = await session.query(
    `SELECT id, ordinal, to_json(lower_key)::text AS lower, to_json(upper_key)::text AS upper, to_json(cursor_key)::text AS cursor,
       state, keys_done, rows_done, chunk_rows, before_digest, after_digest
     FROM switchback.ranges WHERE ${OF_STEP} ORDER BY ordinal`,
    stepValues(owner),
  );
  return rows.map((row) => ({
    id: row['id'] ?? '',
    ordinal: Number(row['ordinal']),
    lower: placeOf(row['lower']),
    upper: placeOf(row['upper']),
    cursor: placeOf(row['cursor']),
    open: row['state'] === 'open',
    keysDone: Number(row['keys_done']),
    rowsDone: Number(row['rows_done']),
    chunkRows: Number(row['chunk_rows']),
    digests: { before: row['before_digest'] ?? null, after: row['after_digest'] ?? null },
  }));
}
/** A place from the JSON of its array. */
export const placeOf = (json: string | null | undefined): Place | null =>
  json === null || json === undefined ? null : (JSON.parse(json) as string[]);

/** Adds ranges that follow one another up to each of `uppers`; the first starts before every row. */
export async function addRanges(
  session: Queryable,
  owner: RangeOwner,
  uppers: readonly Place[],
  chunkRows: number,
): Promise<void> {
  await session.query(
    `INSERT INTO switchback.ranges (migration, version, epoch, step, ordinal, generation, lower_key, upper_key, cursor_key, chunk_rows)
     SELECT $1, $2, $3, $4, (SELECT coalesce(max(ordinal), -1) FROM switchback.ranges WHERE ${OF_STEP}) + ord, $5,
       lag(place) OVER (ORDER BY ord), place, lag(place) OVER (ORDER BY ord), $6
     FROM (SELECT ord, ARRAY(SELECT json_array_elements_text(element)) AS place
       FROM json_array_elements($7::json) WITH ORDINALITY e (element, ord)) places`,
    [...stepValues(owner), owner.run.generation, chunkRows, JSON.stringify(uppers)],
  );
}

/**
 * Sets the cap for each open range, in force by its next chunk. `stop: true` also ends the slices under way, so that all
 * of a new pace is; `false` takes back what an interrupted worker left; null leaves it as it is. One order of locks,
 * because several may do this at once.
 */
export async function openRanges(
  session: Queryable,
  owner: RangeOwner,
  { rowsPerSecond, stop }: { rowsPerSecond: number | null; stop: boolean | null },
): Promise<void> {
  await session.query(
    `UPDATE switchback.ranges SET stop = coalesce($7, stop), rows_per_second = $6 WHERE id IN (${OPEN_IN_ORDER})`,
    [...stepValues(owner), owner.run.generation, rowsPerSecond, stop],
  );
}

/** Takes the `stop` of one range back: whoever walks it has heard it. */
export async function goOn(session: Queryable, owner: RangeOwner, id: string): Promise<void> {
  await session.query('UPDATE switchback.ranges SET stop = false WHERE id = $1 AND generation = $2', [
    id,
    owner.run.generation,
  ]);
}

/** Asks whoever walks these ranges to stop after the chunk under way. */
export async function stopRanges(session: Queryable, owner: RangeOwner): Promise<void> {
  await session.query(`UPDATE switchback.ranges SET stop = true WHERE id IN (${OPEN_IN_ORDER})`, [
    ...stepValues(owner),
    owner.run.generation,
  ]);
}

/** Moves a cursor outside the procedure. False where a newer generation owns the range, or it was moved meanwhile. */
export async function moveCursor(
  session: Queryable,
  owner: RangeOwner,
  range: Pick<RangeRow, 'id' | 'cursor'>,
  to: { cursor: Place; keys: number; rows: number; done: boolean; digests?: RangeRow['digests'] },
): Promise<boolean> {
  const moved = await session.query(
    `UPDATE switchback.ranges SET cursor_key = $4, keys_done = keys_done + $5, rows_done = rows_done + $6,
       state = CASE WHEN $7 THEN 'done' ELSE 'open' END, updated_at = clock_timestamp(),
       before_digest = CASE WHEN $8::bigint IS NULL THEN before_digest ELSE coalesce(before_digest, 0) # $8 END,
       after_digest = CASE WHEN $9::bigint IS NULL THEN after_digest ELSE coalesce(after_digest, 0) # $9 END
     WHERE id = $1 AND generation = $2 AND cursor_key IS NOT DISTINCT FROM $3 RETURNING 1 AS moved`,
    [
      ...[range.id, owner.run.generation, range.cursor, to.cursor, to.keys, to.rows, to.done],
      ...[to.digests?.before ?? null, to.digests?.after ?? null],
    ],
  );
  return moved.length === 1;
}

/** Forgets the ranges: the next walk starts at the beginning. */
export async function removeRanges(session: Queryable, owner: RangeOwner): Promise<void> {
  await session.query(`DELETE FROM switchback.ranges WHERE ${OF_STEP}`, stepValues(owner));
}
