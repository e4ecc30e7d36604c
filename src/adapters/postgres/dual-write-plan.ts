import type { Queryable } from './database.ts';
import type { dualWriteNames } from './dual-write.ts';
import {
  type DualWriteDetail,
  dualWriteComments,
  dualWriteFunction,
  dualWriteTriggers,
} from './dual-write-function.ts';
import { refuseDualWrite } from './dual-write-refusals.ts';
import { heirsOf, syncedTable } from './dual-write-table.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { areImmutable, referencedColumns } from './table-expressions.ts';
import { columnOfTable, readTableShape, type TableShape } from './table-shape.ts';

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
  /** The one of them that creates the trigger function. */
  functionSql: string;
  shape: TableShape;
}

/**
 * Checks the wish against the catalog and works out the statements. `session` must be in a transaction, which keeps
 * nothing of it. Throws `StatementFailed` for what can't be kept in step, by name.
 *
 * `shape` is the table as it will be when the step runs: a check of a plan sees it before the columns are there.
 */
export async function planDualWrite(
  session: Queryable,
  wish: DualWriteWish,
  names: ReturnType<typeof dualWriteNames>,
  shape?: TableShape,
): Promise<DualWritePlan> {
  const table = shape ?? (await readTableShape(session, wish.schema, wish.table));
  const detail: DualWriteDetail = {
    schema: wish.schema,
    table: wish.table,
    up: { ...wish.up },
    down: wish.down === null ? null : { ...wish.down },
    bothWritten: wish.bothWritten,
    ...names,
    renamed: {},
    upReads: await readsOf(session, table, wish.up, 'up'),
    downReads: await readsOf(session, table, wish.down ?? {}, 'down'),
    immutable: await areImmutable(
      session,
      table,
      [...Object.entries(wish.up), ...Object.entries(wish.down ?? {})].map(([name, expression]) => ({
        expression,
        type: columnOfTable(table, name).type,
      })),
    ),
  };
  await refuseDualWrite(session, table, detail);
  const on = [{ schema: wish.schema, table: wish.table }, ...(await heirsOf(session, table))];
  const synced = await syncedTable(session, detail, withColumn(table, detail.marker));
  const functionSql = dualWriteFunction(detail, synced);
  return {
    detail,
    functionSql,
    shape: table,
    statements: [
      `ALTER TABLE ${quoteTable(wish.schema, wish.table)} ADD COLUMN ${quoteIdentifier(detail.marker)} smallint`,
      functionSql,
      `REVOKE ALL ON FUNCTION ${quoteTable('switchback', detail.function)}() FROM PUBLIC`,
      ...on.flatMap((one) => dualWriteTriggers(detail, one)),
      ...dualWriteComments(detail, on),
    ],
  };
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
