import { type RunRef, SwitchbackError } from '../../messages/index.ts';
import { type ChunkChange, changeInPlace } from './backfill-change.ts';
import { type BackfillWork, backfillProcedure, dropProcedure } from './backfill-procedure.ts';
import { changeRows, recordBackfill } from './backfill-record.ts';
import { whereEnds } from './backfill-sweep.ts';
import type { Queryable } from './database.ts';
import { heapProcedureName, inHeapOrder, isHeapRange, prefersHeapOrder } from './heap-order.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { findKey, type Key, KEYLESS_ROWS_MAX, keyMissing } from './range-key.ts';
import { listRanges, type RangeOwner, type RangeRow } from './range-ledger.ts';
import { stepHash } from './step-hash.ts';
import { referencedColumns, searchPath } from './table-expressions.ts';
import { assertWritable, columnOfTable, readTableShape, type TableShape } from './table-shape.ts';
import { returnsOld } from './row-digest.ts';
import { pairChunk } from './table-sync-backfill.ts';
import { readSyncShapes, type TableSyncDetail } from './table-sync-shape.ts';

export interface BackfillWish {
  schema: string;
  table: string;
  set: Readonly<Record<string, string>>;
  where: string | null;
  marker: string | null;
  /** Columns of the key to walk along; null: the primary key or another unique one. */
  key: readonly string[] | null;
  /** Whose before-images are kept; null: none are. */
  preserve: RangeOwner | null;
  /** The rows get their pairs in another table, instead of values of their own. */
  pairs?: TableSyncDetail;
}
export interface BackfillPlan {
  shape: TableShape;
  wish: BackfillWish;
  key: Key | null;
  /** Null for a small table without a key: it is changed in one statement. */
  work: BackfillWork | null;
  change: ChunkChange;
  /** Whether rows that come later are looked for again. */
  sweeps: boolean;
  statements: string[];
  /** The same work in heap order, where the walk begins with that. */
  heap: BackfillWork | null;
}

export const procedureName = (run: RunRef, step: string): string => `backfill_${stepHash(run, step)}`;

/**
 * Checks the wish against the catalog. `session` must be in a transaction, which keeps nothing of it. Throws
 * `StatementFailed` for what can't be set, `KeyMissing` where there is nothing to walk along.
 */
export async function planBackfill(
  session: Queryable,
  wish: BackfillWish,
  procedure: string,
  sweepsBefore: boolean | null,
): Promise<BackfillPlan> {
  const shape = await readTableShape(session, wish.schema, wish.table);
  const key = await findKey(session, shape, wish.key);
  await assertSettable(session, shape, { ...wish, key });
  const row = { shape, set: wish.set, marker: wish.marker, where: wish.where };
  const how = {
    key: (key ?? []).map(({ name }) => name),
    seesOld: await seesOld(session, shape, wish.marker),
    preserve: wish.preserve,
  };
  if (key === null) {
    if (wish.preserve !== null)
      throw keyMissing(shape, 'no primary key and no unique index over NOT NULL columns to restore rows by (preserve)');
    const [found] = await session.query(
      `SELECT count(*) AS count FROM (SELECT FROM ${quoteTable(wish.schema, wish.table)} LIMIT ${KEYLESS_ROWS_MAX + 1}) r`,
    );
    if (Number(found?.['count']) > KEYLESS_ROWS_MAX) {
      throw keyMissing(
        shape,
        `no primary key and no unique index over NOT NULL columns, and more than ${KEYLESS_ROWS_MAX} rows`,
      );
    }
    return {
      shape,
      wish,
      key,
      work: null,
      change: changeInPlace(row, how).change,
      sweeps: false,
      statements: [],
      heap: null,
    };
  }
  const statements =
    wish.pairs === undefined
      ? changeInPlace(row, how)
      : pairChunk(await readSyncShapes(session, wish.pairs), await returnsOld(session));
  const work: BackfillWork = { shape, marker: wish.marker, where: wish.where, key, ...statements };
  const sweeps = sweepsBefore ?? (wish.marker === null && (await whereEnds(session, row)));
  return {
    shape,
    wish,
    key,
    work,
    change: work.change,
    sweeps,
    statements: [backfillProcedure(procedure, work), revoke(procedure)],
    heap: null,
  };
}

/**
 * The plan in heap order, where that is better and nothing was begun in key order (`ranges`: what the walk has so far).
 * Only for changes of the table's own rows.
 */
