import { type RunRef, SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { findDualWrites, touchedBy, writtenBy } from './dual-write.ts';
import { dollarQuote } from './dual-write-function.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';
import { stepHash } from './step-hash.ts';
import { areImmutable, referencedColumns } from './table-expressions.ts';
import { columnOfTable, readTableShape, type TableShape } from './table-shape.ts';
import { assertSyncable, hasCascades, leftBehind, ownershipOf } from './table-sync-facts.ts';
import { emptyFunction, guardFunction, syncFunction, syncFunctions } from './table-sync-functions.ts';
import {
  assertComparable,
  readSyncShapes,
  type SyncShapes,
  type SyncSide,
  type TableSyncDetail,
} from './table-sync-shape.ts';
import { hasMarker } from './table-sync-sql.ts';
import { syncTriggers, triggerNames } from './table-sync-triggers.ts';

/** A dual write between two tables: what a plan asks for. */
export interface TableSyncWish {
  schema: string;
  from: { table: string; key: readonly string[] };
  to: { table: string; key: readonly string[] };
  up: Readonly<Record<string, string>>;
  down: Readonly<Record<string, string>> | null;
  bothWritten: 'new' | 'old' | 'error';
}
export interface TableSyncPlan {
  detail: TableSyncDetail;
  /** In order, in one transaction. */
  statements: string[];
  /** Who owns the rows, in a sentence. */
  note: string;
}

export function tableSyncNames(
  run: Pick<RunRef, 'migration' | 'version'>,
  step: string,
): Pick<TableSyncDetail, 'marker' | 'hash'> {
  const hash = stepHash(run, step);
  return { marker: `zz_switchback_${hash}`, hash };
}

/**
 * Checks the wish against the catalog and works out the statements. `session` must be in a transaction, which keeps
 * nothing of it. Throws `StatementFailed` or `KeyMissing` for what can't be kept in step, by name.
 */
export async function planTableSync(
  session: Queryable,
  wish: TableSyncWish,
  names: ReturnType<typeof tableSyncNames>,
): Promise<TableSyncPlan> {
  const draft: TableSyncDetail = {
    schema: wish.schema,
    ownership: 'copy',
    from: await sideOf(session, wish, wish.from, wish.up, 'up'),
    to: await sideOf(session, wish, wish.to, wish.down ?? {}, 'down'),
    up: { ...wish.up },
    down: wish.down === null ? null : { ...wish.down },
    bothWritten: wish.bothWritten,
    ...names,
    cascades: false,
  };
  const { up } = await readSyncShapes(session, draft);
  await assertComparable(session, up.source, up.target);
  for (const name of Object.keys(draft.up)) columnOfTable(up.target.shape, name);
  for (const name of Object.keys(draft.down ?? {})) columnOfTable(up.source.shape, name);
  const detail: TableSyncDetail = {
    ...draft,
    ownership: await ownershipOf(session, { from: up.source, to: up.target, up: wish.up }),
    cascades: await hasCascades(session, up.target),
    immutable:
      (await areImmutable(session, up.source.shape, assigned(wish.up, up.target.shape))) &&
      (await areImmutable(session, up.target.shape, assigned(wish.down ?? {}, up.source.shape))),
  };
  const shapes = await readSyncShapes(session, detail);
  await assertSyncable(session, shapes);
  await refuseOverlap(session, detail);
  const marker = quoteIdentifier(detail.marker);
  const marked = (['from', 'to'] as const).filter((side) => hasMarker(detail, side));
  for (const side of ['from', 'to'] as const)
    if (up[side === 'from' ? 'source' : 'target'].shape.columns.has(detail.marker))
      throw foreignMarker(detail, detail[side].table);
  return {
    detail,
    statements: [
      ...marked.map(
        (side) => `ALTER TABLE ${quoteTable(detail.schema, detail[side].table)} ADD COLUMN ${marker} bigint`,
      ),
      ...syncFunctions(shapes),
      ...functionsOf(detail).map((name) => `REVOKE ALL ON FUNCTION ${name}() FROM PUBLIC`),
      ...syncTriggers(shapes),
    ],
    note: describe(shapes),
  };
}

const assigned = (expressions: Readonly<Record<string, string>>, to: TableShape) =>
  Object.entries(expressions).map(([name, expression]) => ({ expression, type: columnOfTable(to, name).type }));

async function sideOf(
  session: Queryable,
  { schema }: TableSyncWish,
  { table, key }: TableSyncWish['from'],
  expressions: Readonly<Record<string, string>>,
  direction: 'up' | 'down',
): Promise<SyncSide> {
  const shape = await readTableShape(session, schema, table);
  return {
    table,
    plan: table,
    key: key.map((name) => columnOfTable(shape, name).name),
    reads: await readsOf(session, shape, expressions, direction),
    renamed: {},
  };
}

async function readsOf(
  session: Queryable,
  shape: TableShape,
  expressions: Readonly<Record<string, string>>,
  direction: string,
): Promise<string[]> {
  const reads = new Set<string>();
  for (const [column, expression] of Object.entries(expressions))
    for (const name of await referencedColumns(session, shape, expression, `${direction}.${column}`)) reads.add(name);
  return [...reads];
}

const functionsOf = (detail: TableSyncDetail): string[] => [
  syncFunction(detail, 'from'),
  guardFunction(detail, 'to'),
  ...(detail.down === null ? [] : [syncFunction(detail, 'to'), guardFunction(detail, 'from')]),
  emptyFunction(detail),
];

/** The statements that remove all of it; they do nothing where nothing is left. The markers go last. */
export function removeTableSync(detail: TableSyncDetail): string[] {
  const tables = [detail.from, detail.to].map(({ table }) => quoteTable(detail.schema, table));
  const drop = tables.map(
    (table) => `IF to_regclass(${quoteLiteral(table)}) IS NOT NULL THEN
${triggerNames(detail)
  .map((name) => `DROP TRIGGER IF EXISTS ${name} ON ${table};`)
  .join('\n')}
END IF;`,
  );
  return [
    `DO ${dollarQuote(`BEGIN ${drop.join('\n')} END`)}`,
    ...functionsOf(detail).map((name) => `DROP FUNCTION IF EXISTS ${name}()`),
    ...tables.map((table) => `ALTER TABLE IF EXISTS ${table} DROP COLUMN IF EXISTS ${quoteIdentifier(detail.marker)}`),
  ];
}

/** All dual writes between tables that are in force and have the table on either side. */
export async function findTableSyncs(
  session: Queryable,
  schema: string,
  table: string,
): Promise<{ run: Omit<RunRef, 'digest' | 'generation'>; step: string; detail: TableSyncDetail }[]> {
  // A check looks at databases that no migration has come to yet.
  const [ledger] = await session.query("SELECT to_regclass('switchback.steps') IS NOT NULL AS there");
  if (ledger?.['there'] !== 't') return [];
  const rows = await session.query(
    `SELECT migration, version, epoch, step, detail->'tableSync' AS detail FROM switchback.steps
     WHERE kind = 'dual-write' AND state = 'applied' AND detail->'tableSync'->>'schema' = $1
       AND $2 IN (detail->'tableSync'->'from'->>'table', detail->'tableSync'->'to'->>'table')
       AND EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'switchback'::regnamespace AND p.proname = 'empty_' || (detail->'tableSync'->>'hash'))`,
    [schema, table],
  );
  return rows.map((row) => ({
    run: { migration: row['migration'] ?? '', version: Number(row['version']), epoch: Number(row['epoch']) },
    step: row['step'] ?? '',
    detail: JSON.parse(row['detail'] ?? '{}') as TableSyncDetail,
  }));
}

export interface InStep {
  run: Omit<RunRef, 'digest' | 'generation'>;
  step: string;
  /** Columns of the table that it writes, by today's names. */
  writes: string[];
  /** Those that another dual write may not write: what it reads too, but for rows of two tables, which are read when made. */
  touches: string[];
  /** Whether rows come and go with those of another table. */
  between: boolean;
}
/** What dual writes, of one table or between two, keep in step in a table. */
export async function inStep(session: Queryable, schema: string, table: string): Promise<InStep[]> {
  const own = await findDualWrites(session, schema, table);
  const between = await findTableSyncs(session, schema, table);
  return [
    ...own.map(({ run, step, detail }) => {
      const today = (names: string[]): string[] => names.map((name) => detail.renamed[name] ?? name);
      return { run, step, writes: today(writtenBy(detail)), touches: today(touchedBy(detail)), between: false };
    }),
    ...between.map(({ run, step, detail }) => {
      const writes = writesIn(detail, table);
      return { run, step, writes, touches: writes, between: true };
    }),
  ];
}

/** What a dual write writes in each table, by today's names. */
function writesIn(detail: TableSyncDetail, table: string): string[] {
  const of = (side: SyncSide, expressions: object | null): string[] =>
    side.table === table ? Object.keys(expressions ?? {}).map((name) => side.renamed[name] ?? name) : [];
  return [...of(detail.to, detail.up), ...of(detail.from, detail.down)];
}

/** Two dual writes that write the same column would each undo what the other one does. */
async function refuseOverlap(session: Queryable, detail: TableSyncDetail): Promise<void> {
  for (const { table } of [detail.from, detail.to]) {
    const ours = writesIn(detail, table);
    for (const { run, step, writes } of await inStep(session, detail.schema, table)) {
      const shared = ours.find((name) => writes.includes(name));
      if (shared === undefined) continue;
      throw new SwitchbackError(
        'StatementFailed',
        `column ${quoteIdentifier(shared)} of ${quoteTable(detail.schema, table)} is kept in step by step "${step}" of migration "${run.migration}" already`,
        {
          hint: 'two dual writes can’t write one column: let the other one’s triggers be removed first',
          fields: { table, column: shared, migration: run.migration, step },
        },
      );
    }
  }
}

const foreignMarker = (detail: TableSyncDetail, table: string): SwitchbackError =>
  new SwitchbackError(
    'ForeignObject',
    `column ${quoteIdentifier(detail.marker)} exists in ${quoteTable(detail.schema, table)} and no step of this run made it`,
    {
      hint: 'look where it comes from; rename or drop it, then retry',
      fields: { table, column: detail.marker },
    },
  );

/** What is kept in step, and whose rows come and go with whose, in one line. */
function describe({ detail, up }: SyncShapes): string {
  const [from, to] = [detail.from, detail.to].map(({ table }) => quoteTable(detail.schema, table));
  const kept = detail.down === null ? `${to} follows ${from}` : `${from} and ${to} are kept in step`;
  const rest = leftBehind(up.source).map(quoteIdentifier);
  const only = rest.length === 0 ? '' : ` (${rest.join(', ')} stay behind)`;
  const owner = {
    copy: 'rows come and go on either side',
    split: `rows of ${to} come and go with those of ${from}${only}; deleting one in ${to} alone empties the old columns`,
    merge: `rows of ${to} are there by themselves; deleting one in ${from} empties the new columns`,
  }[detail.ownership];
  return `${kept}: ${detail.down === null && detail.ownership !== 'merge' ? `rows of ${to} come and go with those of ${from}` : owner}`;
}
