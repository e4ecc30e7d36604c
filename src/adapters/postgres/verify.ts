import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import type { DualWriteDetail } from './dual-write-function.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { findKey, type Key, KEYLESS_ROWS_MAX, keyMissing } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { OURS } from './retire-readers.ts';
import { inSavepoint, referencedColumns } from './table-expressions.ts';
import { assertWritable, columnOfTable, readTableShape, type TableShape } from './table-shape.ts';
import { inStep } from './table-sync.ts';
import { type RangeOn, repairInPlace, type RepairStatement } from './verify-repair.ts';

/**
 * What it takes to compare the rows of a table with what they should hold, in place: one statement sees the row and
 * what is expected of it in one snapshot, so that a concurrent write is never taken for a difference.
 *
 * Whoever makes one decides what `from` joins; see `verify-rows.ts` for how it is run.
 */
export interface Comparison {
  shape: TableShape;
  /** Null for a small table without a key, which is compared as a whole. */
  key: Key | null;
  /** What to select from; its alias is the table's name, its columns have the plan's names too. */
  from: string;
  /**
   * The same with a range's condition inside, where Postgres couldn't bring it to every index by itself.
   */
  fromWithin?(on: RangeOn): string;
  /** True for rows that the plan asks for. */
  asked: string;
  /** True for rows that differ. */
  differs: string;
  columns: readonly ComparedColumn[];
  /** Mends the rows of a range that differ, as far as that loses nothing; null where no row is mended. */
  repair: RepairStatement | null;
  /** Why rows that differ may stay as they are although the plan says `repair`, in words. */
  unrepaired: string;
  /** The ends of the ranges of a walk, from those of `shape`; absent: they are the same. */
  uppers?(session: Queryable, places: readonly Place[]): Promise<Place[]>;
}
/** A column with what it should hold, both as SQL over the row. */
export interface ComparedColumn {
  name: string;
  actual: string;
  expected: string;
  /** True where both differ. */
  differs: string;
  /** True for rows in which this column is the one to look at. */
  counts: string;
}

/**
 * Comparison with the dual write `detail`. Each row is held to what its last writer makes fair, which the marker knows: the
 * old side must be `down` of the new one where a client wrote the new side last (marker 1), else the new side must be `up`
 * of the old one.
 *
 * A row that differs is mended only where no client can have meant it: where the old side is `down` of the new one, it
 * may have come past the triggers from a client of the new side, and deriving it again would lose what that one wrote.
 *
 * `session` must be in a transaction, which keeps nothing of it.
 */
export async function compareWithDualWrite(
  session: Queryable,
  detail: DualWriteDetail,
  where: string | null,
): Promise<Comparison> {
  const shape = await readTableShape(session, detail.schema, detail.table);
  const key = await keyOf(session, shape);
  const marker = `${quoteIdentifier(detail.table)}.${quoteIdentifier(detail.marker)}`;
  const actual = (name: string): string => detail.renamed[name] ?? name;
  const up = await comparedColumns(session, shape, detail.up, actual, `${marker} IS DISTINCT FROM 1`);
  const down = await comparedColumns(session, shape, detail.down ?? {}, actual, `${marker} = 1`);
  const asked = where === null ? 'true' : `coalesce((\n${where}\n), false)`;
  const assignments = [
    ...Object.entries(detail.up).map(([name, expression]) => `${quoteIdentifier(name)} = (\n${expression}\n)`),
    `${quoteIdentifier(detail.marker)} = CASE WHEN ${marker} IS NULL THEN 2 WHEN ${marker} = 0 THEN 3 ELSE ${marker} + 1 END`,
  ];
  // Once a column is retired the plan's expressions can only be read, not assigned.
  const retired = Object.keys(detail.renamed).length > 0;
  const meant = down.length === 0 ? 'false' : `coalesce(${down.map(({ same }) => same).join(' AND ')}, false)`;
  const allowed = `${asked} AND CASE WHEN ${marker} IS NULL THEN true WHEN ${marker} = 1 THEN false ELSE NOT ${meant} END`;
  return {
    shape,
    key,
    from: rowsByPlanNames(detail),
    asked,
    differs: `CASE WHEN ${marker} IS NULL THEN true WHEN ${marker} = 1 THEN ${anyDiffers(down)} ELSE ${anyDiffers(up)} END`,
    columns: [...up, ...down],
    repair: retired ? null : repairInPlace({ shape, key, allowed, assignments, columns: Object.keys(detail.up) }),
    unrepaired: retired
      ? 'a column of this dual write is out of use: rows can no longer be mended by its expressions'
      : 'rows whose new side a client wrote last are not repaired, nor those whose old side follows from the new one: deriving the new side again would lose what a client wrote into it',
  };
}

