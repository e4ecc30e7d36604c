import type { Queryable } from './database.ts';
import type { DualWriteDetail, SyncedTable } from './dual-write-function.ts';
import { referencedColumns } from './table-expressions.ts';
import type { TableShape } from './table-shape.ts';

/** The table and all that are below it, partitions and heirs of every level, as `family (oid)`; $1 is the table. */
export const FAMILY = `family (oid) AS (
  SELECT $1::oid UNION SELECT i.inhrelid FROM pg_inherits i JOIN family f ON i.inhparent = f.oid)`;

/**
 * Columns of types of Postgres's own whose index operators say that equal values have equal images: what lets an index
 * keep duplicates once. A collation that calls different texts equal takes its column out.
 */
const PLAIN = `
SELECT a.attname FROM pg_attribute a
  JOIN pg_type t ON t.oid = a.atttypid AND t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace
  JOIN pg_opclass o ON o.opcdefault AND o.opcintype = CASE t.oid WHEN 'varchar'::regtype THEN 'text'::regtype ELSE t.oid END
  JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'btree'
  JOIN pg_amproc p ON p.amprocfamily = o.opcfamily AND p.amprocnum = 4 AND p.amproclefttype = o.opcintype AND p.amprocrighttype = o.opcintype
  JOIN pg_proc f ON f.oid = p.amproc
  LEFT JOIN pg_collation c ON c.oid = a.attcollation
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped AND t.oid <> 'bpchar'::regtype
  AND (f.proname = 'btequalimage' OR (f.proname = 'btvarstrequalimage' AND c.collisdeterministic))`;

/** What the trigger function is written for, as the catalog has it now. `session` must be in a transaction. */
export async function syncedTable(
  session: Queryable,
  detail: DualWriteDetail,
  shape: TableShape,
): Promise<SyncedTable> {
  const plain = await session.query(PLAIN, [shape.oid]);
  return {
    shape,
    generated: await generatedSources(session, detail, shape),
    plain: new Set(plain.map((row) => row['attname'] ?? '')),
  };
}

async function generatedSources(
  session: Queryable,
  detail: DualWriteDetail,
  shape: TableShape,
): Promise<SyncedTable['generated']> {
  const sources = new Map<string, { expression: string; reads: readonly string[] }>();
  for (const name of new Set([...detail.upReads, ...detail.downReads])) {
    const column = shape.columns.get(detail.renamed[name] ?? name);
    if (column?.generated === undefined || column.generated === null) continue;
    const reads = await referencedColumns(session, shape, column.generated, `generated column ${column.name}`);
    sources.set(column.name, { expression: column.generated, reads });
  }
  return sources;
}

/** Tables that inherit the columns but not the triggers, at any level; partitions get theirs from Postgres. */
export async function heirsOf(
  session: Queryable,
  { oid, partitioned }: TableShape,
): Promise<{ schema: string; table: string }[]> {
  if (partitioned) return [];
  const rows = await session.query(
    `WITH RECURSIVE ${FAMILY} SELECT n.nspname AS schema, c.relname AS "table" FROM family f JOIN pg_class c ON c.oid = f.oid
       JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid <> $1::oid ORDER BY 1, 2`,
    [oid],
  );
  return rows.map((row) => ({ schema: row['schema'] ?? '', table: row['table'] ?? '' }));
}
