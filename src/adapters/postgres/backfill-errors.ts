import { SwitchbackError } from '../../messages/index.ts';
import type { BackfillWork } from './backfill-procedure.ts';
import { type Changed, changeRows, recordBackfill } from './backfill-record.ts';
import type { Database, Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { showKey } from './hidden-values.ts';
import { HeapWalkOver } from './heap-order.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { nextPlace } from './range-cut.ts';
import { keyIs, keyValues } from './range-key.ts';
import { moveCursor, type Place, placeOf, type RangeOwner, type RangeRow } from './range-ledger.ts';
import { searchPath } from './table-expressions.ts';
import { OF_STEP, stepValues } from './step-row.ts';

/** Rows that can't be done: set aside by key, with Postgres's own words, which stay in the database they came from. */
const KEYS_SHOWN_MAX = 20;

/** Someone else holds what we need, or got in the way: the same again helps. */
export const isContention = (error: unknown): error is PostgresError =>
  error instanceof PostgresError && /^(40001|40P01|55P03)$/.test(error.sqlState);
/** Errors that a row's own values cause: data, constraints, RAISE of a trigger, limits of an index entry. */
export const isRowError = (error: unknown): error is PostgresError =>
  error instanceof PostgresError && /^(22|23|2F|38|39|44|54|P0)/.test(error.sqlState);

export const fenced = (owner: RangeOwner): SwitchbackError =>
  new SwitchbackError(
    'Fenced',
    `generation ${owner.run.generation} of migration "${owner.run.migration}" no longer owns the ranges of step "${owner.step}"`,
    { fields: { migration: owner.run.migration, step: owner.step, generation: owner.run.generation } },
  );

/** Does the next row of the range by itself; where it can't be done, sets it aside and goes past it. */
export async function stepOverRow(
  database: Database,
  owner: RangeOwner,
  work: BackfillWork,
  rangeId: string,
): Promise<void> {
  if (work.rowsPerPage !== undefined) throw new HeapWalkOver();
  await database.transaction(async (session) => {
    const [row] = await session.query(
      `SELECT to_json(cursor_key)::text AS cursor, to_json(upper_key)::text AS upper FROM switchback.ranges
       WHERE id = $1 AND generation = $2 FOR UPDATE`,
      [rangeId, owner.run.generation],
    );
    if (row === undefined) throw fenced(owner);
    const range: Pick<RangeRow, 'id' | 'cursor'> = { id: rangeId, cursor: placeOf(row['cursor']) };
    const place = await nextPlace(session, work.shape, work.key, {
      from: range.cursor,
      upTo: placeOf(row['upper']) ?? [],
    });
    if (place === null) return;
    const changed = await updateOne(session, owner, work, place);
    await moveCursor(session, owner, range, { cursor: place, keys: 1, done: false, ...(changed ?? { rows: 0 }) });
  });
}

/** What was changed, or null where the row was set aside. */
async function updateOne(
  session: Queryable,
  owner: RangeOwner,
  work: BackfillWork,
  place: Place,
): Promise<Changed | null> {
  const alias = quoteIdentifier(work.shape.table);
  await session.query('SAVEPOINT zz_row');
  try {
    await session.query(`SET LOCAL search_path = ${searchPath(work.shape.schema)}`);
    await session.query('SET LOCAL lock_timeout = 1000');
    const range = keyIs(work.key, alias, keyValues(work.key, '$1::text[]'));
    if (work.lock !== undefined) await session.query(work.lock(range), [place]);
    const changed = await changeRows(session, work.change, range, [place]);
    await session.query('RELEASE SAVEPOINT zz_row');
    return changed;
  } catch (error) {
    if (!isRowError(error)) throw error;
    await session.query('ROLLBACK TO SAVEPOINT zz_row; RELEASE SAVEPOINT zz_row');
    await recordRowError(session, owner, place, error);
    return null;
  }
}

export async function recordRowError(
  session: Queryable,
  owner: RangeOwner,
  key: Place,
  error: PostgresError,
): Promise<void> {
  await session.query(
    `INSERT INTO switchback.row_errors (migration, version, epoch, step, key, sql_state, message) VALUES ($1, $2, $3, $4, $5, $6, $7)
     ON CONFLICT (migration, version, epoch, step, key) DO UPDATE SET sql_state = excluded.sql_state, message = excluded.message, at = clock_timestamp()`,
    [...stepValues(owner), key, error.sqlState, error.inItsOwnWords().slice(0, 2000)],
  );
}

/** What was set aside on the way there says nothing about the way back. */
export async function forgetRowErrors(session: Queryable, owner: RangeOwner): Promise<void> {
  await session.query(`DELETE FROM switchback.row_errors WHERE ${OF_STEP}`, stepValues(owner));
}

/** Tries the rows that were set aside once more: someone may have mended them since. */
export async function retryRowErrors(
  database: Database,
  owner: RangeOwner,
  work: BackfillWork,
  options: { requestedBy: string; fence(session: Queryable): Promise<void> },
): Promise<void> {
  for (const key of await rowErrorKeys(database, owner)) {
    await database.transaction(async (session) => {
      await options.fence(session);
      const changed = await updateOne(session, owner, work, key);
      if (changed === null) return;
      await session.query(`DELETE FROM switchback.row_errors WHERE ${OF_STEP} AND key = $5`, [
        ...stepValues(owner),
        key,
      ]);
      const object = quoteTable(work.shape.schema, work.shape.table);
      await recordBackfill(session, owner, {
        object,
        lower: key,
        upper: key,
        requestedBy: options.requestedBy,
        ...changed,
      });
    });
  }
}

async function rowErrorKeys(session: Queryable, owner: RangeOwner): Promise<Place[]> {
  const rows = await session.query(
    `SELECT to_json(key)::text AS key FROM switchback.row_errors WHERE ${OF_STEP} ORDER BY at`,
    stepValues(owner),
  );
  return rows.map((row) => placeOf(row['key']) ?? []);
}

/** How many rows are set aside; throws `RowErrors` with their keys where that is more than `max`. */
export async function assertRowErrors(session: Queryable, owner: RangeOwner, max: number): Promise<number> {
  const keys = await rowErrorKeys(session, owner);
  if (keys.length <= max) return keys.length;
  const shown = keys.slice(0, KEYS_SHOWN_MAX).map(showKey).join(', ');
  throw new SwitchbackError(
    'RowErrors',
    `${keys.length} ${keys.length === 1 ? 'row' : 'rows'} could not be changed, ${max} allowed (maxRowErrors): key ${shown}${keys.length > KEYS_SHOWN_MAX ? ', …' : ''}`,
    {
      hint: `look at switchback.row_errors for what Postgres said, mend the rows, then retry the step`,
      fields: { step: owner.step, rows: keys.length, keys: shown },
    },
  );
}
