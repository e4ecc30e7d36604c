import { quoteIdentifier, quoteTable } from './identifier.ts';
import type { Key } from './range-key.ts';
import { rowHash } from './row-digest.ts';
import type { TableShape } from './table-shape.ts';

/**
 * Writes the statement that mends rows of a range, a condition on the table by its own name, of which `differs` is true. It answers with one row:
 * `rows` (how many were mended), `before_digest` and `after_digest` (see `rowHash`; null for none), all bigint.
 */
export type RepairStatement = (range: string, differs: string, on: RangeOn) => string;

/** The condition of a range over the columns of a key, of the row that `alias` names. */
export type RangeOn = (key: Key, alias: string) => string;

export interface Repaired {
  rows: number;
  digests: { before: string | null; after: string | null };
}

/**
 * Writes the statement that mends rows of the table itself: those that differ and for which `allowed` holds. What a row held
 * before is read from the very version that is changed: where somebody else has changed the row meanwhile, it is left
 * for the next pass. `columns` are those that the digests cover.
 */
export const repairInPlace =
  (change: {
    shape: TableShape;
    key: Key | null;
    allowed: string;
    assignments: readonly string[];
    columns: readonly string[];
  }): RepairStatement =>
  (range, differs) => {
    const { shape, key, allowed, assignments, columns } = change;
    const alias = quoteIdentifier(shape.table);
    const table = `${quoteTable(shape.schema, shape.table)} AS ${alias}`;
    const digest = rowHash(shape, { key: (key ?? []).map(({ name }) => name), values: columns }, alias);
    return `WITH zz_repaired AS (
  UPDATE ${table} SET ${assignments.join(', ')}
  FROM (SELECT ${alias}.tableoid AS zz_tableoid, ${alias}.ctid AS zz_ctid, ${digest} AS zz_before FROM ${table} WHERE ${range}) AS zz_was
  WHERE zz_was.zz_ctid = ${alias}.ctid AND zz_was.zz_tableoid = ${alias}.tableoid AND ${range} AND ${allowed} AND ${differs}
  RETURNING zz_was.zz_before, ${digest} AS zz_after)
SELECT count(*) AS rows, bit_xor(zz_before) AS before_digest, bit_xor(zz_after) AS after_digest FROM zz_repaired`;
  };
