import type { Changed } from './backfill-record.ts';
import type { Queryable } from './database.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';
import { type Key, keyIs } from './range-key.ts';
import { type Place, placeOf, type RangeOwner } from './range-ledger.ts';
import { DIGESTED, returning } from './row-digest.ts';
import { searchPath } from './table-expressions.ts';
import { columnOfTable, type TableShape } from './table-shape.ts';
import { OF_STEP, stepValues } from './step-row.ts';

/**
 * Before-images: what rows held before a backfill changed them and what it wrote, one line of arrays for each chunk (a
 * line for each row costs three times as much), written by the statement that changed them. Everything is text, so that
 * no value passes JavaScript's parsers.
 *
 * They are restored newest first, a line at a time, and only into rows that still hold what was written: so a row that a
 * sweep changed twice gets back what it held before the second time, and then no longer counts as ours.
 */
export interface ImageTarget {
  shape: TableShape;
  key: Key;
  /** The columns that the backfill sets. */
  columns: readonly string[];
  /** The marker of the dual write that the backfill is `of`, where it is still there. */
  marker: string | null;
  /** Whether an UPDATE returns what it saw before. */
  seesOld: boolean;
}
export interface Image {
  id: string;
  rows: number;
}
export interface Restored extends Changed {
  /** Rows that hold something else by now: a client's values stay. */
  changed: number;
  /** Rows that were deleted, or whose key has changed. */
  gone: number;
}

const numbers = (length: number): number[] => Array.from({ length }, (_, index) => index + 1);

/** `INSERT …` of the images of the rows in `zz_changed`: texts `zz_k1` … of the key, `zz_o1` … before, `zz_w1` … written. */
export function keepImages({ run, step }: RangeOwner, keys: number, values: number): string {
  const all = (of: string, length: number): string =>
    numbers(length)
      .map((number) => `array_agg(${of}${number})`)
      .join(' || ');
  return `INSERT INTO switchback.before_images (migration, version, epoch, step, rows, keys, before, wrote)
    SELECT ${quoteLiteral(run.migration)}, ${run.version}, ${run.epoch}, ${quoteLiteral(step)}, count(*),
      ${all('zz_k', keys)}, ${all('zz_o', values)}, ${all('zz_w', values)} FROM zz_changed HAVING count(*) > 0`;
}

/** The newest image that is still to be restored. */
export async function nextImage(session: Queryable, owner: RangeOwner): Promise<Image | null> {
  const [row] = await session.query(
    `SELECT id, rows FROM switchback.before_images WHERE ${OF_STEP} AND NOT failed ORDER BY id DESC LIMIT 1`,
    stepValues(owner),
  );
  return row === undefined ? null : { id: row['id'] ?? '', rows: Number(row['rows']) };
}

/** Rows whose images are kept. */
export async function rowsImaged(session: Queryable, owner: RangeOwner): Promise<number> {
  const [row] = await session.query(
    `SELECT coalesce(sum(rows), 0) AS rows FROM switchback.before_images WHERE ${OF_STEP}`,
    stepValues(owner),
  );
  return Number(row?.['rows']);
}

/**
 * Gives the rows of an image back what they held, inside the caller's transaction, and deletes the image. Rows whose
 * values are no longer ours are left alone. With a dual write the marker says that this is a write of ours: its
 * triggers derive nothing from it, and rows that a client has written since are recognised by it.
 */
export async function restoreImage(session: Queryable, target: ImageTarget, image: Image): Promise<Restored> {
  const { shape, key, columns, marker } = target;
  const alias = quoteIdentifier(shape.table);
  const table = `${quoteTable(shape.schema, shape.table)} AS ${alias}`;
  const own = (name: string): string => `${alias}.${quoteIdentifier(name)}`;
  const there = keyIs(
    key,
    alias,
    key.map(({ type }, index) => `zz_image.zz_k${index + 1}::${type}`),
  );
  const set = columns.map(
    (name, index) => `${quoteIdentifier(name)} = zz_image.zz_o${index + 1}::${columnOfTable(shape, name).type}`,
  );
  const ours = columns.map(
    (name, index) => `${own(name)}::text COLLATE "C" IS NOT DISTINCT FROM zz_image.zz_w${index + 1}`,
  );
  if (marker !== null) {
    set.push(`${quoteIdentifier(marker)} = ${own(marker)} + 1`);
    ours.push(`${own(marker)} > 1`);
  }
  const returned = returning(shape, { key: key.map(({ name }) => name), values: columns }, target.seesOld);
  await session.query(`SET LOCAL search_path = ${searchPath(shape.schema)}`);
  const [row] = await session.query(
    `WITH zz_image AS MATERIALIZED (${imageRows(key.length, columns.length)}),
     zz_there AS MATERIALIZED (SELECT count(*) AS rows FROM zz_image WHERE EXISTS (SELECT FROM ${table} WHERE ${there})),
     zz_restored AS (UPDATE ${table} SET ${set.join(', ')} FROM zz_image WHERE ${[there, ...ours].join(' AND ')} RETURNING ${returned})
     SELECT (SELECT rows FROM zz_there) AS there, ${DIGESTED} FROM zz_restored`,
    [image.id],
  );
  await session.query('SET LOCAL search_path = pg_catalog');
  await session.query('DELETE FROM switchback.before_images WHERE id = $1', [image.id]);
  const [present, rows] = [Number(row?.['there']), Number(row?.['rows'])];
  return {
    rows,
    changed: Math.max(0, present - rows),
    gone: image.rows - present,
    digests: { before: row?.['before_digest'] ?? null, after: row?.['after_digest'] ?? null },
  };
}