/**
 * The table as it should be, to select from in the place of `from`: columns that don't hold what they should have what is
 * expected of them, in rows that differ.
 */
export function asExpected({ shape, from, differs, columns }: Comparison): string {
  const alias = quoteIdentifier(shape.table);
  const names = [...new Set(columns.map(({ name }) => name))];
  const mended = names.map((name) => {
    const whens = columns
      .filter((column) => column.name === name)
      .map(({ counts, expected }) => `WHEN ${differs} AND ${counts} THEN ${expected}`);
    return `CASE ${whens.join(' ')} ELSE ${alias}.${quoteIdentifier(name)} END AS ${quoteIdentifier(name)}`;
  });
  const others = [...shape.columns.keys()].filter((name) => !names.includes(name));
  const kept = others.map((name) => `${alias}.${quoteIdentifier(name)}`);
  return `(SELECT ${[...kept, ...mended].join(', ')} FROM ${from}) AS ${alias}`;
}

const anyDiffers = (columns: readonly ComparedColumn[]): string =>
  columns.length === 0 ? 'false' : `(${columns.map(({ differs }) => differs).join(' OR ')})`;

/** The table, with the columns that were renamed since under the plan's names too. */
function rowsByPlanNames({ schema, table, renamed }: DualWriteDetail): string {
  const alias = quoteIdentifier(table);
  const names = Object.entries(renamed).map(([name, now]) => `zz.${quoteIdentifier(now)} AS ${quoteIdentifier(name)}`);
  return names.length === 0
    ? `${quoteTable(schema, table)} AS ${alias}`
    : `(SELECT zz.*, ${names.join(', ')} FROM ${quoteTable(schema, table)} AS zz) AS ${alias}`;
}

/** What to select from, and what is true of rows whose column `name` isn't what `expression` gives, whoever wrote last. */
export async function compareOneColumn(
  session: Queryable,
  detail: DualWriteDetail,
  name: string,
  expression: string,
): Promise<Pick<Comparison, 'from' | 'differs'>> {
  const shape = await readTableShape(session, detail.schema, detail.table);
  const actual = (column: string): string => detail.renamed[column] ?? column;
  const columns = await comparedColumns(session, shape, { [name]: expression }, actual, 'true');
  return { from: rowsByPlanNames(detail), differs: anyDiffers(columns) };
}

/** Comparison with expressions of the plan. Columns that a dual write keeps in step are compared, but not repaired. */
export async function compareWithExpressions(
  session: Queryable,
  wish: { schema: string; table: string; expect: Readonly<Record<string, string>>; where: string | null },
): Promise<Comparison> {
  const shape = await readTableShape(session, wish.schema, wish.table);
  const key = await keyOf(session, shape);
  for (const [name, expression] of Object.entries(wish.expect)) {
    columnOfTable(shape, name);
    await referencedColumns(session, shape, expression, `expect.${name}`);
  }
  if (wish.where !== null) await referencedColumns(session, shape, wish.where, 'where');
  const columns = await comparedColumns(session, shape, wish.expect, (name) => name, 'true');
  const asked = wish.where === null ? 'true' : `coalesce((\n${wish.where}\n), false)`;
  const differs = anyDiffers(columns);
  const kept = await keptFromRepair(session, shape, Object.keys(wish.expect));
  const assignments = Object.entries(wish.expect).map(
    ([name, expression]) => `${quoteIdentifier(name)} = (\n${expression}\n)`,
  );
  return {
    shape,
    key,
    from: `${quoteTable(wish.schema, wish.table)} AS ${quoteIdentifier(wish.table)}`,
    asked,
    differs,
    columns,
    repair:
      kept === null
        ? repairInPlace({ shape, key, allowed: asked, assignments, columns: Object.keys(wish.expect) })
        : null,
    unrepaired: kept ?? 'rows that refuse the value (a constraint, a trigger, a value out of range) stay as they are',
  };
}

