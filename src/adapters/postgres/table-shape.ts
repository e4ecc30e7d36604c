import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { quoteIdentifier } from './identifier.ts';

/** What the steps that touch rows must know of a table, read from the catalog. Types are written as SQL takes them. */
export interface ColumnShape {
  name: string;
  /** With its length or scale: for casts and assignments. */
  type: string;
  /** The collation where it is not the type's own, quoted and qualified. */
  collation: string | null;
  notNull: boolean;
  /** What an INSERT that leaves it out gets: also by its domain's default, or as an identity. */
  hasDefault: boolean;
  /** The expression of a generated column, as the catalog prints it. */
  generated: string | null;
  /** GENERATED ALWAYS AS IDENTITY: Postgres refuses to write it. */
  identityAlways: boolean;
}
export interface TableShape {
  oid: string;
  schema: string;
  table: string;
  partitioned: boolean;
  partitionKey: readonly string[];
  columns: ReadonlyMap<string, ColumnShape>;
  /** In a check: columns that steps of the plan will add; they are in `columns`, and not in the table yet. */
  planned?: readonly string[];
  /** Rows by the statistics, of partitions too; null where the table was never analyzed. */
  rowsEstimated: number | null;
  bytes: number;
}

const TABLE = `
SELECT c.oid::text, c.relkind, pg_catalog.row_security_active(c.oid) AS hidden,
  (SELECT CASE WHEN bool_or(p.reltuples < 0 AND p.relpages > 0) THEN NULL ELSE sum(greatest(p.reltuples, 0))::bigint END
     FROM pg_class p WHERE p.relkind <> 'p' AND (p.oid = c.oid OR p.oid IN (SELECT relid FROM pg_partition_tree(c.oid)))) AS estimate,
  (SELECT coalesce(sum(pg_relation_size(t.oid)), 0)::bigint FROM pg_class t
     WHERE t.relkind = 'r' AND (t.oid = c.oid OR t.oid IN (SELECT relid FROM pg_partition_tree(c.oid)))) AS bytes,
  (SELECT json_agg(a.attname) FROM pg_partitioned_table p JOIN pg_attribute a ON a.attrelid = p.partrelid AND a.attnum = ANY (p.partattrs)
     WHERE p.partrelid = c.oid) AS partition_key,
  (SELECT string_agg(quote_ident(p.pubname), ', ') FROM pg_publication_tables p WHERE p.schemaname = n.nspname AND p.tablename = c.relname)
    AS publications,
  EXISTS (SELECT FROM pg_subscription_rel s WHERE s.srrelid = c.oid) AS subscribed
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2`;

const COLUMNS = `
SELECT a.attname, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
  a.attgenerated = '' AND (a.atthasdef OR a.attidentity <> '' OR t.typdefault IS NOT NULL) AS has_default,
  a.attidentity, CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generated,
  (SELECT quote_ident(cn.nspname) || '.' || quote_ident(co.collname) FROM pg_collation co JOIN pg_namespace cn ON cn.oid = co.collnamespace
     WHERE co.oid = a.attcollation AND a.attcollation <> t.typcollation) AS collation
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`;

/**
 * Reads the table. Throws `StatementFailed` where it doesn't exist or a policy would hide rows from us, `Unsupported`
 * where logical replication publishes or fills it.
 */
export async function readTableShape(session: Queryable, schema: string, table: string): Promise<TableShape> {
  const name = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`;
  const [row] = await session.query(TABLE, [schema, table]);
  if (row === undefined) {
    throw new SwitchbackError('StatementFailed', `table ${name} does not exist`, {
      hint: 'check `schema` and `table` of the step, or create the table in an earlier step',
      fields: { schema, table },
    });
  }
  const kind = row['relkind'];
  if (kind !== 'r' && kind !== 'p') {
    throw new SwitchbackError(
      'StatementFailed',
      `${name} is not a table (relkind ${kind}); only tables have rows of their own`,
      {
        fields: { schema, table },
      },
    );
  }
  refuseHiddenAndReplicated(name, row);
  const columns = await session.query(COLUMNS, [row['oid'] ?? null]);
  return {
    oid: row['oid'] ?? '',
    schema,
    table,
    partitioned: kind === 'p',
    partitionKey: JSON.parse(row['partition_key'] ?? '[]') as string[],
    rowsEstimated: row['estimate'] === null || row['estimate'] === undefined ? null : Number(row['estimate']),
    bytes: Number(row['bytes']),
    columns: new Map(columns.map((column) => [column['attname'] ?? '', columnOf(column)])),
  };
}

const columnOf = (row: Record<string, string | null>): ColumnShape => ({
  name: row['attname'] ?? '',
  type: row['type'] ?? '',
  collation: row['collation'] ?? null,
  notNull: row['attnotnull'] === 't',
  hasDefault: row['has_default'] === 't',
  generated: row['generated'] ?? null,
  identityAlways: row['attidentity'] === 'a',
});

function refuseHiddenAndReplicated(name: string, row: Record<string, string | null>): void {
  if (row['hidden'] === 't') {
    throw new SwitchbackError(
      'StatementFailed',
      `row-level security of ${name} would hide rows from the worker's role`,
      {
        hint: 'let the worker connect as a role with BYPASSRLS, or as the owner of a table without FORCE ROW LEVEL SECURITY',
        fields: { table: name },
      },
    );
  }
  if (row['publications'] !== null || row['subscribed'] === 't') {
    const what = row['publications'] === null ? 'filled by a subscription' : `published by ${row['publications']}`;
    throw new SwitchbackError(
      'Unsupported',
      `table ${name} is ${what}: logical replication would miss or repeat the change`,
      {
        hint: 'take the table out of the publication or subscription while the migration runs',
        fields: { table: name },
      },
    );
  }
}

/** The column, or an error that lists what there is. */
export function columnOfTable(shape: TableShape, name: string): ColumnShape {
  const column = shape.columns.get(name);
  if (column !== undefined) return column;
  throw new SwitchbackError(
    'StatementFailed',
    `table ${quoteIdentifier(shape.schema)}.${quoteIdentifier(shape.table)} has no column ${quoteIdentifier(name)}; it has ${[...shape.columns.keys()].map(quoteIdentifier).join(', ')}`,
    {
      hint: 'add the column in an earlier `ddl` step that this one `needs`',
      fields: { table: shape.table, column: name },
    },
  );
}

/** Refuses columns that nobody may write: generated ones, and identities that are always generated. */
export function assertWritable(column: ColumnShape): void {
  if (column.generated === null && !column.identityAlways) return;
  throw new SwitchbackError(
    'StatementFailed',
    `column ${quoteIdentifier(column.name)} is ${column.generated === null ? 'an identity that is always generated' : 'a generated column'}: it can't be written`,
    { hint: 'generated columns may be sources of an expression, never targets', fields: { column: column.name } },
  );
}

/** Rows by the statistics, else by the size: 100 bytes a row is a guess that only the first progress figures rest on. */
export const rowsGuessed = (shape: TableShape): number => shape.rowsEstimated ?? Math.ceil(shape.bytes / 100);
