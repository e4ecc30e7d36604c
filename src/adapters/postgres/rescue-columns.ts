import type { CatalogObject } from './catalog.ts';
import type { Queryable } from './database.ts';
import type { DdlWork } from './ddl-record.ts';
import type { DualWriteDetail } from './dual-write-function.ts';
import { quoteTable } from './identifier.ts';
import type { RescuedColumn } from './rescue-state.ts';

/** What has a value by itself: a default whose every function is immutable. */
const COLUMNS = `
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attgenerated <> '' AS generated,
  CASE WHEN d.adbin::text !~ 'SQLVALUEFUNCTION|NEXTVALUEEXPR|COERCEVIAIO' AND NOT EXISTS (
    SELECT FROM regexp_matches(d.adbin::text, ':(?:funcid|opfuncid) (\\d+)', 'g') AS called (id)
    JOIN pg_proc p ON p.oid = called.id[1]::oid WHERE p.provolatile <> 'i'
  ) THEN pg_get_expr(d.adbin, d.adrelid) END AS fixed
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = to_regclass($1) AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped`;

/** The columns that hold values of their own; generated ones don't. */
export async function rescuedColumns(
  work: DdlWork,
  transaction: Queryable,
  columns: readonly CatalogObject[],
): Promise<RescuedColumn[]> {
  const [first] = columns;
  if (first === undefined) return [];
  const rows = await transaction.query(COLUMNS, [quoteTable(first.schema, first.of), columns.map(({ name }) => name)]);
  const derived = await expressionsOf(work, transaction, { schema: first.schema, table: first.of });
  return rows
    .filter((row) => row['generated'] !== 't')
    .map((row) => ({
      name: row['name'] ?? '',
      hidden: null,
      type: row['type'] ?? '',
      fixed: row['fixed'] ?? null,
      derived: derived[row['name'] ?? ''] ?? null,
    }));
}

interface FilledBy {
  schema: string;
  table: string;
  set: Record<string, string>;
}

/** What this migration's dual writes and backfills filled the table's columns with, by its own ledger. */
async function expressionsOf(
  { key: { run } }: DdlWork,
  transaction: Queryable,
  { schema, table }: { schema: string; table: string },
): Promise<Record<string, string>> {
  const rows = await transaction.query(
    `SELECT coalesce(detail->'dualWrite', detail->'filled')::text AS detail FROM switchback.steps
     WHERE migration = $1 AND version = $2 AND epoch = $3 AND kind IN ('dual-write', 'backfill')
       AND coalesce(detail->'dualWrite', detail->'filled') IS NOT NULL ORDER BY kind, step`,
    [run.migration, run.version, run.epoch],
  );
  return Object.assign(
    {},
    ...rows.map((row) => {
      const detail = JSON.parse(row['detail'] ?? '{}') as Partial<DualWriteDetail & FilledBy>;
      return detail.schema === schema && detail.table === table ? (detail.up ?? detail.set ?? {}) : {};
    }),
  ) as Record<string, string>;
}
