import { createHash } from 'node:crypto';
import type { RunRef } from '../../messages/index.ts';
import {
  type Baseline,
  isInScope,
  isUnchanged,
  readBaseline,
  rememberSeen,
  replaceBaseline,
  versionOf,
} from './baseline.ts';
import { type CatalogObject, type CatalogSnapshot, canonicalJson, catalogKey, catalogSnapshot } from './catalog.ts';
import { type CatalogChange, catalogDifference, type CatalogDifference } from './catalog-difference.ts';
import type { Database, Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { isEmpty } from './difference-words.ts';
import { withoutOwn } from './own-objects.ts';

/** What others have changed of a run's tables in one database. */
export interface Drift {
  difference: CatalogDifference;
  baseline: Baseline;
  /** The tables as they are, but for what a step of the run is about to change. */
  now: CatalogSnapshot;
}

/** Definitions can't be printed while someone holds a table exclusively: a look waits so long, and is then repeated. */
const LOOK_LOCK_WAIT_MS = 2_000;

/** A look that was in the way of nobody and got no answer: a table is locked, or the run itself changed something. */
export const LOOK_AGAIN = 'look again';

/**
 * Compares the run's tables with its baseline; null: nothing differs, or there is nothing to compare with.
 *
 * Steps of the run that go on meanwhile are no drift, and are never held up: nothing is locked. What they commit raises
 * the baseline's `changes` in the same transaction, so that a snapshot between two equal readings of it belongs to it.
 */
export async function lookForDrift(database: Database, run: RunRef): Promise<Drift | null | typeof LOOK_AGAIN> {
  const baseline = await readBaseline(database, run);
  if (baseline === null) return null;
  // The version comes first: what changes between the two is looked at next time.
  const version = await versionOf(database, baseline);
  if (version === baseline.seenVersion) return null;
  const seen = await tablesNow(database, baseline);
  if (seen === null) return LOOK_AGAIN;
  // An index that is being built or dropped is announced before it shows, and until it is recorded.
  const announced = await announcedIndexes(database, run);
  if (!(await isUnchanged(database, run, baseline))) return LOOK_AGAIN;
  const now = withAnnounced(seen, baseline.objects, announced);
  const difference = foreignDifference(baseline, now);
  if (!isEmpty(difference)) return { difference, baseline, now };
  await rememberSeen(database, run, baseline, version);
  return null;
}

/** Makes the tables as they are now the baseline; false where that changed meanwhile. */
export const acceptDrift = (database: Database, run: RunRef, { baseline, now }: Drift): Promise<boolean> =>
  replaceBaseline(database, run, baseline, now);

/** Takes over whatever the tables look like now. */
export async function refreshBaseline(database: Database, run: RunRef): Promise<boolean> {
  const baseline = await readBaseline(database, run);
  if (baseline === null) return true;
  const seen = await tablesNow(database, baseline);
  if (seen === null) return false;
  const announced = await announcedIndexes(database, run);
  return replaceBaseline(database, run, baseline, withAnnounced(seen, baseline.objects, announced));
}

async function tablesNow(database: Database, { relations }: Baseline): Promise<CatalogSnapshot | null> {
  try {
    return await database.transaction(async (session) => {
      await session.query(`SET LOCAL lock_timeout = ${LOOK_LOCK_WAIT_MS}`);
      return withoutOwn(await catalogSnapshot(session, { relations }));
    });
  } catch (error) {
    if (error instanceof PostgresError && (error.sqlState === '55P03' || error.vanished)) return null;
    throw error;
  }
}

/** Keys of indexes that steps of the run have announced to build or to drop, and not recorded yet. */
async function announcedIndexes(session: Queryable, run: RunRef): Promise<{ schema: string; name: string }[]> {
  const rows = await session.query(
    `SELECT detail -> 'up' -> 'intent' ->> 'schema' AS schema, detail -> 'up' -> 'intent' ->> 'name' AS name
     FROM switchback.steps WHERE migration = $1 AND version = $2 AND epoch = $3 AND state = 'intended'
       AND detail -> 'up' -> 'intent' ->> 'name' IS NOT NULL`,
    [run.migration, run.version, run.epoch],
  );
  return rows.map((row) => ({ schema: row['schema'] ?? '', name: row['name'] ?? '' }));
}

/** What is announced counts as it was before, whatever it looks like by now. */
function withAnnounced(
  now: CatalogSnapshot,
  before: CatalogSnapshot,
  announced: readonly { schema: string; name: string }[],
): CatalogSnapshot {
  const isAnnounced = ([, { kind, schema, name }]: [string, CatalogObject]): boolean =>
    kind === 'index' && announced.some((index) => index.schema === schema && index.name === name);
  return new Map([...[...now].filter((entry) => !isAnnounced(entry)), ...[...before].filter(isAnnounced)]);
}

/** The difference without what comes and goes by itself: partitions, which schedulers make and detach. */
function foreignDifference(baseline: Baseline, now: CatalogSnapshot): CatalogDifference {
  const { created, dropped, renamed, changed } = catalogDifference(baseline.objects, now);
  const remade = [...baseline.objects].flatMap(([key, before]): CatalogChange[] => {
    const after = now.get(key);
    return after !== undefined && holdsRows(before) && after.identity !== before.identity ? [{ before, after }] : [];
  });
  const partitions = new Set([...created, ...dropped].filter(isPartition).map(tableKey));
  const counts = (object: CatalogObject): boolean => !partitions.has(tableKey(object));
  return {
    created: [...created.filter(counts), ...remade.map(({ after }) => after)],
    dropped: [
      ...dropped.filter((object) => counts(object) && isInScope(object, baseline, now)),
      ...remade.map(({ before }) => before),
    ],
    renamed,
    changed: changed.filter((change) => !remade.some(({ after }) => after === change.after)),
  };
}

/** What was dropped and made anew has lost its rows or values, however alike it looks. */
const holdsRows = ({ kind }: CatalogObject): boolean => kind === 'table' || kind === 'column';
const isPartition = ({ kind, properties }: CatalogObject): boolean =>
  kind === 'table' && properties['partitionBound'] != null;
const tableKey = ({ schema, of, name }: CatalogObject): string => JSON.stringify([schema, of === '' ? name : of]);

/** A short digest of what differs: whoever accepts it accepts this and nothing else. Sixteen hexadecimal digits. */
export function driftDigest(drifts: readonly { database: string; difference: CatalogDifference }[]): string {
  const parts = drifts.flatMap(({ database, difference: { created, dropped, renamed, changed } }) => [
    ...created.map((object) => [database, 'created', catalogKey(object), canonicalJson(object.properties)]),
    ...dropped.map((object) => [database, 'dropped', catalogKey(object)]),
    ...[...renamed, ...changed].map(({ before, after }) => [
      database,
      catalogKey(before),
      catalogKey(after),
      canonicalJson(after.properties),
    ]),
  ]);
  const lines = parts.map((part) => JSON.stringify(part)).toSorted();
  return createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
}
