import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { quoteIdentifier } from './identifier.ts';
import type { TableShape } from './table-shape.ts';

/**
 * The unique order along which a table is walked, and the SQL that compares places in it. A place is the text of the
 * key's columns (`text[]` in the ledger), so no value passes JavaScript's parsers.
 */
export interface KeyColumn {
  name: string;
  /** Its type, with the length or scale of the column. */
  type: string;
  /** The index's collation: written where it is not the column's own. */
  collation: string | null;
  /** Collation of a variable that holds such a value. */
  variableCollation: string | null;
  descending: boolean;
  nullsFirst: boolean;
  /** The index's own operators, as SQL takes them. */
  operators: { less: string; lessOrEqual: string; equal: string; greaterOrEqual: string; greater: string };
}
export type Key = readonly [KeyColumn, ...KeyColumn[]];

/** Tables without a usable key are walked as a whole, in one transaction, up to this many rows. */
export const KEYLESS_ROWS_MAX = 10_000;

const INDEXES = `
SELECT i.indexrelid::text AS id, a.attname, format_type(a.atttypid, a.atttypmod) AS type,
  (i.indoption[k.ord - 1] & 1) = 1 AS descending, (i.indoption[k.ord - 1] & 2) = 2 AS nulls_first,
  (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
     WHERE c.oid = i.indcollation[k.ord - 1] AND c.oid <> a.attcollation) AS collation,
  (SELECT quote_ident(n.nspname) || '.' || quote_ident(c.collname) FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
     WHERE c.oid = i.indcollation[k.ord - 1] AND c.oid <> t.typcollation) AS variable_collation,
  (SELECT json_object_agg(o.amopstrategy, 'OPERATOR(' || quote_ident(n.nspname) || '.' || p.oprname || ')')
     FROM pg_opclass c JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
       AND o.amoppurpose = 's'
     JOIN pg_operator p ON p.oid = o.amopopr JOIN pg_namespace n ON n.oid = p.oprnamespace
     WHERE c.oid = i.indclass[k.ord - 1]) AS operators
FROM pg_index i
  JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname = 'btree'
  CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY k (attnum, ord)
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
  JOIN pg_type t ON t.oid = a.atttypid
WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND k.ord <= i.indnkeyatts
  AND NOT EXISTS (
    SELECT FROM unnest(i.indkey::int2[]) WITH ORDINALITY n (attnum, ord) JOIN pg_attribute c ON c.attrelid = i.indrelid AND c.attnum = n.attnum
    WHERE n.ord <= i.indnkeyatts AND NOT c.attnotnull)
ORDER BY i.indisprimary DESC, i.indnkeyatts, i.indexrelid, k.ord`;

/**
 * Finds the key: the primary key, or another unique index over columns that can't be NULL; `wanted` names its columns.
 * Null where the table has none; throws `KeyMissing` where `wanted` has no such index.
 */
export async function findKey(
  session: Queryable,
  shape: TableShape,
  wanted: readonly string[] | null,
): Promise<Key | null> {
  const byIndex = new Map<string, KeyColumn[]>();
  for (const row of await session.query(INDEXES, [shape.oid])) {
    const columns = byIndex.get(row['id'] ?? '') ?? [];
    columns.push(keyColumnOf(row));
    byIndex.set(row['id'] ?? '', columns);
  }
  const keys = [...byIndex.values()];
  const fits = (columns: KeyColumn[]) =>
    wanted === null || (columns.length === wanted.length && columns.every((column) => wanted.includes(column.name)));
  const [first, ...others] = keys.find(fits) ?? [];
  if (first !== undefined) return [first, ...others];
  if (wanted === null) return null;
  const there = keys.map((columns) => `(${columns.map(({ name }) => name).join(', ')})`).join(', ');
  throw keyMissing(
    shape,
    `no unique index over (${wanted.join(', ')}) whose columns are all NOT NULL; there are: ${there || 'none'}`,
  );
}

export const keyMissing = (shape: TableShape, what: string): SwitchbackError =>
  new SwitchbackError(
    'KeyMissing',
    `table ${quoteIdentifier(shape.schema)}.${quoteIdentifier(shape.table)} has ${what}`,
    {
      hint: 'create a unique index over NOT NULL columns (CREATE UNIQUE INDEX CONCURRENTLY) in an earlier step',
      fields: { schema: shape.schema, table: shape.table },
    },
  );

