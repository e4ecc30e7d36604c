import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import type { DdlWork } from './ddl-record.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';
import { findKey, type Key, keyText } from './range-key.ts';
import type { Rescue, RescuedColumn } from './rescue-state.ts';
import { searchPath } from './table-expressions.ts';
import type { TableShape } from './table-shape.ts';

/** One table whose rows are copied: it by itself, or with its partitions. */
export interface RescueSource {
  oid: string;
  schema: string;
  /** Its name today. */
  name: string;
  /** The name that the copied rows are found under. */
  label: string;
  partitioned: boolean;
  key: Key | null;
  columns: readonly string[];
}
/** A stretch of a source: pages of one of its tables, or all of it. */
export type Stretch = { schema: string; name: string; from: number; to: number } | 'all';

const TREE = `
WITH RECURSIVE tree AS (
  SELECT $1::oid AS oid UNION SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
)
SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind,
  pg_relation_size(c.oid) / current_setting('block_size')::int AS pages,
  (SELECT json_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)::text AS columns
FROM tree t JOIN pg_class c ON c.oid = t.oid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') ORDER BY c.oid <> $1::oid, c.oid`;

export interface RescueTree {
  sources: RescueSource[];
  /** The tables that hold rows, each with the source that it belongs to. */
  leaves: { oid: string; schema: string; name: string; pages: number; source: RescueSource }[];
}

/** The table, its partitions and its heirs. Partitions count as one table with it; heirs have rows and keys of their own. */
export async function rescueTree(session: Queryable, rescue: Rescue): Promise<RescueTree> {
  const root = quoteTable(rescue.schema, rescue.hidden ?? rescue.table);
  const [found] = await session.query('SELECT to_regclass($1)::oid::text AS oid', [root]);
  const rows = await session.query(TREE, [found?.['oid'] ?? null]);
  const partitioned = rows[0]?.['kind'] === 'p';
  const sources: RescueSource[] = [];
  for (const [index, row] of rows.entries()) {
    if (partitioned && index > 0) break;
    const source = { oid: row['oid'] ?? '', schema: row['schema'] ?? '', name: row['name'] ?? '' };
    sources.push({
      ...source,
      label: index === 0 ? rescue.table : source.name,
      partitioned,
      key: await keyOf(session, source, rescue),
      columns: JSON.parse(row['columns'] ?? '[]') as string[],
    });
  }
  const leaves = rows.flatMap((row, index) => {
    const source = partitioned ? sources[0] : sources[index];
    if (row['kind'] !== 'r' || source === undefined) return [];
    const leaf = { oid: row['oid'] ?? '', schema: row['schema'] ?? '', name: row['name'] ?? '' };
    return [{ ...leaf, pages: Number(row['pages']), source }];
  });
  return { sources, leaves };
}

/** Its key, unless a column that goes is part of it. */
async function keyOf(
  session: Queryable,
  { oid, schema, name }: Pick<RescueSource, 'oid' | 'schema' | 'name'>,
  { columns }: Rescue,
): Promise<Key | null> {
  const shape: TableShape = {
    oid,
    schema,
    table: name,
    partitioned: false,
    partitionKey: [],
    rowsEstimated: null,
    bytes: 0,
    columns: new Map(),
  };
  const key = await findKey(session, shape, null);
  const goes = (column: string): boolean => columns.some((one) => (one.hidden ?? one.name) === column);
  return key?.some(({ name: column }) => goes(column)) === true ? null : key;
}

/**
 * Copies what is worth keeping of a stretch into `switchback.rescued`, in the caller's transaction. Answers with how many
 * values (or whole rows) that were. What was copied before isn't again, as far as the table has a key.
 */
