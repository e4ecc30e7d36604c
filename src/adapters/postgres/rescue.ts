import { SwitchbackError } from '../../messages/index.ts';
import type { CatalogObject } from './catalog.ts';
import type { Queryable } from './database.ts';
import { type DdlWork, enterDdl } from './ddl-record.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { recordLineage } from './lineage.ts';
import { climbTransaction } from './lock-ladder.ts';
import { rescuedColumns } from './rescue-columns.ts';
import { copyStretch, type RescueTree, rescueTree } from './rescue-rows.ts';
import {
  hiddenName,
  isOfStatement,
  readRescues,
  recordRescue,
  type Rescue,
  type RescueKey,
  rescueKey,
} from './rescue-state.ts';
import type { StepRecord } from './step-ledger.ts';
import { followColumn } from './table-sync-follow.ts';

export { detachedTables, type RescueKey, rescuedCount } from './rescue-state.ts';

/**
 * Values that would go with a column or a table are copied into `switchback.rescued` first. A small table's are copied
 * under the lock that drops them. A large one's in three steps: under a short lock the column gets a name that no client
 * knows, so that nobody writes it any more; then the values are copied in short batches, while clients work; then it gets
 * its name back and goes, in one transaction. The ledger says how far it is.
 */
const SMALL_BYTES = 1_000_000;

interface Going {
  record: StepRecord;
  at: number;
  /** What is dropped under the lock of one relation. */
  going: readonly CatalogObject[];
}

/**
 * Called before these objects are dropped, in the transaction that will. Copies what is little itself; answers with a
 * rescue that has to be finished first where it is more. `attempt` tries the drop and takes it back.
 */
export async function beginRescue(
  work: DdlWork,
  transaction: Queryable,
  { record, at, going }: Going,
  attempt: () => Promise<void>,
): Promise<RescueKey | null> {
  const table = going.find(({ kind }) => kind === 'table');
  const columns = going.filter(({ kind, properties }) => kind === 'column' && properties['generated'] === null);
  const [schema, name] = table === undefined ? [columns[0]?.schema, columns[0]?.of] : [table.schema, table.name];
  if (schema === undefined || name === undefined) return null;
  const key = rescueKey(at, schema, name);
  if (readRescues(record)[key]?.stage === 'copied') return null;
  const quoted = quoteTable(schema, name);
  const [found] = await transaction.query(
    `SELECT relkind FROM pg_class WHERE oid = to_regclass($1) AND relkind IN ('r', 'p')`,
    [quoted],
  );
  if (found === undefined) return null;
  // Locked before the look, so that no row comes after it.
  await transaction.query(`LOCK TABLE ${quoted} IN ACCESS EXCLUSIVE MODE`);
  const [rows] = await transaction.query(`SELECT EXISTS (SELECT FROM ${quoted}) AS any_row`);
  if (rows?.['any_row'] !== 't') return null;
  const rescue: Rescue = {
    schema,
    table: name,
    hidden: null,
    columns: table === undefined ? await rescuedColumns(work, transaction, columns) : [],
    stage: 'copying',
    cursor: null,
    swept: [],
    values: 0,
  };
  if (table === undefined && rescue.columns.length === 0) return null;
  const tree = await rescueTree(transaction, rescue);
  if ((await bytesOf(transaction, tree)) < SMALL_BYTES) {
    await copyAll(work, transaction, { record, rescue, key, tree });
    return null;
  }
  await attempt();
  await recordRescue(work, transaction, record, [key, await hide(transaction, key, rescue)]);
  return key;
}

const bytesOf = async (transaction: Queryable, { leaves }: RescueTree): Promise<number> => {
  const [row] = await transaction.query(
    'SELECT coalesce(sum(pg_table_size(oid::oid)), 0) AS bytes FROM unnest($1::text[]) AS leaf (oid)',
    [leaves.map(({ oid }) => oid)],
  );
  return Number(row?.['bytes']);
};

