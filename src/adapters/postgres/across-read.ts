import { type Bounds, boundText, type Pair, type Side, withinBounds } from './across-side.ts';
import type { Database, Queryable, Value } from './database.ts';
import { quoteIdentifier } from './identifier.ts';
import { backendOf, cancellable, OWN_BACKEND } from './lock-ladder.ts';
import { keyIs, keyOrder, keyValues } from './range-key.ts';
import type { Place } from './range-ledger.ts';

/** Both databases of a comparison, in the same words as its sides. */
export interface Both<T> {
  left: T;
  right: T;
}
export interface Digest {
  rows: number;
  /** `bit_xor` of the rows' hashes; `0` of no row. */
  hash: string;
}
export interface Suspect {
  place: Place;
  left: string | null;
  right: string | null;
}

/** Two snapshots that were not taken within this time are taken again, so that a copy is judged by one moment. */
const SKEW_MAX_MS = 25;
const SNAPSHOT_TRIES = 4;
/** Whoever alters a table is not waited for in a transaction: it is tried again. */
export const LOCK_TIMEOUT_MS = 500;

/**
 * Reads both sides at the same time, each in one snapshot. The snapshots are taken before anything is read and, where the
 * network allows, within a few milliseconds of each other: what differs then is a difference or on its way. An abort
 * cancels what runs on either server. Throws 55P03 where a table is locked for long.
 */
export async function readBoth<T>(
  databases: Both<Database>,
  pair: Both<Side>,
  signal: AbortSignal,
  read: (session: Queryable, side: Side) => Promise<T>,
): Promise<Both<T>> {
  for (let tries = 1; ; tries++) {
    const began = performance.now();
    let arrived = 0;
    const meet = meeting();
    const one = (name: 'left' | 'right'): Promise<T | null> =>
      databases[name]
        .transaction(async (session) => {
          const [own] = await session.query(
            `SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS};
             SET LOCAL search_path = ${pair[name].search}; SELECT ${OWN_BACKEND}`,
          );
          arrived = Math.max(arrived, performance.now() - began);
          await meet.arrive();
          if (arrived > SKEW_MAX_MS && tries < SNAPSHOT_TRIES) return null;
          return cancellable(databases[name], backendOf(own), signal, () => read(session, pair[name]));
        })
        .catch((error: unknown) => {
          meet.fail(error);
          throw error;
        });
    const [left, right] = await settled([one('left'), one('right')]);
    if (left !== null && right !== null) return { left, right };
  }
}

/** Waits for both, also where one fails: nothing of ours runs on when the caller goes on. */
async function settled<T>(both: [Promise<T>, Promise<T>]): Promise<[T, T]> {
  await Promise.allSettled(both);
  return Promise.all(both);
}

/** Where two wait for each other. */
function meeting(): { arrive(): Promise<void>; fail(error: unknown): void } {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => undefined);
  let here = 0;
  return {
    arrive() {
      if (++here === 2) resolve();
      return promise;
    },
    fail: reject,
  };
}

export const sameDigest = ({ left, right }: Both<Digest>): boolean =>
  left.rows === right.rows && left.hash === right.hash;

/** How many rows are in the range, and what they hold: one scan of the range. */
export async function digestOf(session: Queryable, side: Side, bounds: Bounds): Promise<Digest> {
  const within = withinBounds(side, bounds);
  const [row] = await session.query(
    `SELECT count(*) AS rows, coalesce(bit_xor(${side.hash}), 0) AS hash FROM ${side.from} WHERE ${within.sql}`,
    within.values,
  );
  return { rows: Number(row?.['rows']), hash: row?.['hash'] ?? '0' };
}

/** Places at which the range falls into about `pieces` of as many rows; fewer, or none, where it is small. */
export async function splitBounds(
  database: Database,
  side: Side,
  bounds: Bounds,
  wish: { rows: number; pieces: number },
): Promise<Place[]> {
  const within = withinBounds(side, bounds);
  const alias = quoteIdentifier(side.shape.table);
  const step = Math.max(1, Math.ceil(wish.rows / wish.pieces));
  const rows = await database.query(
    `SELECT to_json(zz_place)::text AS place FROM (
       SELECT ${boundText(side)} AS zz_place, row_number() OVER (ORDER BY ${keyOrder(side.key, alias, 'forward')}) AS zz_number
       FROM ${side.from} WHERE ${within.sql}) zz_rows
     WHERE zz_number % ${step} = 0 ORDER BY zz_number LIMIT ${wish.pieces}`,
    within.values,
  );
  return rows.map(placeIn);
}

