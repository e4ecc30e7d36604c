import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { quoteTable } from './identifier.ts';
import { findKey, type Key, type KeyColumn, keyMissing } from './range-key.ts';
import { referencedColumns } from './table-expressions.ts';
import { columnOfTable, readTableShape, type TableShape } from './table-shape.ts';

/**
 * A dual write between two tables of one database, as the ledger keeps it. `from` is the old table, `to` the new one;
 * rows with equal keys are a pair.
 */
export interface TableSyncDetail {
  schema: string;
  /** Whose row brings the other along: see `docs/adr/0020`. */
  ownership: 'copy' | 'split' | 'merge';
  from: SyncSide;
  to: SyncSide;
  /** Column of `to`: expression over a row of `from`. */
  up: Record<string, string>;
  /** Column of `from`: expression over a row of `to`; null: one way. */
  down: Record<string, string> | null;
  bothWritten: 'new' | 'old' | 'error';
  /** Our column, in both tables; see `table-sync-sql.ts` for what it holds. One way, only `to` has it. */
  marker: string;
  /** What tells our functions and triggers from those of other steps. */
  hash: string;
  /** Foreign keys that would delete or change rows of others along with a row of `to`. */
  cascades: boolean;
  /** As in `DualWriteDetail`. */
  immutable?: boolean;
}
export interface SyncSide {
  /** The name that the table has now. */
  table: string;
  /** The name that the plan gives it: expressions may use it. */
  plan: string;
  /** Columns of the key, in the order in which they pair, by the plan's names. */
  key: string[];
  /** The columns that the expressions over this table read, by the plan's names. */
  reads: string[];
  /** The plan's column names that are called otherwise now. */
  renamed: Record<string, string>;
}
/** One direction: what is derived from which row. */
export interface Way {
  name: 'up' | 'down';
  source: SideShape;
  target: SideShape;
  expressions: Record<string, string>;
  /** Whether a row of the target comes, moves and goes with the source's; else it only takes values. */
  follows: boolean;
}
export interface SideShape extends SyncSide {
  shape: TableShape;
  /** In the order of the pairs. */
  pairKey: Key;
  /** Types without length or scale: what an assignment casts to before it applies them. */
  bases: ReadonlyMap<string, string>;
  /** The same, and of domains what they are made of. */
  roots: ReadonlyMap<string, string>;
  /** Collations, quoted and qualified, of the columns that have one. */
  collations: ReadonlyMap<string, string>;
  /** The stored columns behind each generated one that is read. */
  generated: ReadonlyMap<string, readonly string[]>;
}
export interface SyncShapes {
  detail: TableSyncDetail;
  up: Way;
  down: Way | null;
}

const BASES = `
SELECT a.attname, format_type(a.atttypid, -1) AS base,
  (WITH RECURSIVE d (oid) AS (SELECT a.atttypid UNION ALL SELECT t.typbasetype FROM d JOIN pg_type t ON t.oid = d.oid AND t.typtype = 'd')
    SELECT format_type(t.oid, -1) FROM d JOIN pg_type t ON t.oid = d.oid WHERE t.typtype <> 'd') AS root, quote_ident(n.nspname) || '.' || quote_ident(c.collname) AS collation
FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped`;

export const actualName = ({ renamed }: Pick<SyncSide, 'renamed'>, name: string): string => renamed[name] ?? name;

/** The two tables as they are now, and both directions between them. `session` must be in a transaction. */
export async function readSyncShapes(session: Queryable, detail: TableSyncDetail): Promise<SyncShapes> {
  const from = await readSide(session, detail.schema, detail.from);
  const to = await readSide(session, detail.schema, detail.to);
  return {
    detail,
    up: { name: 'up', source: from, target: to, expressions: detail.up, follows: detail.ownership !== 'merge' },
    down:
      detail.down === null
        ? null
        : { name: 'down', source: to, target: from, expressions: detail.down, follows: detail.ownership !== 'split' },
  };
}

