import { type Form, formOf } from './across-form.ts';
import type { TypeFacts } from './across-types.ts';
import type { Queryable } from './database.ts';
import { findKey, type Key, type KeyColumn, keyMissing } from './range-key.ts';
import type { TableShape } from './table-shape.ts';

/** A side's key, in the order of its index, with what decides whether both sides sort it alike. */
export interface SideKey {
  key: Key;
  types: readonly TypeFacts[];
  /** For each column: what its order depends on; null where it can't be told. */
  orders: readonly (string | null)[];
}

/** The keys of both sides, column by column in the order of the left side's index. */
export interface KeyPair {
  left: Key;
  right: Key;
  forms: readonly Form[];
  /** Null where both sides sort the key alike, so that it can be cut into ranges; else why not, in words. */
  unsorted: string | null;
}

const COLLATIONS = `
SELECT to_jsonb(c)::text AS of_column, to_jsonb(d)::text AS of_database
FROM unnest($2::text[], $3::text[]) WITH ORDINALITY k (name, other, ord)
  JOIN pg_attribute a ON a.attrelid = $1::oid AND a.attname = k.name
  CROSS JOIN pg_database d
  LEFT JOIN pg_collation c ON c.oid = coalesce(k.other::regcollation::oid, a.attcollation)
WHERE d.datname = current_database() ORDER BY k.ord`;

/** Finds a side's key: the one that the plan names, or the table's own. Throws `KeyMissing`. */
export async function findSideKey(
  session: Queryable,
  shape: TableShape,
  wanted: readonly string[] | null,
): Promise<Key> {
  const key = await findKey(session, shape, wanted);
  if (key === null) throw keyMissing(shape, 'no primary key and no unique index over NOT NULL columns');
  return key;
}

/** What the order of each column of a key depends on. */
export async function readOrders(session: Queryable, shape: TableShape, key: Key): Promise<(string | null)[]> {
  const rows = await session.query(COLLATIONS, [
    shape.oid,
    key.map(({ name }) => name),
    key.map(({ collation }) => collation),
  ]);
  return rows.map((row) => orderOf(row['of_column'] ?? null, row['of_database'] ?? '{}'));
}

interface CatalogRow {
  [column: string]: unknown;
}

/** What the order of a collation depends on. Columns of both catalogs differ from version to version of Postgres. */
function orderOf(collation: string | null, database: string): string | null {
  const d = JSON.parse(database) as CatalogRow;
  if (collation === null) return 'no collation';
  const c = JSON.parse(collation) as CatalogRow;
  const own = c['collname'] === 'default';
  const provider = own ? (d['datlocprovider'] ?? 'c') : c['collprovider'];
  const locale = own
    ? provider === 'c'
      ? d['datcollate']
      : (d['datlocale'] ?? d['daticulocale'])
    : (c['colllocale'] ?? c['colliculocale'] ?? c['collcollate']);
  // libc's C and everything of the built-in provider sort by bytes.
  if (provider === 'b' || (provider === 'c' && (locale === 'C' || locale === 'POSIX')))
    return `bytes of encoding ${String(d['encoding'])}`;
  const version = own ? d['datcollversion'] : c['collversion'];
  if (typeof version !== 'string') return null;
  return JSON.stringify([provider, locale, version, own ? true : c['collisdeterministic'], c['collicurules'] ?? null]);
}

/**
 * Brings the keys of both sides together: as the plan lists them where it names both, by name where the names are the
 * same, else by their place in the index. Throws `KeyMissing` where their numbers of columns differ.
 */
export function pairKeys(
  left: SideKey & { shape: TableShape; wanted: readonly string[] | null },
  right: SideKey & { shape: TableShape; wanted: readonly string[] | null },
): KeyPair {
  if (left.key.length !== right.key.length) {
    throw keyMissing(
      right.shape,
      `a key of ${right.key.length} columns (${right.key.map(({ name }) => name).join(', ')}) where the left side's has ${left.key.length} (${left.key.map(({ name }) => name).join(', ')})`,
    );
  }
  const at = left.key.map(({ name }, index) => partner(name, index, left, right));
  const pairs = left.key.map((column, index) => {
    const other = at[index] ?? index;
    const types = [left.types[index], right.types[other]] as [TypeFacts, TypeFacts];
    const form = formOf(...types);
    const bound = boundType(types, left.orders[index] ?? null, right.orders[other] ?? null);
    return { column, other: right.key[other] as KeyColumn, types, form, bound };
  });
  const [first, ...rest] = pairs.map(({ column, types, bound }) => typed(column, bound ?? types[0].name));
  const [firstOther, ...restOther] = pairs.map(({ column, other, types, bound }) => ({
    ...typed(other, bound ?? types[1].name),
    // Both are walked in the left side's order; another order of the right index only makes it slower.
    descending: column.descending,
    nullsFirst: column.nullsFirst,
  }));
  const unsorted = pairs.find(({ bound }) => bound === null);
  return {
    left: [first as KeyColumn, ...rest],
    right: [firstOther as KeyColumn, ...restOther],
    forms: pairs.map(({ form }) => form),
    unsorted:
      unsorted === undefined
        ? null
        : `${unsorted.column.name} (${unsorted.types[0].name}) and ${unsorted.other.name} (${unsorted.types[1].name}) may not be sorted alike`,
  };
}

function partner(
  name: string,
  index: number,
  left: { wanted: readonly string[] | null },
  right: { key: Key; wanted: readonly string[] | null },
): number {
  if (left.wanted !== null && right.wanted !== null) {
    const wanted = right.wanted[left.wanted.indexOf(name)];
    return right.key.findIndex((column) => column.name === wanted);
  }
  const same = right.key.findIndex((column) => column.name === name);
  return same === -1 ? index : same;
}

/** A bound is cast to a type without length or scale: `varchar(5)` would cut it off. */
const typed = (column: KeyColumn, type: string): KeyColumn => ({ ...column, type, variableCollation: null });

const INTEGERS = ['smallint', 'integer', 'bigint'];
const TEXTS = ['text', 'character varying'];
/** Types that every server sorts alike, whatever its locale. */
const SORTED = new Set([
  ...['uuid', 'numeric', 'date', 'timestamp without time zone', 'timestamp with time zone', 'boolean', 'bytea', 'oid'],
  ...['time without time zone', 'inet', 'cidr', 'macaddr', 'macaddr8', 'real', 'double precision', 'pg_lsn'],
]);

/** The type that a bound of both sides has; null where the sides may sort the column differently. */
function boundType([left, right]: [TypeFacts, TypeFacts], order: string | null, other: string | null): string | null {
  if (INTEGERS.includes(left.name) && INTEGERS.includes(right.name)) return 'bigint';
  if (TEXTS.includes(left.name) && TEXTS.includes(right.name)) return order !== null && order === other ? 'text' : null;
  if (left.labels !== null) return left.labels === right.labels && left.name === right.name ? left.name : null;
  if (left.name !== right.name || !left.builtIn || !right.builtIn) return null;
  if (left.name === 'character') return order !== null && order === other ? 'bpchar' : null;
  return SORTED.has(left.name) ? left.name : null;
}
