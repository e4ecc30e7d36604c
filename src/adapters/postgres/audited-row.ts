import { SwitchbackError, type RowQuestion, type Sureness } from '../../messages/index.ts';
import type { Database } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { hashPads, keyHashSql } from './key-hash.ts';
import type { LineageLine } from './lineage-read.ts';
import { findKey, type Key, keyAfter, keyIs, keyMissing, keyText, keyUpTo, keyValues } from './range-key.ts';
import { type Place, placeOf } from './range-ledger.ts';
import { actualName, type TableSyncDetail } from './table-sync-shape.ts';
import type { TableShape } from './table-shape.ts';

/** A table that a row is looked for in. */
export interface AuditedTable {
  database: Database;
  schema: string;
  table: string;
  oid: string;
  key: Key;
}
/** A row by its key, whether it is there or not. */
export interface AuditedRow extends AuditedTable {
  place: Place;
  exists: boolean;
  /** Quoted names of the tables whose lineage may tell of it: its own, its partition, and those above. */
  objects: string[];
}
const MATCHES_MAX = 20;

/** The tables of that name; one of the schema `public` counts more where no schema is named. */
export async function tablesNamed(database: Database, { schema, table }: RowQuestion): Promise<AuditedTable[]> {
  const rows = await database.query(
    `SELECT c.oid::text AS oid, n.nspname AS schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = $1 AND c.relkind IN ('r', 'p') AND coalesce(n.nspname = $2, n.nspname !~ '^(pg_|information_schema$|switchback$)')`,
    [table, schema],
  );
  const wanted = rows.length > 1 ? rows.filter((row) => row['schema'] === 'public') : rows;
  const tables: AuditedTable[] = [];
  for (const row of wanted.length === 0 ? rows : wanted) {
    const shape = shapeOf(row['oid'] ?? '', row['schema'] ?? '', table);
    const key = await findKey(database, shape, null);
    if (key === null) throw keyMissing(shape, 'no primary key and no unique index over NOT NULL columns');
    tables.push({ database, schema: shape.schema, table, oid: shape.oid, key });
  }
  return tables;
}

/** As much of a table as finding its key takes. */
const shapeOf = (oid: string, schema: string, table: string): TableShape => ({
  oid,
  schema,
  table,
  partitioned: false,
  partitionKey: [],
  rowsEstimated: null,
  bytes: 0,
  columns: new Map(),
});

/** The row with that key, its texts as Postgres writes them. Throws `UsageInvalid` for a key of another shape. */
export async function rowOfKey(table: AuditedTable, given: readonly string[]): Promise<AuditedRow> {
  const { database, key } = table;
  const names = key.map(({ name, type }) => `${quoteIdentifier(name)} ${type}`).join(', ');
  const wrong = (what: string): SwitchbackError =>
    new SwitchbackError('UsageInvalid', `${what}: the key of ${quoteTable(table.schema, table.table)} is (${names})`, {
      hint: 'give one KEY for each of its columns, in this order',
      fields: { table: table.table },
    });
  if (given.length !== key.length) throw wrong(`${given.length} keys were given, ${key.length} are needed`);
  const values = keyValues(key, '$1::text[]');
  try {
    const [spelled] = await database.query(
      `SELECT to_json(ARRAY[${values.map((value) => `${value}::text`).join(', ')}])::text AS place`,
      [given],
    );
    return await locate(table, placeOf(spelled?.['place']) ?? given);
  } catch (error) {
    if (error instanceof PostgresError && error.sqlState.startsWith('22'))
      throw wrong('the key given is of another type');
    throw error;
  }
}

/** Rows whose key has this hash under one of the salts. It reads the whole table. */
export async function rowsOfHash(table: AuditedTable, salts: readonly string[], hash: string): Promise<Place[]> {
  const texts = table.key.map(({ name }) => `t.${quoteIdentifier(name)}::text`);
  const found: Place[] = [];
  for (const salt of salts) {
    const { inner, outer } = hashPads(salt);
    const rows = await table.database.query(
      `SELECT to_json(${keyText(table.key, 't')})::text AS place FROM ${quoteTable(table.schema, table.table)} t
       WHERE ${keyHashSql(texts, { inner: '$1', outer: '$2' })} = $3 LIMIT ${MATCHES_MAX}`,
      [inner, outer, hash],
    );
    found.push(...rows.map((row) => placeOf(row['place']) ?? []));
  }
  return found;
}

export async function locate(table: AuditedTable, place: Place): Promise<AuditedRow> {
  const { database, key, oid } = table;
  const [row] = await database.query(
    `SELECT t.tableoid::text AS oid FROM ${quoteTable(table.schema, table.table)} t WHERE ${keyIs(key, 't', keyValues(key, '$1::text[]'))}`,
    [place],
  );
  const above = await database.query(
    `WITH RECURSIVE above AS (
       SELECT unnest($1::text[])::oid AS oid UNION SELECT i.inhparent FROM above JOIN pg_inherits i ON i.inhrelid = above.oid)
     SELECT DISTINCT n.nspname AS schema, c.relname AS name FROM above JOIN pg_class c ON c.oid = above.oid JOIN pg_namespace n ON n.oid = c.relnamespace`,
    [[oid, row?.['oid'] ?? oid]],
  );
  const objects = above.map((one) => quoteTable(one['schema'] ?? '', one['name'] ?? ''));
  return { ...table, place, exists: row !== undefined, objects };
}