/** The rows of a range, each with its hash. `buckets` keeps those whose key falls into one of them. */
export async function rowsIn(
  session: Queryable,
  side: Side,
  bounds: Bounds,
  buckets: { mask: number; wanted: readonly string[] } | null = null,
): Promise<Map<string, string>> {
  const within = withinBounds(side, bounds);
  const values: Value[] = [...within.values];
  const bucket =
    buckets === null
      ? ''
      : ` AND (${side.keyHash} & ${buckets.mask}) = ANY ($${values.push(buckets.wanted)}::text[]::bigint[])`;
  const rows = await session.query(
    `SELECT to_json(${side.place})::text AS place, ${side.hash} AS hash FROM ${side.from} WHERE ${within.sql}${bucket}`,
    values,
  );
  return new Map(rows.map((row) => [row['place'] ?? '[]', row['hash'] ?? '0']));
}

/** Digests of the whole table by the hash of the key: for keys that the sides may sort differently. */
export async function bucketDigests(session: Queryable, side: Side, mask: number): Promise<Map<string, Digest>> {
  const rows = await session.query(
    `SELECT ${side.keyHash} & ${mask} AS bucket, count(*) AS rows, bit_xor(${side.hash}) AS hash FROM ${side.from} GROUP BY 1`,
  );
  return new Map(
    rows.map((row) => [row['bucket'] ?? '', { rows: Number(row['rows']), hash: row['hash'] ?? '0' }] as const),
  );
}

/** Keys whose row is on one side only, or not the same on both. */
export function suspectsAmong({ left, right }: Both<ReadonlyMap<string, string>>): Place[] {
  const places = [...left].filter(([place, hash]) => right.get(place) !== hash).map(([place]) => place);
  const extra = [...right.keys()].filter((place) => !left.has(place));
  return [...places, ...extra].map((place) => JSON.parse(place) as Place);
}

/** `$1`: places as JSON, an array of arrays. */
const PLACES = `(SELECT ARRAY(SELECT json_array_elements_text(zz_e)) AS place FROM json_array_elements($1::json) zz_e) zz_places`;

/** Keeps rows whose key is one of the places in `$1`. */
export const atPlaces = ({ key, shape }: Side): string =>
  `EXISTS (SELECT FROM ${PLACES} WHERE ${keyIs(key, quoteIdentifier(shape.table), keyValues(key, 'zz_places.place'))})`;

/** The hashes of the rows on these places; a place without a row is missing. */
export async function hashesAt(
  session: Queryable,
  side: Side,
  places: readonly Place[],
  lock: '' | ' FOR SHARE' | ' FOR UPDATE' = '',
): Promise<Map<string, string>> {
  const rows = await session.query(
    `SELECT to_json(${side.place})::text AS place, ${side.hash} AS hash FROM ${side.from} WHERE ${atPlaces(side)}${lock}`,
    [JSON.stringify(places)],
  );
  return new Map(rows.map((row) => [row['place'] ?? '[]', row['hash'] ?? '0']));
}

/** The canonical texts of the columns on these places, in the order of `side.columns`. */
export async function textsAt(
  session: Queryable,
  side: Side,
  places: readonly Place[],
): Promise<Map<string, (string | null)[]>> {
  const texts = side.columns.map(({ sql, form }) => form.text(sql));
  const rows = await session.query(
    `SELECT to_json(${side.place})::text AS place, json_build_array(${texts.join(', ')})::text AS texts
     FROM ${side.from} WHERE ${atPlaces(side)}`,
    [JSON.stringify(places)],
  );
  return new Map(rows.map((row) => [row['place'] ?? '[]', JSON.parse(row['texts'] ?? '[]') as (string | null)[]]));
}

const placeIn = (row: Record<string, string | null>): Place => JSON.parse(row['place'] ?? '[]') as Place;

/** Of rows that differ by their texts, those which Postgres takes for equal all the same, by its own `IS DISTINCT FROM`. */
export async function equalAfterAll(
  session: Queryable,
  { columns }: Pair['right'],
  rows: readonly { place: string; left: readonly (string | null)[]; right: readonly (string | null)[] }[],
): Promise<string[]> {
  const loose = columns.map(({ form }) => form.looseType);
  const candidates = rows.filter((row) =>
    loose.every((type, index) => type !== null || row.left[index] === row.right[index]),
  );
  if (candidates.length === 0) return [];
  const at = (side: string, index: number): string => `(zz_r.value->'${side}'->>${index})`;
  const differs = loose.flatMap((type, index) =>
    type === null ? [] : [`${at('left', index)}::${type} IS DISTINCT FROM ${at('right', index)}::${type}`],
  );
  const found = await session.query(
    `SELECT zz_r.value->>'place' AS place FROM json_array_elements($1::json) zz_r WHERE NOT (${differs.join(' OR ')})`,
    [JSON.stringify(candidates)],
  );
  return found.map((row) => row['place'] ?? '');
}
