import type { Queryable } from './database.ts';
import { quoteIdentifier } from './identifier.ts';
import { columnOfTable, type TableShape } from './table-shape.ts';

/**
 * The hash of one row's columns as SQL: a bigint, seeded by the row's key, so that two rows that exchange their values
 * have other hashes than before. Each column has a seed of its own, which also stands for its NULL. A `bit_xor` over
 * rows is the digest of a range; digests of ranges add up by `#`.
 *
 * Texts are hashed by their bytes and other types by their text, so that what a collation or `=` takes for the same
 * (1.0 and 1.00, bob and BOB) differs here.
 */
export function rowHash(
  shape: TableShape,
  columns: { key: readonly string[]; values: readonly string[] },
  alias: string,
): string {
  const hash = (name: string, seed: string | number): string =>
    hashOf(columnOfTable(shape, name).type, `${alias}.${quoteIdentifier(name)}`, seed);
  const values = columns.values.map((name, index) => `coalesce(${hash(name, index + 1)}, ${index + 1})`).join(' # ');
  return columns.key.reduce((seed, name) => hash(name, seed), values);
}

/**
 * What an UPDATE returns for its digests: the hash of each row as `zz_b` before and `zz_a` after. `seesOld`: whether its
 * `RETURNING old` is to be had and to be believed; where it isn't, `zz_b` is null. `alias`: what the statement calls it.
 */
export function returning(
  shape: TableShape,
  columns: Parameters<typeof rowHash>[1],
  seesOld: boolean,
  alias = quoteIdentifier(shape.table),
): string {
  const hash = (row: string): string => rowHash(shape, columns, row);
  return seesOld
    ? `WITH (OLD AS zz_old, NEW AS zz_new) ${hash('zz_old')} AS zz_b, ${hash('zz_new')} AS zz_a`
    : `NULL::bigint AS zz_b, ${hash(alias)} AS zz_a`;
}

/** Over rows of `zz_b` and `zz_a`: how many, and their digests. */
export const DIGESTED = 'count(*) AS rows, bit_xor(zz_b) AS before_digest, bit_xor(zz_a) AS after_digest';

function hashOf(type: string, value: string, seed: string | number): string {
  // The value is mixed into the seed, because the function folds 64 bits into 32: 1 and 2³² would be the same.
  if (/^(smallint|integer|bigint)$/.test(type)) return `hashint8extended(${value}, ${value}::bigint # ${seed})`;
  if (type === 'uuid') return `uuid_hash_extended(${value}, ${seed})`;
  return `hashtextextended(${value}::text COLLATE "C", ${seed})`;
}

/** From Postgres 18 on an UPDATE can return what it saw before. */
export async function returnsOld(session: Queryable): Promise<boolean> {
  const [row] = await session.query("SELECT current_setting('server_version_num')::int >= 180000 AS there");
  return row?.['there'] === 't';
}