/** Why an expression may not be assigned to these columns; null: it may. */
async function keptFromRepair(session: Queryable, shape: TableShape, names: readonly string[]): Promise<string | null> {
  for (const { step, writes } of await inStep(session, shape.schema, shape.table)) {
    const column = names.find((name) => writes.includes(name));
    if (column !== undefined)
      return `column ${quoteIdentifier(column)} is kept in step by the dual write "${step}": a repair by an expression would be taken for a client's write and overwrite the other side, which may hold more; let a verify step \`of: ${step}\` repair it`;
  }
  const fixed = names.find((name) => !isWritable(shape, name));
  return fixed === undefined ? null : `column ${quoteIdentifier(fixed)} can't be written`;
}

function isWritable(shape: TableShape, name: string): boolean {
  try {
    assertWritable(columnOfTable(shape, name));
    return true;
  } catch {
    return false;
  }
}

async function keyOf(session: Queryable, shape: TableShape): Promise<Key | null> {
  const key = await findKey(session, shape, null);
  if (key !== null) return key;
  const [found] = await session.query(
    `SELECT count(*) AS count FROM (SELECT FROM ${quoteTable(shape.schema, shape.table)} LIMIT ${KEYLESS_ROWS_MAX + 1}) r`,
  );
  if (Number(found?.['count']) <= KEYLESS_ROWS_MAX) return null;
  throw keyMissing(
    shape,
    `no primary key and no unique index over NOT NULL columns, and more than ${KEYLESS_ROWS_MAX} rows`,
  );
}

/** Columns with what their expressions give once they are assigned: `IS DISTINCT FROM` is the equality. */
async function comparedColumns(
  session: Queryable,
  shape: TableShape,
  expressions: Readonly<Record<string, string>>,
  actual: (name: string) => string,
  counts: string,
): Promise<(ComparedColumn & { same: string })[]> {
  const alias = quoteIdentifier(shape.table);
  const columns: (ComparedColumn & { same: string })[] = [];
  for (const [name, expression] of Object.entries(expressions)) {
    const { type, collation } = columnOfTable(shape, actual(name));
    const column = `${alias}.${quoteIdentifier(actual(name))}`;
    const expected = `CAST((\n${expression}\n) AS ${type})${collation === null ? '' : ` COLLATE ${collation}`}`;
    const as = (await hasEquality(session, shape, actual(name))) ? '' : '::text';
    const differs = `${column}${as} IS DISTINCT FROM ${expected}${as}`;
    columns.push({ name, actual: column, expected, differs, same: `${column}${as} = ${expected}${as}`, counts });
  }
  return columns;
}

/**
 * Types without an equality of their own, such as json, also inside arrays, domains and composites, are compared as
 * text. So are boxes and circles: their `=` is that of their areas.
 */
export async function hasEquality(session: Queryable, shape: TableShape, column: string): Promise<boolean> {
  try {
    await inSavepoint(session, () =>
      session.query(
        `SELECT ${OURS} DISTINCT ${quoteIdentifier(column)} FROM ${quoteTable(shape.schema, shape.table)} LIMIT 0`,
      ),
    );
    return true;
  } catch (error) {
    if (error instanceof PostgresError && error.sqlState === '42883') return false;
    throw error;
  }
}