async function copyAll(
  work: DdlWork,
  transaction: Queryable,
  { record, rescue, key, tree }: { record: StepRecord; rescue: Rescue; key: RescueKey; tree: RescueTree },
): Promise<void> {
  let values = 0;
  for (const source of tree.sources) values += await copyStretch(work, transaction, { rescue, source, stretch: 'all' });
  await finishRescue(work, transaction, record, [key, { ...rescue, values }]);
}

async function finishRescue(
  work: DdlWork,
  transaction: Queryable,
  record: StepRecord,
  [key, rescue]: [RescueKey, Rescue],
): Promise<void> {
  await recordRescue(work, transaction, record, [key, { ...rescue, stage: 'copied' }]);
  if (rescue.values === 0) return;
  const { run, step } = work.key;
  await recordLineage(transaction, {
    run,
    step,
    direction: 'down',
    kind: 'rescue',
    object: quoteTable(rescue.schema, rescue.table),
    lower: null,
    upper: null,
    rows: rescue.values,
    requestedBy: work.requestedBy ?? 'switchback',
  });
}

/** Takes the table, or the columns, away from clients: their names change, and a partition leaves its parent. */
async function hide(transaction: Queryable, key: RescueKey, rescue: Rescue): Promise<Rescue> {
  const table = quoteTable(rescue.schema, rescue.table);
  if (rescue.columns.length === 0) {
    const hidden = hiddenName(key, '');
    const [row] = await transaction.query(
      'SELECT i.inhparent::regclass::text AS parent FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.oid = to_regclass($1) AND c.relispartition',
      [table],
    );
    if (typeof row?.['parent'] === 'string')
      await transaction.query(`ALTER TABLE ${row['parent']} DETACH PARTITION ${table}`);
    await transaction.query(`ALTER TABLE ${table} RENAME TO ${quoteIdentifier(hidden)}`);
    return { ...rescue, hidden };
  }
  const columns = rescue.columns.map((column) => ({ ...column, hidden: hiddenName(key, column.name) }));
  for (const { name, hidden } of columns) await renameColumn(transaction, rescue, { from: name, to: hidden });
  return { ...rescue, columns };
}

/** Gives back the names that clients knew, in the transaction that drops. What is still to be copied is answered. */
export async function showRescued(
  transaction: Queryable,
  { record, at }: { record: StepRecord; at: number },
): Promise<RescueKey | null> {
  for (const [key, rescue] of Object.entries(readRescues(record))) {
    if (!isOfStatement(key, at)) continue;
    if (rescue.stage === 'copying') return key;
    const today = quoteTable(rescue.schema, rescue.hidden ?? rescue.table);
    const [table] = await transaction.query(
      `SELECT array_to_json(ARRAY(SELECT attname FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped))::text AS columns
       WHERE to_regclass($1) IS NOT NULL`,
      [today],
    );
    if (table === undefined) continue;
    if (rescue.hidden !== null)
      await transaction.query(`ALTER TABLE ${today} RENAME TO ${quoteIdentifier(rescue.table)}`);
    const there = JSON.parse(table['columns'] ?? '[]') as string[];
    for (const { name, hidden } of rescue.columns) {
      if (hidden !== null && there.includes(hidden))
        await renameColumn(transaction, rescue, { from: hidden, to: name });
    }
  }
  return null;
}

async function renameColumn(
  transaction: Queryable,
  { schema, table }: Rescue,
  renamed: { from: string; to: string },
): Promise<void> {
  const [from, to] = [quoteIdentifier(renamed.from), quoteIdentifier(renamed.to)];
  await transaction.query(`ALTER TABLE ${quoteTable(schema, table)} RENAME COLUMN ${from} TO ${to}`);
  await followColumn(transaction, schema, table, renamed);
}

/** Batches of pages: short enough that locks and snapshots are held for a moment only. */
const PAGES_FIRST = 256;
const PAGES_MAX = 8_192;
const BATCH_MS = 100;

/**
 * Copies in batches of pages, each with its record; then goes over each table once more as a whole, in one snapshot:
 * rows that moved past the batches are found then. Another worker at the same may take turns with this one.
 */
