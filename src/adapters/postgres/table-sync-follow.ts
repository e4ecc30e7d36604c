import type { Queryable } from './database.ts';
import { type ColumnRename, renamedBy, renameInDualWrites } from './dual-write.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { findTableSyncs, removeTableSync } from './table-sync.ts';
import { syncFunctions } from './table-sync-functions.ts';
import { actualName, readSyncShapes, type SyncSide, type TableSyncDetail, type Way } from './table-sync-shape.ts';
import { isPair, keyOf, rowsOf, storedValues, written } from './table-sync-sql.ts';

type Found = Awaited<ReturnType<typeof findTableSyncs>>[number];

/**
 * Makes the dual writes of a table follow its new name, ledger included: to be called in the transaction of the rename,
 * after it. Triggers need no change. Answers with how many there were.
 */
export const renameTableInSyncs = (
  session: Queryable,
  schema: string,
  { from, to }: { from: string; to: string },
): Promise<number> =>
  rewriteAll(session, { schema, table: from }, (side) => (side.table === from ? { ...side, table: to } : side));

/**
 * Makes every dual write, of one table or between two, follow the new names of a table's columns, which took effect at
 * once. Answers with how many there were. `table` is what it is called now.
 */
export const followColumn = async (
  session: Queryable,
  schema: string,
  table: string,
  ...renames: readonly ColumnRename[]
): Promise<number> =>
  (await renameInDualWrites(session, schema, table, ...renames)) +
  (await rewriteAll(session, { schema, table }, (side, known) => {
    const renamed = side.table === table ? renamedBy(known, side.renamed, renames) : null;
    return renamed === null ? side : { ...side, renamed };
  }));

async function rewriteAll(
  session: Queryable,
  { schema, table }: { schema: string; table: string },
  change: (side: SyncSide, known: string[]) => SyncSide,
): Promise<number> {
  let rewritten = 0;
  for (const found of await findTableSyncs(session, schema, table)) {
    const { detail } = found;
    const after: TableSyncDetail = {
      ...detail,
      from: change(detail.from, columnsIn(detail, 'from')),
      to: change(detail.to, columnsIn(detail, 'to')),
    };
    if (JSON.stringify(after) === JSON.stringify(detail)) continue;
    await waitForWriters(session, after, table);
    for (const statement of syncFunctions(await readSyncShapes(session, after))) await session.query(statement);
    await keep(session, found, after);
    rewritten += 1;
  }
  return rewritten;
}

/**
 * A client that writes the other table may be inside a function that names what has another name now, waiting for the
 * lock that we hold: it would find the old name gone. So the other table has no writer when the names change; where one
 * waits for us, our short lock timeout lets it by.
 */
async function waitForWriters(
  session: Queryable,
  { schema, from, to }: TableSyncDetail,
  renamed: string,
): Promise<void> {
  const others = [...new Set([from.table, to.table])].filter((other) => other !== renamed);
  for (const other of others)
    await session.query(`LOCK TABLE ${quoteTable(schema, other)} IN SHARE ROW EXCLUSIVE MODE`);
}

const keep = (session: Queryable, { run, step }: Found, detail: TableSyncDetail): Promise<unknown> =>
  session.query(
    `UPDATE switchback.steps SET detail = detail || jsonb_build_object('tableSync', $5::jsonb)
     WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = $4`,
    [run.migration, run.version, run.epoch, step, JSON.stringify(detail)],
  );

/** Every column of one side that the dual write reads, writes or pairs by, by the plan's names. */
function columnsIn(detail: TableSyncDetail, side: 'from' | 'to'): string[] {
  const writes = Object.keys((side === 'from' ? detail.down : detail.up) ?? {});
  return [...new Set([...detail[side].key, ...detail[side].reads, ...writes])];
}

/**
 * The dual writes between tables that a table, or a column of it, takes along when it is dropped: of a column those that
 * use it, each with the other columns of its side that are still in use, and those that have another name (which is today's).
 */
export async function syncsOf(
  session: Queryable,
  { schema, table, column }: { schema: string; table: string; column: string | null },
): Promise<(Found & { others: string[]; away: string[]; statements: string[] })[]> {
  return (await findTableSyncs(session, schema, table)).flatMap((found) => {
    const { detail } = found;
    const statements = removeTableSync(detail);
    if (column === null) return [{ ...found, others: [], away: [], statements }];
    const side = detail.from.table === table ? 'from' : 'to';
    const used = columnsIn(detail, side);
    if (!used.some((name) => actualName(detail[side], name) === column)) return [];
    const writes = Object.keys((side === 'from' ? detail.down : detail.up) ?? {});
    const clients = writes.length > 0 ? writes : detail[side].reads;
    const { key, renamed } = detail[side];
    const apart = clients.filter((name) => !key.includes(name));
    const others = apart.filter((name) => renamed[name] === undefined);
    const away = apart.flatMap((name) => renamed[name] ?? []).filter((name) => name !== column);
    return [{ ...found, others, away, statements }];
  });
}

/**
 * What is true of rows of a table, called `alias`, of which the other table of a dual write doesn't give back all values,
 * or that of one column; null where no dual write between tables derives them.
 */
export async function lostWithout(
  session: Queryable,
  { schema, table, column, alias }: { schema: string; table: string; column: string | null; alias: string },
): Promise<{ lost: string; step: string } | null> {
  for (const { step, detail } of await findTableSyncs(session, schema, table)) {
    const { up, down } = await readSyncShapes(session, detail);
    const whole: Way | null = detail.from.table === table ? down : up;
    if (whole === null) continue;
    const chosen = Object.entries(whole.expressions).filter(
      ([name]) => column === null || actualName(whole.target, name) === column,
    );
    if (chosen.length === 0) continue;
    const way: Way = { ...whole, expressions: Object.fromEntries(chosen) };
    const { target: side, source } = way;
    const keys = keyOf(source, quoteIdentifier(source.plan)).map((key, index) => `${key} AS zz_key_${index + 1}`);
    const values = storedValues(way).map((value, index) => `${value} AS zz_value_${index + 1}`);
    const pair = side.pairKey.map((_, index) => `zz_s.zz_key_${index + 1}`);
    const same = written(way).map(
      (name, index) => `ROW(${alias}.${name})::record *= ROW(zz_s.zz_value_${index + 1})::record`,
    );
    const kept = `EXISTS (SELECT FROM (SELECT ${[...keys, ...values].join(', ')} FROM ${rowsOf(source)}) AS zz_s
  WHERE ${isPair(side, alias, pair)} AND ${same.join(' AND ')})`;
    const others = column === null ? notGivenBy(way, detail.marker) : [];
    const more = others.map((name) => `${alias}.${quoteIdentifier(name)} IS NOT NULL`);
    return { lost: `(${[`NOT ${kept}`, ...more].join(' OR ')})`, step };
  }
  return null;
}

/** Columns of the target that the way doesn't write: what they hold is nowhere else. */
function notGivenBy({ target: side, expressions }: Way, marker: string): string[] {
  const given = [
    ...side.pairKey.map(({ name }) => name),
    ...Object.keys(expressions).map((name) => actualName(side, name)),
    marker,
  ];
  return [...side.shape.columns.values()]
    .filter(({ name, generated }) => generated === null && !given.includes(name))
    .map(({ name }) => name);
}
