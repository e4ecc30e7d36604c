import { createHash } from 'node:crypto';
import { type RunRef, SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import {
  type DualWriteDetail,
  dollarQuote,
  dualWriteFunction,
  dualWriteTriggers,
  type GeneratedSources,
  triggersOf,
} from './dual-write-function.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { namesWord } from './retire-references.ts';
import { inSavepoint, referencedColumns, refused, searchPath } from './table-expressions.ts';
import { assertWritable, columnOfTable, readTableShape, type TableShape } from './table-shape.ts';

/** What a plan asks for: see `DualWriteDetail` for the fields. */
export interface DualWriteWish {
  schema: string;
  table: string;
  up: Readonly<Record<string, string>>;
  down: Readonly<Record<string, string>> | null;
  bothWritten: 'new' | 'old' | 'error';
}
export interface DualWritePlan {
  detail: DualWriteDetail;
  /** In order; together they take one short ACCESS EXCLUSIVE lock. */
  statements: string[];
}

/**
 * Names of ours sort after every name in lower case, because triggers of one event run in the order of their names and
 * ours must see what the others made of the row.
 */
export function dualWriteNames(
  run: Pick<RunRef, 'migration' | 'version'>,
  step: string,
): Pick<DualWriteDetail, 'marker' | 'trigger' | 'function'> {
  const hash = createHash('sha256')
    .update(JSON.stringify([run.migration, run.version, step]))
    .digest('hex')
    .slice(0, 10);
  const name = `zz_switchback_${hash}`;
  return { marker: name, trigger: name, function: `sync_${hash}` };
}

/**
 * Checks the wish against the catalog and works out the statements. `session` must be in a transaction, which keeps
 * nothing of it. Throws `StatementFailed` for what can't be kept in step, by name.
 */
export async function planDualWrite(
  session: Queryable,
  wish: DualWriteWish,
  names: ReturnType<typeof dualWriteNames>,
): Promise<DualWritePlan> {
  const shape = await readTableShape(session, wish.schema, wish.table);
  const detail: DualWriteDetail = {
    schema: wish.schema,
    table: wish.table,
    up: { ...wish.up },
    down: wish.down === null ? null : { ...wish.down },
    bothWritten: wish.bothWritten,
    ...names,
    renamed: {},
    upReads: await readsOf(session, shape, wish.up, 'up'),
    downReads: await readsOf(session, shape, wish.down ?? {}, 'down'),
  };
  refuseColumns(detail, shape);
  await refuseOverlap(session, detail);
  await refuseTriggers(session, shape, detail);
  await refuseReaders(session, shape, detail);
  const generated = await generatedSources(session, detail, shape);
  await tryOnNulls(session, detail, shape);
  if (shape.columns.has(detail.marker)) {
    throw new SwitchbackError(
      'ForeignObject',
      `column ${quoteIdentifier(detail.marker)} exists in ${quoteTable(wish.schema, wish.table)} and no step of this run made it`,
      {
        hint: 'look where it comes from; rename or drop it, then retry',
        fields: { table: wish.table, column: detail.marker },
      },
    );
  }
  const withMarker = withColumn(shape, detail.marker);
  return {
    detail,
    statements: [
      `ALTER TABLE ${quoteTable(wish.schema, wish.table)} ADD COLUMN ${quoteIdentifier(detail.marker)} smallint`,
      dualWriteFunction(detail, withMarker, generated),
      `REVOKE ALL ON FUNCTION ${quoteTable('switchback', detail.function)}() FROM PUBLIC`,
      ...dualWriteTriggers(detail, withMarker, generated),
    ],
  };
}

/** The statements that remove all of it; they do nothing where nothing is left. The marker goes last. */
export function removeDualWrite(
  detail: Pick<DualWriteDetail, 'schema' | 'table' | 'marker' | 'trigger' | 'function'>,
): string[] {
  const table = quoteTable(detail.schema, detail.table);
  const { insert, update } = triggersOf(detail as DualWriteDetail);
  const exists = `to_regclass(${literal(table)}) IS NOT NULL`;
  const drop = dollarQuote(`BEGIN IF ${exists} THEN
DROP TRIGGER IF EXISTS ${quoteIdentifier(insert)} ON ${table};
DROP TRIGGER IF EXISTS ${quoteIdentifier(update)} ON ${table};
END IF; END`);
  return [
    `DO ${drop}`,
    `DROP FUNCTION IF EXISTS ${quoteTable('switchback', detail.function)}()`,
    `ALTER TABLE IF EXISTS ${table} DROP COLUMN IF EXISTS ${quoteIdentifier(detail.marker)}`,
  ];
}
const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Makes the trigger function follow a column that has another name now. To be called in the transaction of the rename,
 * after it; triggers need no change, for Postgres follows the rename in their WHEN. Answers with the detail to keep,
 * or null where the dual write doesn't know the column.
 */
async function rewriteDualWrite(
  session: Queryable,
  detail: DualWriteDetail,
  { from, to }: { from: string; to: string },
): Promise<DualWriteDetail | null> {
  // By today's names: the plan's name of a column that was retired can be another column's since.
  const known = touchedBy(detail).filter((name) => (detail.renamed[name] ?? name) === from);
  if (known.length === 0) return null;
  const entries = Object.entries({ ...detail.renamed, ...Object.fromEntries(known.map((name) => [name, to])) });
  const after: DualWriteDetail = {
    ...detail,
    renamed: Object.fromEntries(entries.filter(([name, actual]) => name !== actual)),
  };
  const shape = await readTableShape(session, detail.schema, detail.table);
  await session.query(dualWriteFunction(after, shape, await generatedSources(session, after, shape)));
  return after;
}

/** All dual writes of a table that are in force, each with the step that made it. */
export async function findDualWrites(
  session: Queryable,
  schema: string,
  table: string,
): Promise<{ run: Omit<RunRef, 'digest' | 'generation'>; step: string; detail: DualWriteDetail }[]> {
  const rows = await session.query(
    `SELECT migration, version, epoch, step, detail->'dualWrite' AS detail FROM switchback.steps
     WHERE kind = 'dual-write' AND state = 'applied' AND detail->'dualWrite'->>'schema' = $1 AND detail->'dualWrite'->>'table' = $2
       AND EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'switchback'::regnamespace AND p.proname = detail->'dualWrite'->>'function')`,
    [schema, table],
  );
  return rows.map((row) => ({
    run: { migration: row['migration'] ?? '', version: Number(row['version']), epoch: Number(row['epoch']) },
    step: row['step'] ?? '',
    detail: JSON.parse(row['detail'] ?? '{}') as DualWriteDetail,
  }));
}

/** Every column that the dual write reads or writes, by the plan's names. */
const touchedBy = ({ up, down, upReads, downReads }: DualWriteDetail): string[] => [
  ...new Set([...Object.keys(up), ...Object.keys(down ?? {}), ...upReads, ...downReads]),
];
const writtenBy = ({ up, down }: DualWriteDetail): string[] => [...Object.keys(up), ...Object.keys(down ?? {})];

/**
 * Two dual writes over one column would have to run in an order that depends on who writes: whichever ran first would
 * not see what the other one made of the row. Columns that both only read are no trouble.
 */
async function refuseOverlap(session: Queryable, detail: DualWriteDetail): Promise<void> {
  for (const { run, step, detail: other } of await findDualWrites(session, detail.schema, detail.table)) {
    const today = (names: string[]): string[] => names.map((name) => other.renamed[name] ?? name);
    const shared =
      writtenBy(detail).find((name) => today(touchedBy(other)).includes(name)) ??
      touchedBy(detail).find((name) => today(writtenBy(other)).includes(name));
    if (shared === undefined) continue;
    throw new SwitchbackError(
      'StatementFailed',
      `column ${quoteIdentifier(shared)} of ${quoteTable(detail.schema, detail.table)} is kept in step by step "${step}" of migration "${run.migration}" already`,
      {
        hint: 'two dual writes can’t share a column that one of them writes: keep both in one step, or let the other one’s triggers be removed first',
        fields: { table: detail.table, column: shared, migration: run.migration, step },
      },
    );
  }
}

/** The dual writes of the table, by step and migration: for those who would pull it away from under them. */
export const dualWritesInWords = async (session: Queryable, schema: string, table: string): Promise<string[]> =>
  (await findDualWrites(session, schema, table)).map(
    ({ run, step }) => `step "${step}" of migration "${run.migration}"`,
  );

/** Makes every dual write of the table follow a column's new name, ledger included. Answers with how many there were. */
export async function renameInDualWrites(
  session: Queryable,
  schema: string,
  table: string,
  renamed: { from: string; to: string },
): Promise<number> {
  let rewritten = 0;
  for (const { run, step, detail } of await findDualWrites(session, schema, table)) {
    const after = await rewriteDualWrite(session, detail, renamed);
    if (after === null) continue;
    await session.query(
      `UPDATE switchback.steps SET detail = detail || jsonb_build_object('dualWrite', $5::jsonb)
       WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = $4`,
      [run.migration, run.version, run.epoch, step, JSON.stringify(after)],
    );
    rewritten += 1;
  }
  return rewritten;
}

async function readsOf(
  session: Queryable,
  shape: TableShape,
  expressions: Readonly<Record<string, string>>,
  direction: string,
): Promise<string[]> {
  const reads = new Set<string>();
  for (const [column, expression] of Object.entries(expressions)) {
    columnOfTable(shape, column);
    for (const name of await referencedColumns(session, shape, expression, `${direction}.${column}`))
      reads.add(columnOfTable(shape, name).name);
  }
  return [...reads];
}

function refuseColumns(detail: DualWriteDetail, shape: TableShape): void {
  const up = Object.keys(detail.up);
  const down = Object.keys(detail.down ?? {});
  const both = up.find((name) => down.includes(name));
  if (both !== undefined) throw refusal(detail, both, 'is written by `up` and by `down`; it can be on one side only');
  for (const name of [...up, ...down]) {
    assertWritable(columnOfTable(shape, name));
    if (shape.partitionKey.includes(name))
      throw refusal(detail, name, 'is part of the partition key, which a trigger may not change');
  }
  // A default makes a column look given by a client that never heard of it. On the old side that does no harm as long
  // as the new side wins.
  const given = detail.bothWritten === 'new' ? up : [...up, ...down];
  const withDefault = given.find((name) => columnOfTable(shape, name).hasDefault);
  if (withDefault !== undefined) {
    throw refusal(detail, withDefault, 'has a DEFAULT: an INSERT that leaves it out looks as if it had been written');
  }
}

const refusal = (detail: DualWriteDetail, column: string, what: string): SwitchbackError =>
  new SwitchbackError(
    'StatementFailed',
    `column ${quoteIdentifier(column)} of ${quoteTable(detail.schema, detail.table)} ${what}`,
    {
      hint: 'change the column in an earlier `ddl` step, or leave it out of the dual write',
      fields: { table: detail.table, column },
    },
  );

/** Triggers of others that run after ours could change what ours has just put in step. */
async function refuseTriggers(session: Queryable, shape: TableShape, detail: DualWriteDetail): Promise<void> {
  const [row] = await session.query(
    `SELECT quote_ident(t.tgname) AS name, t.tgrelid::regclass::text AS on_table FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE (t.tgrelid = $1::oid OR t.tgrelid IN (SELECT relid FROM pg_partition_tree($1::oid))) AND NOT t.tgisinternal
       AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 AND t.tgenabled <> 'D'
       AND t.tgname::text COLLATE "C" > $2 AND p.pronamespace <> 'switchback'::regnamespace
     ORDER BY t.tgname LIMIT 1`,
    [shape.oid, detail.trigger],
  );
  if (row === undefined) return;
  throw new SwitchbackError(
    'StatementFailed',
    `trigger ${row['name']} on ${row['on_table']} would run after ours (${detail.trigger}) and could undo what it does`,
    {
      hint: `rename the trigger so that it sorts before "${detail.trigger}" (ALTER TRIGGER … RENAME TO …)`,
      fields: { trigger: row['name'] ?? '' },
    },
  );
}

/** Triggers of others that run before ours see what is derived as it was before the write. */
async function refuseReaders(session: Queryable, shape: TableShape, detail: DualWriteDetail): Promise<void> {
  const rows = await session.query(
    `SELECT quote_ident(t.tgname) AS name, t.tgrelid::regclass::text AS on_table, p.prosrc AS body FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE (t.tgrelid = $1::oid OR t.tgrelid IN (SELECT relid FROM pg_partition_tree($1::oid))) AND NOT t.tgisinternal
       AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 AND t.tgenabled <> 'D' AND p.pronamespace <> 'switchback'::regnamespace
     ORDER BY t.tgname`,
    [shape.oid],
  );
  for (const row of rows) {
    const column = Object.keys(detail.up).find((name) => namesWord(row['body'] ?? '', name));
    if (column === undefined) continue;
    throw new SwitchbackError(
      'StatementFailed',
      `trigger ${row['name']} on ${row['on_table']} names ${quoteIdentifier(column)}, which ours derives after it`,
      {
        hint: 'take the column out of the trigger’s function, or let the trigger run AFTER the write',
        fields: { trigger: row['name'] ?? '', column },
      },
    );
  }
}

async function generatedSources(
  session: Queryable,
  detail: DualWriteDetail,
  shape: TableShape,
): Promise<GeneratedSources> {
  const sources = new Map<string, { expression: string; reads: readonly string[] }>();
  for (const name of new Set([...detail.upReads, ...detail.downReads])) {
    const column = shape.columns.get(detail.renamed[name] ?? name);
    if (column?.generated === undefined || column.generated === null) continue;
    const reads = await referencedColumns(session, shape, column.generated, `generated column ${column.name}`);
    sources.set(column.name, { expression: column.generated, reads });
  }
  return sources;
}

/**
 * Evaluates each expression as the trigger will, over a row of NULLs. What a view takes and PL/pgSQL doesn't (a
 * reference to the whole row) shows here instead of failing every client's write; errors over the data don't count.
 */
async function tryOnNulls(session: Queryable, detail: DualWriteDetail, shape: TableShape): Promise<void> {
  const sides = [
    ['up', detail.up, detail.upReads],
    ['down', detail.down ?? {}, detail.downReads],
  ] as const;
  for (const [direction, expressions, reads] of sides) {
    const variables = reads.map(
      (name) => `${quoteIdentifier(name)} ${columnOfTable(shape, name).type.replace(/ NOT NULL$/, '')};`,
    );
    for (const [column, expression] of Object.entries(expressions)) {
      const block = `<<${quoteIdentifier(shape.table)}>>\nDECLARE ${variables.join(' ')}\nBEGIN PERFORM (\n${expression}\n); END`;
      await inSavepoint(session, async () => {
        await session.query(`SET LOCAL search_path = ${searchPath(detail.schema)}`);
        await session.query(`DO ${dollarQuote(block)}`);
      }).catch((error: unknown) => {
        if (error instanceof SwitchbackError && !String(error.fields['sqlState']).startsWith('42')) return;
        throw refused(error, `${direction}.${column}`);
      });
    }
  }
}

function withColumn(shape: TableShape, name: string): TableShape {
  const marker = {
    name,
    type: 'smallint',
    collation: null,
    notNull: false,
    hasDefault: false,
    generated: null,
    identityAlways: false,
  };
  return { ...shape, columns: new Map([...shape.columns, [name, marker]]) };
}
