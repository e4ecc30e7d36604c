import { keepImages } from './before-images.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import type { RangeOwner } from './range-ledger.ts';
import { DIGESTED, returning, rowHash } from './row-digest.ts';
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

/** How rows are changed in place: what is told of them, and what is kept. */
export interface InPlace {
  /** The columns of the key; none for a small table that is changed as a whole. */
  key: readonly string[];
  /** Whether an UPDATE can return what it saw before: see `seesOld`. */
  seesOld: boolean;
  /** Whose before-images are kept; null: none are. */
  preserve: RangeOwner | null;
}

/** How the rows of a chunk are changed: by one statement, or by two where its rows have to be locked before. */
export interface ChunkStatements {
  change: ChunkChange;
  /** Locks the rows that `change` will read, in a statement before it. */
  lock?: ChunkChange;
}

/** The value the backfill leaves in the marker: the triggers know it and let the write by. */
const BACKFILLED = 2;
const ANSWER = `SELECT ${DIGESTED} FROM zz_changed`;

/**
 * Changes rows of the table itself. Before Postgres 18 what a row held is only known where `preserve` locks and reads it
 * first: otherwise `before_digest` is null.
 */
export function changeInPlace(change: RowChange, how: InPlace): ChunkStatements {
  const values = Object.keys(change.set);
  const { shape } = change;
  const columns = { key: how.key, values };
  const returned = returning(shape, columns, how.seesOld);
  if (how.preserve === null)
    return {
      change: (range) => `WITH zz_changed AS (${updateRows(change)} AND ${range} RETURNING ${returned}) ${ANSWER}`,
    };
  const images = `, zz_images AS (${keepImages(how.preserve, how.key.length, values.length)})`;
  if (!how.seesOld) return lockedFirst(change, columns, images);
  const kept = [
    ...texts('zz_k', 'zz_old', how.key),
    ...texts('zz_o', 'zz_old', values),
    ...texts('zz_w', 'zz_new', values),
  ].join(', ');
  return {
    change: (range) =>
      `WITH zz_changed AS (${updateRows(change)} AND ${range} RETURNING ${returned}, ${kept})${images} ${ANSWER}`,
  };
}

/** Without a `RETURNING old` to rely on, rows are locked, then read as they are now, then changed. */
function lockedFirst(
  change: RowChange,
  { key, values }: { key: readonly string[]; values: readonly string[] },
  images: string,
): ChunkStatements {
  const { shape } = change;
  const alias = quoteIdentifier(shape.table);
  const hash = rowHash(shape, { key, values }, alias);
  const rows = (range: string): string =>
    `FROM ${tableOf(shape)} WHERE ${stillToDo(change)} AND ${range} FOR NO KEY UPDATE`;
  const names = key.map((name, index) => ({ name: quoteIdentifier(name), as: `zz_row_${index + 1}` }));
  const read = [
    ...names.map(({ name, as }) => `${alias}.${name} AS ${as}`),
    ...texts('zz_k', alias, key),
    ...texts('zz_o', alias, values),
    `${hash} AS zz_b`,
  ].join(', ');
  const same = names.map(({ name, as }) => `${alias}.${name} = zz_before.${as}`).join(' AND ');
  const returned = [
    ...key.map((_, index) => `zz_before.zz_k${index + 1}`),
    ...values.map((_, index) => `zz_before.zz_o${index + 1}`),
    ...texts('zz_w', alias, values),
    'zz_before.zz_b',
    `${hash} AS zz_a`,
  ].join(', ');
  return {
    lock: (range) => `SELECT count(*) FROM (SELECT ${rows(range)}) zz_locked`,
    // Locked rows are read as they are now. What the first statement locked can't change its key before the UPDATE looks.
    change: (range) =>
      `WITH zz_before AS MATERIALIZED (SELECT ${read} ${rows(range)}),
       zz_changed AS (${updateRows(change, 'zz_before')} AND ${range} AND ${same} RETURNING ${returned})${images} ${ANSWER}`,
  };
}

const texts = (as: string, row: string, names: readonly string[]): string[] =>
  names.map((name, index) => `${row}.${quoteIdentifier(name)}::text AS ${as}${index + 1}`);

const tableOf = ({ schema, table }: TableShape): string => `${quoteTable(schema, table)} AS ${quoteIdentifier(table)}`;

/** `UPDATE …` of the rows that are still to be done, without its key range: that follows after AND. */
export function updateRows(change: RowChange, from?: string): string {
  const assignments = Object.entries(change.set).map(
    ([column, expression]) => `${quoteIdentifier(column)} = (\n${expression}\n)`,
  );
  if (change.marker !== null) assignments.push(`${quoteIdentifier(change.marker)} = ${BACKFILLED}`);
  return `UPDATE ${tableOf(change.shape)} SET ${assignments.join(', ')}${from === undefined ? '' : ` FROM ${from}`} WHERE ${stillToDo(change)}`;
}

/** Which rows are still to be done. */
export function stillToDo({ shape, marker, where }: Omit<RowChange, 'set'>): string {
  const terms = [
    ...(marker === null ? [] : [`${quoteIdentifier(shape.table)}.${quoteIdentifier(marker)} IS NULL`]),
    ...(where === null ? [] : [`(\n${where}\n)`]),
  ];
  return terms.length === 0 ? 'true' : terms.join(' AND ');
}