/** A dual write between tables whose new side is the row's table: what it filled is on record under the old one. */
export interface SyncInto {
  migration: string;
  version: number;
  epoch: number;
  step: string;
  /** Quoted name of the old table. */
  object: string;
  /** Columns of the row's table that pair with those of the old table's key. */
  key: string[];
}

export async function syncsInto({ database, schema, table }: AuditedRow): Promise<SyncInto[]> {
  const rows = await database.query(
    `SELECT migration, version, epoch, step, detail #>> '{tableSync,from,table}' AS source, detail #> '{tableSync,to,key}' AS key
     FROM switchback.steps WHERE kind = 'dual-write' AND detail #>> '{tableSync,schema}' = $1 AND detail #>> '{tableSync,to,table}' = $2`,
    [schema, table],
  );
  return rows.map((row) => ({
    ...stepOf(row),
    object: quoteTable(schema, row['source'] ?? ''),
    key: JSON.parse(row['key'] ?? '[]') as string[],
  }));
}

/**
 * Which of the lines tell of the row: their ranges are compared in SQL, by the key's own types and operators. Lines of a
 * step whose ranges are of another key (it walked along another index, or the key was changed since) can't be compared.
 *
 * @param walkedKey the columns along which a line's step walked; null: by the key that it would find by itself
 */
export async function linesCovering(
  row: AuditedRow,
  lines: readonly LineageLine[],
  walkedKey: (line: LineageLine) => readonly string[] | null,
): Promise<{ line: LineageLine; sure: Sureness }[]> {
  const bySteps = Map.groupBy(lines, ({ migration, version, epoch, step }) =>
    JSON.stringify([migration, version, epoch, step]),
  );
  const sure = new Map<LineageLine, Sureness>();
  for (const group of bySteps.values()) {
    const ranged = group.filter(({ lower, upper }) => lower !== null || upper !== null);
    for (const line of group) if (!ranged.includes(line)) sure.set(line, 'in-range');
    const own = row.key.map(({ name }) => name);
    const comparable = ranged.filter((line) => (walkedKey(line) ?? own).join('\0') === own.join('\0'));
    for (const line of ranged) if (!comparable.includes(line)) sure.set(line, 'maybe');
    for (const [line, how] of await coverOf(row, comparable)) sure.set(line, how);
  }
  return lines.flatMap((line) => {
    const how = sure.get(line);
    return how === undefined ? [] : [{ line, sure: how }];
  });
}

async function coverOf(row: AuditedRow, lines: readonly LineageLine[]): Promise<[LineageLine, Sureness][]> {
  if (lines.length === 0) return [];
  const unknown = (): [LineageLine, Sureness][] => lines.map((line) => [line, 'maybe']);
  if (
    !lines.every(({ lower, upper }) => [lower, upper].every((at) => (at?.length ?? row.key.length) === row.key.length))
  )
    return unknown();
  try {
    const found = await row.database.query(coverSql(row.key), [row.place, lines.map(({ id }) => id)]);
    const covering = new Map(found.map(({ id, alone }) => [id, alone === 't']));
    return lines.flatMap((line): [LineageLine, Sureness][] => {
      const alone = covering.get(line.id);
      return alone === undefined ? [] : [[line, alone ? 'this-row' : 'in-range']];
    });
  } catch (error) {
    if (error instanceof PostgresError && error.sqlState.startsWith('22')) return unknown();
    throw error;
  }
}

function coverSql(key: Key): string {
  const columns = key.map(
    (column, index) =>
      `($1::text[])[${index + 1}]::${column.type}${column.variableCollation === null ? '' : ` COLLATE ${column.variableCollation}`} AS ${quoteIdentifier(column.name)}`,
  );
  const upper = keyValues(key, 'l.upper_key');
  return `SELECT l.id, l.lower_key IS NOT DISTINCT FROM l.upper_key AS alone
    FROM switchback.lineage l, (SELECT ${columns.join(', ')}) AS t
    WHERE l.id = ANY ($2::bigint[]) AND CASE WHEN l.lower_key = l.upper_key THEN ${keyIs(key, 't', upper)}
      ELSE (l.lower_key IS NULL OR ${keyAfter(key, 't', keyValues(key, 'l.lower_key'))})
        AND (l.upper_key IS NULL OR l.upper_key = '{}' OR ${keyUpTo(key, 't', upper)}) END`;
}

