import type { Queryable } from './database.ts';
import { quoteTable } from './identifier.ts';
import { type Key, keyAfter, keyColumns, keyOrder, keyText, keyUpTo, keyValues } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { rowsGuessed, type TableShape } from './table-shape.ts';

/** Rows looked at to cut a table: enough that a few ranges differ by some per cent, and many by some tens. */
const SAMPLE_ROWS_MIN = 20_000;
const SAMPLE_ROWS_PER_RANGE = 20;
const WHOLE_FROM = 0.2;

/**
 * Cuts the table into at most `ranges` pieces of about as many rows, by a sample of its pages, so that skewed keys
 * split evenly. Answers with the last place of each; that of the last piece is the table's last row now, the upper
 * bound of the walk. Empty for an empty table.
 */
export async function cutTable(session: Queryable, shape: TableShape, key: Key, ranges: number): Promise<Place[]> {
  const table = quoteTable(shape.schema, shape.table);
  const [end] = await session.query(
    `SELECT to_json(${keyText(key, 't')})::text AS place FROM ${table} t ORDER BY ${keyOrder(key, 't', 'backward')} LIMIT 1`,
  );
  if (end === undefined) return [];
  const last = JSON.parse(end['place'] ?? '[]') as Place;
  if (ranges <= 1) return [last];
  const sampled = Math.max(SAMPLE_ROWS_MIN, ranges * SAMPLE_ROWS_PER_RANGE);
  const share = sampled / Math.max(1, rowsGuessed(shape));
  // Pages are sampled, whose rows often lie side by side in the key: of a small table all are looked at.
  const percent = share > WHOLE_FROM ? 100 : 100 * share;
  const rows = await session.query(
    `SELECT to_json(${keyText(key, 's')})::text AS place FROM (
       SELECT ${keyColumns(key, 't')}, row_number() OVER (ORDER BY ${keyOrder(key, 't', 'forward')}) AS zz_number, count(*) OVER () AS zz_count
       FROM ${table} t TABLESAMPLE SYSTEM (${percent}) WHERE ${keyUpTo(key, 't', keyValues(key, '$1::text[]'))}) s
     WHERE s.zz_number % greatest(1, s.zz_count / ${ranges}) = 0 ORDER BY s.zz_number LIMIT ${ranges - 1}`,
    [last],
  );
  const places = rows.map((row) => JSON.parse(row['place'] ?? '[]') as Place);
  return [...places.filter((place) => JSON.stringify(place) !== JSON.stringify(last)), last];
}

/** The next place after `from` within the range, or null where there is none. */
export async function nextPlace(
  session: Queryable,
  shape: TableShape,
  key: Key,
  range: { from: Place | null; upTo: Place },
): Promise<Place | null> {
  const after = range.from === null ? '$1::text[] IS NULL' : keyAfter(key, 't', keyValues(key, '$1::text[]'));
  const [row] = await session.query(
    `SELECT to_json(${keyText(key, 't')})::text AS place FROM ${quoteTable(shape.schema, shape.table)} t
     WHERE ${after} AND ${keyUpTo(key, 't', keyValues(key, '$2::text[]'))} ORDER BY ${keyOrder(key, 't', 'forward')} LIMIT 1`,
    [range.from, range.upTo],
  );
  return row === undefined ? null : (JSON.parse(row['place'] ?? '[]') as Place);
}