function keyColumnOf(row: Record<string, string | null>): KeyColumn {
  const operators = JSON.parse(row['operators'] ?? '{}') as Record<string, string>;
  return {
    name: row['attname'] ?? '',
    type: row['type'] ?? '',
    collation: row['collation'] ?? null,
    variableCollation: row['variable_collation'] ?? null,
    descending: row['descending'] === 't',
    nullsFirst: row['nulls_first'] === 't',
    operators: {
      less: operators['1'] ?? '<',
      lessOrEqual: operators['2'] ?? '<=',
      equal: operators['3'] ?? '=',
      greaterOrEqual: operators['4'] ?? '>=',
      greater: operators['5'] ?? '>',
    },
  };
}

const uniform = (key: Key): boolean => key.every(({ descending }) => descending === key[0].descending);
/** A key that falls throughout is walked backwards through its index, so that it counts as one that rises. */
const falls = (key: Key, column: KeyColumn): boolean => column.descending && !uniform(key);
const sameOperators = (key: Key): boolean => key.every(({ operators }) => operators.less === key[0].operators.less);
const operand = (alias: string, column: KeyColumn): string =>
  `${alias}.${quoteIdentifier(column.name)}${column.collation === null ? '' : ` COLLATE ${column.collation}`}`;

/** The key's columns of the row that `alias` names, for a SELECT list. */
export const keyColumns = (key: Key, alias: string): string =>
  key.map((column) => `${alias}.${quoteIdentifier(column.name)}`).join(', ');

/** The place of the row that `alias` names, as text[]. */
export const keyText = (key: Key, alias: string): string =>
  `ARRAY[${key.map((column) => `${alias}.${quoteIdentifier(column.name)}::text`).join(', ')}]`;

/** A place in text[] as values of the key's types. `place` is an expression; it is repeated for each column. */
export const keyValues = (key: Key, place: string): string[] =>
  key.map((column, index) => `(${place})[${index + 1}]::${column.type}`);

/** True for rows that come after the place. */
export const keyAfter = (key: Key, alias: string, place: readonly string[]): string =>
  compare(key, alias, place, 'after');
/** True for rows that come before the place or stand on it. */
export const keyUpTo = (key: Key, alias: string, place: readonly string[]): string =>
  compare(key, alias, place, 'upTo');
/** True for the row on the place. */
export const keyIs = (key: Key, alias: string, place: readonly string[]): string =>
  key.map((column, index) => `${operand(alias, column)} ${column.operators.equal} ${place[index]}`).join(' AND ');

/** The walk's order, so written that the index gives it without a sort. */
export function keyOrder(key: Key, alias: string, walk: 'forward' | 'backward'): string {
  return key
    .map((column) => {
      const down = falls(key, column) !== (walk === 'backward');
      const againstIndex = down !== column.descending;
      const nullsFirst = column.nullsFirst !== againstIndex;
      const by = /^OPERATOR\(pg_catalog\.<\)$|^<$/.test(column.operators.less)
        ? down
          ? 'DESC'
          : 'ASC'
        : `USING ${down ? column.operators.greater : column.operators.less}`;
      return `${operand(alias, column)} ${by} NULLS ${nullsFirst ? 'FIRST' : 'LAST'}`;
    })
    .join(', ');
}

function compare(key: Key, alias: string, place: readonly string[], how: 'after' | 'upTo'): string {
  const operatorOf = (column: KeyColumn, orEqual: boolean): string => {
    const rises = (how === 'after') !== falls(key, column);
    if (rises) return orEqual ? column.operators.greaterOrEqual : column.operators.greater;
    return orEqual ? column.operators.lessOrEqual : column.operators.less;
  };
  const [first] = key;
  if (key.length === 1) return `${operand(alias, first)} ${operatorOf(first, how === 'upTo')} ${place[0]}`;
  if (uniform(key) && sameOperators(key)) {
    return `ROW(${key.map((column) => operand(alias, column)).join(', ')}) ${operatorOf(first, how === 'upTo')} ROW(${place.join(', ')})`;
  }
  // Mixed directions: a row comparison would skip and repeat rows. The first term lets the index be used.
  const from = (index: number): string => {
    const column = key[index];
    if (column === undefined) return 'false';
    const last = index === key.length - 1;
    const here = `${operand(alias, column)} ${operatorOf(column, last && how === 'upTo')} ${place[index]}`;
    return last
      ? here
      : `(${here} OR (${operand(alias, column)} ${column.operators.equal} ${place[index]} AND ${from(index + 1)}))`;
  };
  return `(${operand(alias, first)} ${operatorOf(first, true)} ${place[0]} AND ${from(0)})`;
}
