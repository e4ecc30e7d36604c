import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { findDualWrites } from './dual-write.ts';
import type { DualWriteDetail } from './dual-write-function.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { findKey, type Key, KEYLESS_ROWS_MAX, keyAfter, keyMissing, keyText, keyUpTo, keyValues } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { inSavepoint, referencedColumns, searchPath } from './table-expressions.ts';
import { assertWritable, columnOfTable, readTableShape, type TableShape } from './table-shape.ts';

/**
 * Compares the rows of a table with what they should hold, in place: one statement sees the row and what is expected
 * of it in one snapshot, so that a concurrent write is never taken for a difference.
 *
 * Of a dual write each row is held to what its last writer makes fair. Where the new side was derived (marker 0, 2 and above)
 * it must be `up` of the old side; where a client wrote the new side (marker 1) the old side must be `down` of it.
 */
export interface Comparison {
  shape: TableShape;
  /** Null for a small table without a key, which is compared as a whole. */
  key: Key | null;
  /** What to select from; its alias is the table's name, its columns have the plan's names too. */
  from: string;
  /** True for rows that the plan asks for. */
  asked: string;
  differs: string;
  /** True for rows whose repair loses nothing; `false` where none may be. */
  repairable: string;
  assignments: readonly string[];
}
export interface ChunkFound {
  checked: number;
  differing: number;
  repaired: number;
  /** Keys of rows that differ, at most `SAMPLE_MAX`. */
  sample: Place[];
}
export const SAMPLE_MAX = 20;
const ROW_LOCK_TIMEOUT_MS = 200;

/** Comparison with the dual write `detail`. `session` must be in a transaction, which keeps nothing of it. */
export async function compareWithDualWrite(
  session: Queryable,
  detail: DualWriteDetail,
  where: string | null,
): Promise<Comparison> {
  const shape = await readTableShape(session, detail.schema, detail.table);
  const alias = quoteIdentifier(detail.table);
  const marker = `${alias}.${quoteIdentifier(detail.marker)}`;
  const actual = (name: string): string => detail.renamed[name] ?? name;
  const up = await differences(session, shape, detail.up, actual);
  const down = detail.down === null ? 'false' : await differences(session, shape, detail.down, actual);
  return {
    shape,
    key: await keyOf(session, shape),
    from: rowsByPlanNames(detail),
    asked: where === null ? 'true' : `coalesce((\n${where}\n), false)`,
    differs: `CASE WHEN ${marker} IS NULL THEN true WHEN ${marker} = 1 THEN ${down} ELSE ${up} END`,
    // Once a column is retired the plan's expressions can only be read, not assigned.
    repairable: Object.keys(detail.renamed).length === 0 ? `${marker} IS DISTINCT FROM 1` : 'false',
    assignments: [
      ...Object.entries(detail.up).map(([name, expression]) => `${quoteIdentifier(name)} = (\n${expression}\n)`),
      `${quoteIdentifier(detail.marker)} = CASE WHEN ${marker} IS NULL THEN 2 WHEN ${marker} = 0 THEN 3 ELSE ${marker} + 1 END`,
    ],
  };
}

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
  const differs = await differences(
    session,
    shape,
    { [name]: expression },
    (column) => detail.renamed[column] ?? column,
  );
  return { from: rowsByPlanNames(detail), differs };
}