async function readSide(session: Queryable, schema: string, side: SyncSide): Promise<SideShape> {
  const shape = await readTableShape(session, schema, side.table);
  const bases = await session.query(BASES, [shape.oid]);
  const generated = new Map<string, readonly string[]>();
  for (const name of side.reads) {
    const column = columnOfTable(shape, actualName(side, name));
    if (column.generated !== null)
      generated.set(
        column.name,
        await referencedColumns(session, shape, column.generated, `generated column ${column.name}`),
      );
  }
  return {
    ...side,
    shape,
    pairKey: await pairKey(session, shape, side),
    bases: new Map(bases.map((row) => [row['attname'] ?? '', row['base'] ?? ''])),
    roots: new Map(bases.map((row) => [row['attname'] ?? '', row['root'] ?? ''])),
    collations: new Map(
      bases.flatMap((row) => (row['collation'] == null ? [] : [[row['attname'] ?? '', row['collation']]])),
    ),
    generated,
  };
}

const DEFERRABLE = `
SELECT i.indexrelid::regclass::text AS name FROM pg_index i
WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
GROUP BY i.indexrelid, i.indkey, i.indnkeyatts, i.indimmediate, i.indrelid
HAVING NOT i.indimmediate AND i.indnkeyatts = cardinality($2::text[])
  AND (SELECT bool_and(a.attname = ANY ($2::text[])) FROM unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, ord)
         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum WHERE k.ord <= i.indnkeyatts)`;

/** The columns of the key in the order of the pairs, with the operators of a unique index over them. */
async function pairKey(session: Queryable, shape: TableShape, side: SyncSide): Promise<Key> {
  const names = side.key.map((name) => columnOfTable(shape, actualName(side, name)).name);
  const found = await findKey(session, shape, names);
  const [deferred] = await session.query(DEFERRABLE, [shape.oid, names]);
  if (deferred !== undefined) {
    throw keyMissing(shape, `only ${deferred['name']} over (${names.join(', ')}), which is checked late (DEFERRABLE)`);
  }
  const [first, ...others] = names.map((name) => found?.find((column) => column.name === name));
  if (first === undefined || others.includes(undefined))
    throw keyMissing(shape, `no unique index over (${names.join(', ')})`);
  return [first, ...(others as KeyColumn[])];
}

const FAMILIES = `
SELECT i.indexrelid::text AS id, a.attname, c.opcfamily::text AS family, i.indcollation[k.ord - 1]::text AS collation
FROM pg_index i CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, ord)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  JOIN pg_opclass c ON c.oid = i.indclass[k.ord - 1]
WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND k.ord <= i.indnkeyatts AND a.attname = $2`;

const WIDER = [
  ['smallint', 'integer', 'bigint'],
  ['real', 'double precision'],
  ['name', 'character varying', 'text'],
  ['date', 'timestamp without time zone', 'timestamp with time zone'],
];
/** Of a pair of key columns the type that holds the values of both in the order of both; null where there is none. */
export function commonType(from: SideShape, to: SideShape, index: number): string | null {
  const rootOf = ({ roots, pairKey: key }: SideShape): string => roots.get(key[index]?.name ?? '') ?? '';
  const [type, other] = [rootOf(from), rootOf(to)];
  if (type === other) return type;
  const row = WIDER.find((types) => types.includes(type) && types.includes(other));
  return row?.[Math.max(row.indexOf(type), row.indexOf(other))] ?? null;
}

/** Refuses pairs of key columns that are not compared alike: `=` between them would not be what either index means. */
export async function assertComparable(session: Queryable, from: SideShape, to: SideShape): Promise<void> {
  if (from.key.length !== to.key.length) {
    throw new SwitchbackError(
      'StatementFailed',
      `the keys don't pair: from.key has ${from.key.length} columns, to.key has ${to.key.length}`,
      { hint: 'name as many columns on both sides, in the order in which they pair', fields: { table: to.table } },
    );
  }
  for (const [index, column] of from.pairKey.entries()) {
    const other = to.pairKey[index];
    if (other === undefined) continue;
    const ways = (rows: Record<string, string | null>[]): string[] =>
      rows.map((row) => `${row['family']} ${row['collation']}`);
    const ours = ways(await session.query(FAMILIES, [from.shape.oid, column.name]));
    const theirs = ways(await session.query(FAMILIES, [to.shape.oid, other.name]));
    if (commonType(from, to, index) !== null && ours.some((one) => theirs.includes(one))) continue;
    throw new SwitchbackError(
      'StatementFailed',
      `key column "${column.name}" of ${quoteTable(from.shape.schema, from.table)} (${column.type}) and "${other.name}" of ${quoteTable(to.shape.schema, to.table)} (${other.type}) are not compared alike`,
      {
        hint: 'give both the same type and collation (integers of different sizes are fine)',
        fields: { column: column.name },
      },
    );
  }
}