export async function copyStretch(
  work: DdlWork,
  transaction: Queryable,
  { rescue, source, stretch }: { rescue: Rescue; source: RescueSource; stretch: Stretch },
): Promise<number> {
  await transaction.query(`SET LOCAL search_path = ${searchPath(rescue.schema)}; SAVEPOINT zz_copy`);
  const copy = async (derived: boolean): Promise<number> => {
    const [row] = await transaction.query(copySql({ rescue, source, stretch, derived }), valuesOf(work, source));
    return Number(row?.['count']);
  };
  let count: number;
  try {
    count = await copy(true);
  } catch (error) {
    // An expression of the plan that doesn't fit the rows, or columns that went before: then more is kept.
    if (!(error instanceof PostgresError) || error.retry) throw error;
    await transaction.query('ROLLBACK TO SAVEPOINT zz_copy');
    count = await copy(false);
  }
  await transaction.query('RELEASE SAVEPOINT zz_copy; SET LOCAL search_path = pg_catalog');
  return count;
}

const valuesOf = ({ key: { run, step } }: DdlWork, source: RescueSource): (string | number | null)[] => [
  run.migration,
  run.version,
  run.epoch,
  step,
  source.schema,
  source.label,
  source.key === null ? null : JSON.stringify(source.key.map(({ name }) => name)),
];

interface Copy {
  rescue: Rescue;
  source: RescueSource;
  stretch: Stretch;
  derived: boolean;
}

function copySql({ rescue, source, stretch, derived }: Copy): string {
  // Expressions of the plan may qualify their columns with the table's name.
  const alias = quoteIdentifier(rescue.table);
  const key = source.key === null ? 'NULL::text[]' : keyText(source.key, alias);
  const from =
    stretch === 'all'
      ? `${source.partitioned ? '' : 'ONLY '}${quoteTable(source.schema, source.name)}`
      : `ONLY ${quoteTable(stretch.schema, stretch.name)}`;
  const where =
    stretch === 'all'
      ? ''
      : `WHERE ${alias}.ctid >= '(${stretch.from},0)'::tid AND ${alias}.ctid < '(${stretch.to},0)'::tid`;
  const row = source.key === null || rescue.columns.length === 0 ? wholeRow(rescue, source, alias) : 'NULL::jsonb';
  const values = rescue.columns.map(
    (column) =>
      `(${quoteLiteral(column.name)}, ${actual(column, alias)}::text, ${isWorthKeeping(column, alias, derived)})`,
  );
  const kept = values.length === 0 ? `(VALUES ('', NULL::text, true))` : `(VALUES ${values.join(',\n    ')})`;
  return `WITH kept AS (
  INSERT INTO switchback.rescued (migration, version, epoch, step, "schema", "table", key_columns, key, place, "column", value, "row")
  SELECT $1, $2::integer, $3::integer, $4, $5, $6, ARRAY(SELECT json_array_elements_text($7::json)), ${key}, md5(${key}::text)::uuid,
    zz_kept.name, zz_kept.value, ${row}
  FROM ${from} AS ${alias} CROSS JOIN LATERAL ${kept} AS zz_kept (name, value, worth)
  ${where === '' ? 'WHERE' : `${where} AND`} zz_kept.worth
  ON CONFLICT DO NOTHING RETURNING 1)
SELECT count(*) AS count FROM kept`;
}

const actual = ({ name, hidden }: RescuedColumn, alias: string): string =>
  `${alias}.${quoteIdentifier(hidden ?? name)}`;

/** Whether the row holds something that is nowhere else. Images are compared, as the dual write does. */
function isWorthKeeping(column: RescuedColumn, alias: string, derived: boolean): string {
  const value = actual(column, alias);
  const known = [column.fixed, derived ? column.derived : null].filter((expression) => expression !== null);
  return [
    `num_nonnulls(${value}) = 1`,
    ...known.map((expression) => `ROW(${value})::record *<> ROW(CAST((\n${expression}\n) AS ${column.type}))::record`),
  ].join(' AND ');
}

/** The row as texts by column, under the names that clients know. */
function wholeRow({ columns }: Rescue, source: RescueSource, alias: string): string {
  const known = (name: string): string => columns.find(({ hidden }) => hidden === name)?.name ?? name;
  const names = source.columns.map((name) => quoteLiteral(known(name)));
  const values = source.columns.map((name) => `${alias}.${quoteIdentifier(name)}::text`);
  return names.length === 0 ? `'{}'::jsonb` : `jsonb_object(ARRAY[${names.join(', ')}], ARRAY[${values.join(', ')}])`;
}