/** Comparison with expressions of the plan. Columns that a dual write keeps in step are compared, but not repaired. */
export async function compareWithExpressions(
  session: Queryable,
  wish: { schema: string; table: string; expect: Readonly<Record<string, string>>; where: string | null },
): Promise<Comparison> {
  const shape = await readTableShape(session, wish.schema, wish.table);
  for (const [name, expression] of Object.entries(wish.expect)) {
    columnOfTable(shape, name);
    await referencedColumns(session, shape, expression, `expect.${name}`);
  }
  if (wish.where !== null) await referencedColumns(session, shape, wish.where, 'where');
  const synced = (await findDualWrites(session, wish.schema, wish.table)).flatMap(({ detail }) => [
    ...Object.keys(detail.up),
    ...Object.keys(detail.down ?? {}),
  ]);
  const repairable = Object.keys(wish.expect).every((name) => !synced.includes(name) && isWritable(shape, name));
  return {
    shape,
    key: await keyOf(session, shape),
    from: `${quoteTable(wish.schema, wish.table)} AS ${quoteIdentifier(wish.table)}`,
    asked: wish.where === null ? 'true' : `coalesce((\n${wish.where}\n), false)`,
    differs: await differences(session, shape, wish.expect, (name) => name),
    repairable: repairable ? 'true' : 'false',
    assignments: Object.entries(wish.expect).map(
      ([name, expression]) => `${quoteIdentifier(name)} = (\n${expression}\n)`,
    ),
  };
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

/** True where a column is not what its expression gives once it is assigned: `IS DISTINCT FROM` is the equality. */
async function differences(
  session: Queryable,
  shape: TableShape,
  expressions: Readonly<Record<string, string>>,
  actual: (name: string) => string,
): Promise<string> {
  const alias = quoteIdentifier(shape.table);
  const terms: string[] = [];
  for (const [name, expression] of Object.entries(expressions)) {
    const { type, collation } = columnOfTable(shape, actual(name));
    const column = `${alias}.${quoteIdentifier(actual(name))}`;
    const expected = `CAST((\n${expression}\n) AS ${type})`;
    const compared = (await hasEquality(session, type))
      ? `${column} IS DISTINCT FROM ${expected}${collation === null ? '' : ` COLLATE ${collation}`}`
      : `${column}::text IS DISTINCT FROM ${expected}::text`;
    terms.push(compared);
  }
  return terms.length === 0 ? 'false' : `(${terms.join(' OR ')})`;
}

/** Types without an equality of their own, such as json, also inside arrays and domains, are compared as text. */
async function hasEquality(session: Queryable, type: string): Promise<boolean> {
  const [row] = await session.query(
    `WITH RECURSIVE inside AS (
       SELECT pg_typeof(NULL::${type})::oid AS oid, 0 AS depth
       UNION ALL
       SELECT CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END, i.depth + 1 FROM inside i JOIN pg_type t ON t.oid = i.oid
       WHERE t.typtype = 'd' OR t.typcategory = 'A')
     SELECT format_type(oid, -1) AS type FROM inside ORDER BY depth DESC LIMIT 1`,
  );
  try {
    await inSavepoint(session, () =>
      session.query(`SELECT NULL::${row?.['type']} IS DISTINCT FROM NULL::${row?.['type']}`),
    );
    return true;
  } catch (error) {
    if (error instanceof PostgresError && error.sqlState === '42883') return false;
    throw error;
  }
}

/**
 * Compares the rows after `lower` up to `upper` (null: from the first, and the whole table) and repairs where asked.
 * `session` must be in a transaction, in which the caller has made sure that the range is still its own.
 */
export async function compareChunk(
  session: Queryable,
  comparison: Comparison,
  range: { lower: Place | null; upper: Place | null },
  repair: boolean,
): Promise<ChunkFound> {
  const { from, asked, differs, shape } = comparison;
  const within = boundsOf(comparison, range);
  const values = within.values;
  await session.query(`SET LOCAL search_path = ${searchPath(shape.schema)}`);
  await session.query(`SET LOCAL lock_timeout = ${ROW_LOCK_TIMEOUT_MS}`);
  const [row] = await session.query(
    `SELECT count(*) AS checked, count(*) FILTER (WHERE ${differs}) AS differing FROM ${from} WHERE ${within.sql} AND ${asked}`,
    values,
  );
  const found: ChunkFound = {
    checked: Number(row?.['checked']),
    differing: Number(row?.['differing']),
    repaired: 0,
    sample: [],
  };
  if (found.differing > 0) {
    found.sample = await sampleOf(session, comparison, within);
    if (repair) found.repaired = await repairChunk(session, comparison, within);
  }
  await session.query('SET LOCAL search_path = pg_catalog');
  return found;
}

interface Bounds {
  sql: string;
  values: (Place | null)[];
}

function boundsOf({ key, shape }: Comparison, { lower, upper }: { lower: Place | null; upper: Place | null }): Bounds {
  if (key === null || upper === null) return { sql: 'true', values: [] };
  const alias = quoteIdentifier(shape.table);
  const upTo = keyUpTo(key, alias, keyValues(key, '$1::text[]'));
  if (lower === null) return { sql: upTo, values: [upper] };
  return { sql: `${keyAfter(key, alias, keyValues(key, '$2::text[]'))} AND ${upTo}`, values: [upper, lower] };
}

async function sampleOf(
  session: Queryable,
  { key, shape, from, asked, differs }: Comparison,
  within: Bounds,
): Promise<Place[]> {
  const alias = quoteIdentifier(shape.table);
  const place = key === null ? null : keyText(key, alias);
  if (place === null) return [];
  const rows = await session.query(
    `SELECT to_json(${place})::text AS place FROM ${from} WHERE ${within.sql} AND ${asked} AND ${differs} LIMIT ${SAMPLE_MAX}`,
    within.values,
  );
  return rows.map((row) => JSON.parse(row['place'] ?? '[]') as Place);
}

/** Rows that can't take the repair stay as they are and are found again by the next pass. */
async function repairChunk(session: Queryable, comparison: Comparison, within: Bounds): Promise<number> {
  const { shape, asked, differs, repairable, assignments } = comparison;
  const alias = quoteIdentifier(shape.table);
  const table = `${quoteTable(shape.schema, shape.table)} AS ${alias}`;
  if (repairable === 'false') return 0;
  await session.query('SAVEPOINT zz_repair');
  try {
    const [row] = await session.query(
      `WITH repaired AS (UPDATE ${table} SET ${assignments.join(', ')} WHERE ${within.sql} AND ${asked} AND ${differs} AND ${repairable} RETURNING 1)
       SELECT count(*) AS count FROM repaired`,
      within.values,
    );
    await session.query('RELEASE SAVEPOINT zz_repair');
    return Number(row?.['count']);
  } catch (error) {
    if (!(error instanceof PostgresError) || !/^(22|23|P0)/.test(error.sqlState)) throw error;
    await session.query('ROLLBACK TO SAVEPOINT zz_repair; RELEASE SAVEPOINT zz_repair');
    return 0;
  }
}

export const mismatch = (
  step: string,
  found: { differing: number; checked: number; keys: string; hint: string; hold: boolean },
): SwitchbackError =>
  new SwitchbackError(
    'VerifyMismatch',
    `${found.differing.toLocaleString('en-US')} of ${found.checked.toLocaleString('en-US')} rows differ from what step "${step}" expects${found.keys === '' ? '' : `: key ${found.keys}`}`,
    {
      hint: found.hint,
      fields: {
        step,
        differing: found.differing,
        checked: found.checked,
        keys: found.keys,
        ...(found.hold && { hold: true }),
      },
    },
  );
