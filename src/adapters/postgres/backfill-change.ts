import { quoteIdentifier, quoteTable } from './identifier.ts';
import type { TableShape } from './table-shape.ts';

/** What a backfill writes into which rows of a table. */
export interface RowChange {
  shape: TableShape;
  /** Column to expression over the row itself. */
  set: Readonly<Record<string, string>>;
  /** Our column of the dual write, if there is one: it tells which rows are still to be done. */
  marker: string | null;
  where: string | null;
}

/**
 * Writes the statement that changes the rows of a chunk: those of `range`, a condition on the table by its own name,
 * that are still to be done. The statement answers with one row: `rows` (how many were changed), `before_digest`
 * and `after_digest` (the `bit_xor` of the hashes of what they held, null where nobody looked), all bigint.
 */
export type ChunkChange = (range: string) => string;

/** The value the backfill leaves in the marker: the triggers know it and let the write by. */
const BACKFILLED = 2;

/** Changes rows of the table itself. */
export const changeInPlace =
  (change: RowChange): ChunkChange =>
  (range) =>
    `WITH zz_changed AS (${updateRows(change)} AND ${range} RETURNING 1) SELECT count(*) AS rows, NULL::bigint AS before_digest, NULL::bigint AS after_digest FROM zz_changed`;

/** `UPDATE …` of the rows that are still to be done, without its key range: that follows after AND. */
export function updateRows({ shape, set, marker, where }: RowChange): string {
  const alias = quoteIdentifier(shape.table);
  const assignments = Object.entries(set).map(
    ([column, expression]) => `${quoteIdentifier(column)} = (\n${expression}\n)`,
  );
  if (marker !== null) assignments.push(`${quoteIdentifier(marker)} = ${BACKFILLED}`);
  return `UPDATE ${quoteTable(shape.schema, shape.table)} AS ${alias} SET ${assignments.join(', ')} WHERE ${stillToDo({ shape, marker, where })}`;
}

/** Which rows are still to be done. */
export function stillToDo({ shape, marker, where }: Omit<RowChange, 'set'>): string {
  const terms = [
    ...(marker === null ? [] : [`${quoteIdentifier(shape.table)}.${quoteIdentifier(marker)} IS NULL`]),
    ...(where === null ? [] : [`(\n${where}\n)`]),
  ];
  return terms.length === 0 ? 'true' : terms.join(' AND ');
}