type StepOfRun = { migration: string; version: number; epoch: number; step: string };
const stepOf = (row: Record<string, string | null>): StepOfRun => ({
  migration: row['migration'] ?? '',
  version: Number(row['version']),
  epoch: Number(row['epoch']),
  step: row['step'] ?? '',
});

/** Steps that set the row aside, with what Postgres said of it. */
export async function setAsideOf({
  database,
  place,
  objects,
}: AuditedRow): Promise<(StepOfRun & { sqlState: string; message: string; at: string })[]> {
  const rows = await database.query(
    `SELECT e.migration, e.version, e.epoch, e.step, e.sql_state, e.message, to_json(e.at) #>> '{}' AS at FROM switchback.row_errors e
     WHERE e.key = $1 AND EXISTS (SELECT FROM switchback.steps s WHERE (s.migration, s.version, s.epoch, s.step) = (e.migration, e.version, e.epoch, e.step)
       AND s.detail ->> 'object' = ANY ($2))
     ORDER BY e.at`,
    [place, objects],
  );
  return rows.map((row) => ({
    ...stepOf(row),
    sqlState: row['sql_state'] ?? '',
    message: row['message'] ?? '',
    at: row['at'] ?? '',
  }));
}

/** Columns that a rollback copied before they went. */
export async function rescuedOf({
  database,
  place,
  schema,
  table,
}: AuditedRow): Promise<(StepOfRun & { column: string; at: string })[]> {
  const rows = await database.query(
    `SELECT migration, version, epoch, step, "column", to_json(at) #>> '{}' AS at FROM switchback.rescued
     WHERE "schema" = $1 AND "table" = $2 AND key = $3 ORDER BY id`,
    [schema, table, place],
  );
  return rows.map((row) => ({ ...stepOf(row), column: row['column'] ?? '', at: row['at'] ?? '' }));
}

/** Steps among these that keep what the row held before: an image has the keys of its rows, column by column. */
export async function imagesOf(
  { database, place }: AuditedRow,
  steps: readonly StepOfRun[],
): Promise<(StepOfRun & { at: string })[]> {
  const [known] = await database.query("SELECT to_regclass('switchback.before_images')::text AS name");
  if (known?.['name'] == null || steps.length === 0) return [];
  const is = place.map((_, index) => `b.keys[b.rows * ${index} + n] = ($1::text[])[${index + 1}]`).join(' AND ');
  const rows = await database.query(
    `SELECT b.migration, b.version, b.epoch, b.step, to_json(b.at) #>> '{}' AS at FROM switchback.before_images b
     JOIN json_to_recordset($2::json) AS s (migration text, version integer, epoch integer, step text)
       USING (migration, version, epoch, step)
     WHERE EXISTS (SELECT FROM generate_series(1, b.rows) n WHERE ${is}) ORDER BY b.id`,
    [place, JSON.stringify(steps)],
  );
  return rows.map((row) => ({ ...stepOf(row), at: row['at'] ?? '' }));
}

/** The marker of the row, as text; null where the column or the row is gone, or the row is not migrated. */
export async function markerOf(row: AuditedRow, marker: string): Promise<string | null> {
  const [found] = await row.database.query(
    `SELECT t.${quoteIdentifier(marker)}::text AS marker FROM ${quoteTable(row.schema, row.table)} t WHERE ${keyIs(row.key, 't', keyValues(row.key, '$1::text[]'))}`,
    [row.place],
  );
  return found?.['marker'] ?? null;
}

/** The markers of a pair of two tables, as text; null: NULL, or no such column. */
export interface PairClocks {
  from: string | null;
  to: string | null;
}

/** Those of the row, which is in one of the two tables, and of its pair; null where it has none. */
export async function clocksOf(row: AuditedRow, detail: TableSyncDetail): Promise<PairClocks | null> {
  const own = detail.from.table === row.table ? 'from' : 'to';
  const other = own === 'from' ? 'to' : 'from';
  const pairs = detail[own].key.map((name, index) => {
    const named = (alias: string, side: 'from' | 'to', plan: string): string =>
      `${alias}.${quoteIdentifier(actualName(detail[side], plan))}`;
    return `${named('t', own, name)} = ${named('o', other, detail[other].key[index] ?? '')}`;
  });
  const clock = (alias: string, side: 'from' | 'to'): string =>
    side === 'from' && detail.down === null ? 'NULL' : `${alias}.${quoteIdentifier(detail.marker)}::text`;
  const [found] = await row.database.query(
    `SELECT ${clock('t', own)} AS ${own}_clock, ${clock('o', other)} AS ${other}_clock
     FROM ${quoteTable(row.schema, row.table)} t JOIN ${quoteTable(detail.schema, detail[other].table)} o ON ${pairs.join(' AND ')}
     WHERE ${keyIs(row.key, 't', keyValues(row.key, '$1::text[]'))}`,
    [row.place],
  );
  return found === undefined ? null : { from: found['from_clock'] ?? null, to: found['to_clock'] ?? null };
}
