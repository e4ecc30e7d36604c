import { type CatalogObject, catalogKey, catalogSnapshot } from './catalog.ts';
import type { Queryable } from './database.ts';
import type { IndexBuild } from './ddl-record.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';

/** What has the name of an index that a step builds or drops. */
export interface FoundRelation {
  /** The table it is an index of; null: it isn't an index. */
  table: string | null;
  /** `UNIQUE ` where it is, then what follows the table's name: `USING btree (…)`. */
  definition: string | null;
  valid: boolean;
}

// Printed definitions start with names whose length differs from index to index; what follows them is compared. Our
// own temporary schema is printed by its alias since Postgres 15.
const DEFINITION = `CASE WHEN i.indexrelid IS NOT NULL THEN CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END || substr(pg_get_indexdef(i.indexrelid),
  length(format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN i.indisunique THEN 'UNIQUE ' END, x.relname,
    CASE WHEN n.oid = pg_my_temp_schema() AND current_setting('server_version_num')::int >= 150000 THEN 'pg_temp' ELSE n.nspname END, t.relname)) + 1) END`;

export async function findRelation(session: Queryable, schema: string, name: string): Promise<FoundRelation | null> {
  const [row] = await session.query(
    `SELECT t.relname AS "table", i.indisvalid AND i.indisready AS valid, ${DEFINITION} AS definition
     FROM pg_class x JOIN pg_namespace xn ON xn.oid = x.relnamespace
     LEFT JOIN pg_index i ON i.indexrelid = x.oid
     LEFT JOIN pg_class t ON t.oid = i.indrelid LEFT JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE xn.nspname = $1 AND x.relname = $2`,
    [schema, name],
  );
  if (row === undefined) return null;
  return { table: row['table'] ?? null, definition: row['definition'] ?? null, valid: row['valid'] === 't' };
}

const SHAPE_INDEX = 'switchback_shape_index';
/** The table's lock is needed for a moment only; whoever holds it exclusively is waited for by trying again. */
const SHAPE_LOCK_TIMEOUT_MS = 2_000;

/**
 * How Postgres would print the index: it is made on an empty copy of the table, which is rolled back. So the
 * comparison with an index that is there is Postgres's own, whatever way the statement is written. The copy has the
 * table's name: columns may be written with it.
 */
export async function expectedDefinition(transaction: Queryable, schema: string, index: IndexBuild): Promise<string> {
  const shape = quoteTable('pg_temp', index.table);
  await transaction.query(
    `SAVEPOINT shape; SET LOCAL search_path = ${quoteIdentifier(schema)}; SET LOCAL lock_timeout = ${SHAPE_LOCK_TIMEOUT_MS};
     CREATE TEMP TABLE ${shape} (LIKE ${quoteTable(index.schema, index.table)});
     CREATE ${index.unique ? 'UNIQUE ' : ''}INDEX ${SHAPE_INDEX} ON ${shape} ${index.rest};
     SET LOCAL search_path = pg_catalog`,
  );
  const [row] = await transaction.query(
    `SELECT ${DEFINITION} AS definition FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
     JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE i.indrelid = $1::regclass`,
    [shape],
  );
  await transaction.query('ROLLBACK TO SAVEPOINT shape; RELEASE SAVEPOINT shape');
  return row?.['definition'] ?? '';
}

/** An index as the catalog snapshot has it. */
export async function indexObject(session: Queryable, schema: string, name: string): Promise<CatalogObject | null> {
  const [row] = await session.query(
    `SELECT t.relname AS "table", n.nspname AS schema FROM pg_class x JOIN pg_namespace xn ON xn.oid = x.relnamespace
     JOIN pg_index i ON i.indexrelid = x.oid JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace
     WHERE xn.nspname = $1 AND x.relname = $2`,
    [schema, name],
  );
  if (row === undefined) return null;
  const table = { schema: row['schema'] ?? '', name: row['table'] ?? '' };
  const snapshot = await catalogSnapshot(session, { relations: [table] });
  return snapshot.get(catalogKey({ kind: 'index', schema: table.schema, of: table.name, name })) ?? null;
}