export async function copyRescued(work: DdlWork, key: RescueKey): Promise<void> {
  let pages = PAGES_FIRST;
  await work.database.session(async (session) => {
    const { database, limits, signal, onWait } = work;
    const climb = { database, limits, signal, purpose: 'copying values', onWait: (note: string) => onWait(note) };
    const attempt = (transaction: Queryable, lockTimeoutMs: number): Promise<'more' | 'done'> =>
      copyNext(work, { transaction, key, pages, lockTimeoutMs });
    for (let next: 'more' | 'done' = 'more'; next === 'more'; ) {
      signal.throwIfAborted();
      const began = performance.now();
      next = await climbTransaction(session, climb, attempt);
      const spentMs = performance.now() - began;
      pages =
        spentMs > 2 * BATCH_MS ? Math.max(1, pages >> 1) : Math.min(PAGES_MAX, spentMs < BATCH_MS ? pages * 2 : pages);
    }
  });
}

async function copyNext(
  work: DdlWork,
  {
    transaction,
    key,
    pages,
    lockTimeoutMs,
  }: { transaction: Queryable; key: RescueKey; pages: number; lockTimeoutMs: number },
): Promise<'more' | 'done'> {
  const { record } = await enterDdl(work, transaction);
  const rescue = readRescues(record)[key];
  if (rescue?.stage !== 'copying') return 'done';
  await transaction.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
  const tree = await rescueTree(transaction, rescue);
  if (tree.sources.length === 0) throw vanished(rescue);
  const next = nextStretch(rescue, tree, pages);
  if (next === null) {
    await finishRescue(work, transaction, record, [key, rescue]);
    return 'done';
  }
  const values = rescue.values + (await copyStretch(work, transaction, { rescue, ...next }));
  const swept = next.stretch === 'all' ? [...rescue.swept, next.source.oid] : rescue.swept;
  await recordRescue(work, transaction, record, [key, { ...rescue, swept, cursor: next.cursor, values }]);
  const all = tree.leaves.reduce((sum, leaf) => sum + leaf.pages, 0);
  work.onWait(
    `copies what would go with ${quoteTable(rescue.schema, rescue.table)}: ${values.toLocaleString('en-US')} values so far`,
    { done: Math.min(all, pagesBefore(next.cursor, tree)), total: all },
  );
  return 'more';
}

const vanished = ({ schema, table }: Rescue): SwitchbackError =>
  new SwitchbackError('SchemaDrift', `table ${quoteTable(schema, table)} went while its values were being copied`, {
    hint: 'look who dropped it; then skip the undo of this step',
    fields: { schema, table },
  });

/** Order of the tree: the table itself first, then its partitions or heirs by identity. */
const placeOf = (cursor: Rescue['cursor'], { leaves }: RescueTree): number =>
  cursor === null ? 0 : leaves.findIndex(({ oid }) => oid === cursor.oid);

const pagesBefore = (cursor: Rescue['cursor'], tree: RescueTree): number =>
  tree.leaves.slice(0, placeOf(cursor, tree)).reduce((sum, leaf) => sum + leaf.pages, 0) + (cursor?.page ?? 0);

function nextStretch(rescue: Rescue, tree: RescueTree, pages: number) {
  const { cursor } = rescue;
  for (const leaf of tree.leaves.slice(Math.max(0, placeOf(cursor, tree)))) {
    // Without a key a row that was copied can't be told from one that wasn't: such a table is copied at once.
    if (leaf.source.key === null) continue;
    const from = cursor?.oid === leaf.oid ? cursor.page : 0;
    if (from >= leaf.pages) continue;
    const to = from + pages;
    const stretch = { schema: leaf.schema, name: leaf.name, from, to };
    return { source: leaf.source, stretch, cursor: { oid: leaf.oid, page: to } };
  }
  const source = tree.sources.find(({ oid }) => !rescue.swept.includes(oid));
  return source === undefined ? null : { source, stretch: 'all' as const, cursor };
}