export async function heapOrdered(
  session: Queryable,
  plan: BackfillPlan,
  procedure: string,
  ranges: readonly RangeRow[],
): Promise<BackfillPlan> {
  const { work, wish } = plan;
  if (work === null || wish.pairs !== undefined) return plan;
  if (!(ranges.length === 0 ? await prefersHeapOrder(session, work) : ranges.some(isHeapRange))) return plan;
  const heap = await inHeapOrder(session, work);
  const name = heapProcedureName(procedure);
  return { ...plan, heap, statements: [...plan.statements, backfillProcedure(name, heap), revoke(name)] };
}

/** DROP of all that `statements` of a plan have made. */
export const dropProcedures = (procedure: string): string[] =>
  [procedure, heapProcedureName(procedure)].map(dropProcedure);

/**
 * Whether `RETURNING old` is what the UPDATE has replaced. Where a BEFORE UPDATE row trigger runs and a client has
 * written the row since the statement began, it is what the statement saw at first (seen on Postgres 18.4). Under a
 * dual write such a row is left alone: the client's write has set its marker.
 */
async function seesOld(session: Queryable, { oid }: TableShape, marker: string | null): Promise<boolean> {
  if (!(await returnsOld(session))) return false;
  if (marker !== null) return true;
  const [row] = await session.query(
    `SELECT EXISTS (SELECT FROM pg_trigger t WHERE (t.tgrelid = $1::oid OR t.tgrelid IN (SELECT relid FROM pg_partition_tree($1::oid)))
       AND t.tgtype & 3 = 3 AND t.tgtype & 16 <> 0 AND t.tgenabled <> 'D') AS triggered`,
    [oid],
  );
  return row?.['triggered'] === 'f';
}

/**
 * Tries the expressions of a backfill on its table, in a transaction. Throws `StatementFailed` where one is wrong, or a
 * column is missing, isn't ours to write or part of the key.
 */
export async function assertSettable(
  session: Queryable,
  shape: TableShape,
  { set, where, key }: Pick<BackfillWish, 'set' | 'where'> & { key: Key | null },
): Promise<void> {
  for (const [column, expression] of Object.entries(set)) {
    assertWritable(columnOfTable(shape, column));
    if (key?.some(({ name }) => name === column)) throw keyWritten(shape, column);
    await referencedColumns(session, shape, expression, `set.${column}`);
  }
  if (where !== null) await referencedColumns(session, shape, where, 'where');
}

const revoke = (procedure: string): string =>
  `REVOKE ALL ON PROCEDURE ${quoteTable('switchback', procedure)} FROM PUBLIC`;

const keyWritten = ({ schema, table }: TableShape, column: string): SwitchbackError =>
  new SwitchbackError(
    'StatementFailed',
    `set.${column}: ${quoteIdentifier(column)} is part of the key along which ${quoteTable(schema, table)} is walked`,
    {
      hint: 'name another unique index with `key`, or change the key in a `ddl` step',
      fields: { table, column },
    },
  );

/** Changes a small table in one statement, inside the caller's transaction. Answers with the rows changed. */
export async function changeWhole(
  session: Queryable,
  { shape, change }: BackfillPlan,
  owner: RangeOwner,
  requestedBy: string,
): Promise<number> {
  await session.query(`SET LOCAL search_path = ${searchPath(shape.schema)}`);
  const changed = await changeRows(session, change, 'true');
  await session.query('SET LOCAL search_path = pg_catalog');
  const object = quoteTable(shape.schema, shape.table);
  await recordBackfill(session, owner, { object, lower: null, upper: null, requestedBy, ...changed });
  return changed.rows;
}

/** Ends the walk for good: open ranges are closed, and what was done in them goes into the lineage. */
export async function closeBackfill(
  session: Queryable,
  owner: RangeOwner,
  requestedBy: string,
  applied: boolean,
): Promise<number> {
  const ranges = await listRanges(session, owner);
  const [known] = await session.query(
    `SELECT max(object) AS object, coalesce(sum(rows_changed), 0) AS rows FROM switchback.lineage
     WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = $4 AND direction = 'up'`,
    [owner.run.migration, owner.run.version, owner.run.epoch, owner.step],
  );
  let rows = Number(known?.['rows']);
  if (applied) return rows;
  const [step] = await session.query(
    `SELECT detail->>'object' AS object FROM switchback.steps WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = $4`,
    [owner.run.migration, owner.run.version, owner.run.epoch, owner.step],
  );
  for (const range of ranges.filter(({ open }) => open)) {
    rows += range.rowsDone;
    const [lower, upper] = isHeapRange(range) ? [null, null] : [range.lower, range.cursor];
    const object = step?.['object'] ?? known?.['object'] ?? '';
    await recordBackfill(session, owner, {
      object,
      lower,
      upper,
      requestedBy,
      rows: range.rowsDone,
      digests: range.digests,
    });
    await session.query("UPDATE switchback.ranges SET state = 'done', stop = true WHERE id = $1", [range.id]);
  }
  return rows;
}
