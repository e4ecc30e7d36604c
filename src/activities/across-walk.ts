import {
  type Both,
  bucketDigests,
  type Digest,
  digestOf,
  readBoth,
  rowsIn,
  sameDigest,
  splitBounds,
  suspectsAmong,
} from '../adapters/postgres/across-read.ts';
import type { Bounds, Pair } from '../adapters/postgres/across-side.ts';
import type { Place } from '../adapters/postgres/range-ledger.ts';
import type { Job } from './across-job.ts';

/** A range of so many rows is fetched key by key; a larger one is cut first. */
const LEAF_ROWS = 1_000;
const PIECES_MAX = 64;
/** Of a table that can't be cut by its key, about so many rows share a bucket; there are no more buckets than that. */
const BUCKET_ROWS = 500;
const BUCKETS_MAX = 65_536;
/** Suspects of such a table that are fetched at once. */
const BUCKET_ROWS_AT_ONCE = 50_000;

export interface Compared {
  /** Rows of the larger side. */
  rows: number;
  suspects: Place[];
}

export const digests = (job: Job, pair: Pair, bounds: Bounds, signal: AbortSignal): Promise<Both<Digest>> =>
  readBoth(job.databases, pair, signal, (session, side) => digestOf(session, side, bounds));

export const rowsOf = ({ left, right }: Both<Digest>): number => Math.max(left.rows, right.rows);

/** The places at which a range is cut: by the side that has more rows. */
export const cut = (job: Job, pair: Pair, bounds: Bounds, found: Both<Digest>, rowsEach: number): Promise<Place[]> => {
  const larger = found.left.rows >= found.right.rows ? 'left' : 'right';
  const rows = found[larger].rows;
  const pieces = Math.min(PIECES_MAX, Math.ceil(rows / rowsEach));
  return splitBounds(job.databases[larger], pair[larger], bounds, { rows, pieces });
};

/** Pieces that follow one another, the last one open where the range is. */
export function piecesOf({ lower, upper }: Bounds, places: readonly Place[]): Bounds[] {
  const ends = [...places.filter((place) => JSON.stringify(place) !== JSON.stringify(upper)), upper];
  return ends.map((end, index) => ({ lower: index === 0 ? lower : (ends[index - 1] ?? null), upper: end }));
}

/** Narrows a range whose digests differ down to the keys of the rows that do. */
export async function narrow(
  job: Job,
  pair: Pair,
  bounds: Bounds,
  found: Both<Digest>,
  signal: AbortSignal,
): Promise<Place[]> {
  signal.throwIfAborted();
  const places = rowsOf(found) <= LEAF_ROWS ? [] : await cut(job, pair, bounds, found, LEAF_ROWS);
  if (places.length === 0) {
    return suspectsAmong(await readBoth(job.databases, pair, signal, (session, side) => rowsIn(session, side, bounds)));
  }
  const suspects: Place[] = [];
  for (const piece of piecesOf(bounds, places)) {
    const inside = await digests(job, pair, piece, signal);
    if (!sameDigest(inside)) for (const place of await narrow(job, pair, piece, inside, signal)) suspects.push(place);
  }
  return suspects;
}

const EVERYTHING: Bounds = { lower: null, upper: null };

/**
 * Compares whole tables whose keys may be sorted differently: by the hash of the key instead of its order, in one
 * statement on each side. Suspects come in portions.
 */
export async function compareByBuckets(
  job: Job,
  pair: Pair,
  signal: AbortSignal,
  onSuspects: (suspects: Place[]) => Promise<void>,
): Promise<Compared> {
  const wanted = Math.min(BUCKETS_MAX, Math.max(1, pair.rowsGuessed / BUCKET_ROWS));
  const mask = 2 ** Math.ceil(Math.log2(wanted)) - 1;
  const found = await readBoth(job.databases, pair, signal, (session, side) => bucketDigests(session, side, mask));
  const none: Digest = { rows: 0, hash: '0' };
  const differing = [...new Set([...found.left.keys(), ...found.right.keys()])]
    .map((bucket) => ({
      bucket,
      digests: { left: found.left.get(bucket) ?? none, right: found.right.get(bucket) ?? none },
    }))
    .filter((one) => !sameDigest(one.digests));
  while (differing.length > 0) {
    const portion: string[] = [];
    for (let rows = 0; differing.length > 0 && rows < BUCKET_ROWS_AT_ONCE; ) {
      const next = differing.pop();
      if (next === undefined) break;
      portion.push(next.bucket);
      rows += rowsOf(next.digests);
    }
    const rows = await readBoth(job.databases, pair, signal, (session, side) =>
      rowsIn(session, side, EVERYTHING, { mask, wanted: portion }),
    );
    await onSuspects(suspectsAmong(rows));
  }
  const total = (side: ReadonlyMap<string, Digest>): number =>
    [...side.values()].reduce((sum, { rows }) => sum + rows, 0);
  return { rows: Math.max(total(found.left), total(found.right)), suspects: [] };
}