/** Cuts an image into two halves: one row of it can't be restored, and the others shall be. */
export async function halveImage(session: Queryable, target: ImageTarget, image: Image): Promise<void> {
  const half = Math.floor(image.rows / 2);
  const part = (array: string, columns: number, [from, to]: [number, number]): string =>
    numbers(columns)
      .map((number) => `b.${array}[${(number - 1) * image.rows + from}:${(number - 1) * image.rows + to}]`)
      .join(' || ');
  const [keys, values] = [target.key.length, target.columns.length];
  for (const [from, to] of [
    [1, half],
    [half + 1, image.rows],
  ] as const) {
    await session.query(
      `INSERT INTO switchback.before_images (migration, version, epoch, step, rows, keys, before, wrote)
       SELECT b.migration, b.version, b.epoch, b.step, ${to - from + 1}, ${part('keys', keys, [from, to])}, ${part('before', values, [from, to])},
         ${part('wrote', values, [from, to])} FROM switchback.before_images b WHERE b.id = $1`,
      [image.id],
    );
  }
  await session.query('DELETE FROM switchback.before_images WHERE id = $1', [image.id]);
}

/** Puts an image of one row aside, and answers with its key. */
export async function putImageAside(session: Queryable, image: Image): Promise<Place> {
  const [row] = await session.query(
    'UPDATE switchback.before_images SET failed = true WHERE id = $1 RETURNING to_json(keys)::text AS key',
    [image.id],
  );
  return placeOf(row?.['key']) ?? [];
}

/** Images that were put aside are tried again. */
export async function retryImages(session: Queryable, owner: RangeOwner): Promise<void> {
  await session.query(
    `UPDATE switchback.before_images SET failed = false WHERE ${OF_STEP} AND failed`,
    stepValues(owner),
  );
}

/** Chunks whose images are deleted at once. */
const FORGOTTEN_AT_ONCE = 1_000;

/**
 * Deletes the images of all steps of a migration's version: it has completed, and nothing goes back any more. In
 * portions, each of which counts: whoever is interrupted goes on from there.
 */
export async function forgetImages(database: Queryable, run: RangeOwner['run']): Promise<void> {
  for (let deleted = FORGOTTEN_AT_ONCE; deleted === FORGOTTEN_AT_ONCE; ) {
    const rows = await database.query(
      `DELETE FROM switchback.before_images WHERE id IN (SELECT id FROM switchback.before_images
         WHERE migration = $1 AND version <= $2 LIMIT ${FORGOTTEN_AT_ONCE}) RETURNING 1 AS deleted`,
      [run.migration, run.version],
    );
    deleted = rows.length;
  }
}

/** The rows of the image `$1`: its key as `zz_k1` …, before as `zz_o1` …, written as `zz_w1` …. */
function imageRows(keys: number, values: number): string {
  const slices = (array: string, columns: number): string[] =>
    numbers(columns).map((number) => `b.${array}[${number - 1} * b.rows + 1:${number} * b.rows]`);
  const names = (of: string, columns: number): string[] => numbers(columns).map((number) => `${of}${number}`);
  return `SELECT i.* FROM switchback.before_images b CROSS JOIN LATERAL unnest(
    ${[...slices('keys', keys), ...slices('before', values), ...slices('wrote', values)].join(', ')})
    AS i (${[...names('zz_k', keys), ...names('zz_o', values), ...names('zz_w', values)].join(', ')}) WHERE b.id = $1`;
}
