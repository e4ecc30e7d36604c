import type { RunRef } from '../../messages/index.ts';
import {
  type CatalogObject,
  type CatalogSnapshot,
  catalogKey,
  catalogSnapshot,
  catalogVersion,
  type RelationName,
} from './catalog.ts';
import type { CatalogDifference } from './catalog-difference.ts';
import type { Queryable, Row } from './database.ts';
import { withoutOwn } from './own-objects.ts';

/**
 * What the tables of a run look like as long as only the run itself changes them, in each target database: taken when
 * the tables are claimed, and brought up to date in the transaction of every effect that changes the catalog. What
 * differs from it, others have changed.
 */
export interface Baseline {
  relations: RelationName[];
  objects: CatalogSnapshot;
  /** Rises with every change of the baseline: what was read between two equal ones belongs together. */
  changes: string;
  /** The version of the catalog at which nothing differed; null: nobody has looked since the last change. */
  seenVersion: string | null;
}

const KEY = 'migration = $1 AND version = $2 AND epoch = $3';
const keyOf = ({ migration, version, epoch }: RunRef): [string, number, number] => [migration, version, epoch];
const objectsJson = (objects: CatalogSnapshot): string => JSON.stringify(Object.fromEntries(objects));
const readObjects = (row: Row): CatalogSnapshot =>
  new Map(Object.entries(JSON.parse(row['objects'] ?? '{}') as Record<string, CatalogObject>));

/** A ledger that an earlier version made, of a run that began then, has no baselines: nothing is compared. */
async function hasBaselines(session: Queryable): Promise<boolean> {
  const [row] = await session.query("SELECT to_regclass('switchback.baselines')::text AS name");
  return row?.['name'] != null;
}

/** Takes the baseline of a run that has none. `session` must be a transaction that gives up waiting for locks. */
export async function takeBaseline(session: Queryable, run: RunRef, relations: readonly RelationName[]): Promise<void> {
  if (!(await hasBaselines(session))) return;
  const [known] = await session.query(`SELECT 1 FROM switchback.baselines WHERE ${KEY}`, keyOf(run));
  if (known !== undefined) return;
  const objects = withoutOwn(await catalogSnapshot(session, { relations }));
  // Those of earlier versions and epochs are over; a worker that was frozen since then leaves the newer ones alone.
  await session.query('DELETE FROM switchback.baselines WHERE migration = $1 AND (version, epoch) < ($2, $3)', [
    ...keyOf(run),
  ]);
  await session.query(
    `INSERT INTO switchback.baselines (migration, version, epoch, relations, objects) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT DO NOTHING`,
    [...keyOf(run), JSON.stringify(relations), objectsJson(objects)],
  );
}

export async function readBaseline(session: Queryable, run: RunRef): Promise<Baseline | null> {
  if (!(await hasBaselines(session))) return null;
  const [row] = await session.query(
    `SELECT relations, objects, changes, seen_version FROM switchback.baselines WHERE ${KEY}`,
    keyOf(run),
  );
  return row === undefined
    ? null
    : {
        relations: JSON.parse(row['relations'] ?? '[]') as RelationName[],
        objects: readObjects(row),
        changes: row['changes'] ?? '',
        seenVersion: row['seen_version'] ?? null,
      };
}

/** Whether the baseline is still the one that was read. */
export async function isUnchanged(session: Queryable, run: RunRef, { changes }: Baseline): Promise<boolean> {
  const [row] = await session.query(`SELECT changes FROM switchback.baselines WHERE ${KEY}`, keyOf(run));
  return row?.['changes'] === changes;
}

export const versionOf = (session: Queryable, { relations }: Baseline): Promise<string> =>
  catalogVersion(session, { relations });

/** Remembers that at this version of the catalog nothing differed, unless the baseline has changed since. */
export async function rememberSeen(
  session: Queryable,
  run: RunRef,
  { changes }: Baseline,
  version: string,
): Promise<void> {
  await session.query(`UPDATE switchback.baselines SET seen_version = $5 WHERE ${KEY} AND changes = $4`, [
    ...keyOf(run),
    changes,
    version,
  ]);
}

/** Makes what is there now the baseline; false where the baseline has changed since it was read. */
export async function replaceBaseline(
  session: Queryable,
  run: RunRef,
  { changes }: Baseline,
  objects: CatalogSnapshot,
): Promise<boolean> {
  const rows = await session.query(
    `UPDATE switchback.baselines SET objects = $5, changes = changes + 1, seen_version = NULL, taken_at = clock_timestamp()
     WHERE ${KEY} AND changes = $4 RETURNING changes`,
    [...keyOf(run), changes, objectsJson(objects)],
  );
  return rows.length > 0;
}

/**
 * Brings the baseline up to date with what the transaction has changed. One statement, because locks are held: the
 * difference says all there is to know. Objects of tables that aren't the run's do no harm; comparing leaves them out.
 */
export async function followDifference(session: Queryable, run: RunRef, difference: CatalogDifference): Promise<void> {
  const { created, dropped, renamed, changed } = difference;
  const gone = [...dropped, ...renamed.map(({ before }) => before)].map(catalogKey);
  const now = [...created, ...[...renamed, ...changed].map(({ after }) => after)];
  if (gone.length + now.length === 0 || !(await hasBaselines(session))) return;
  const objects = withoutOwn(new Map(now.map((object) => [catalogKey(object), object])));
  // What has a name of ours now, such as a column that was retired, is no longer there for others.
  const hidden = now.map(catalogKey).filter((key) => !objects.has(key));
  await session.query(
    `UPDATE switchback.baselines SET objects = (objects - $4::text[]) || $5::jsonb, changes = changes + 1, seen_version = NULL
     WHERE ${KEY}`,
    [...keyOf(run), [...gone, ...hidden], objectsJson(objects)],
  );
}

/** From SHARE UPDATE EXCLUSIVE on: what changes a relation in the catalog holds one of these to its end. */
const LOCKS_OF_CHANGES = [
  'ShareUpdateExclusiveLock',
  'ShareLock',
  'ShareRowExclusiveLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
];

/**
 * The same where nobody has compared before and after: all that belongs to the relations that the transaction has locked
 * for a change is taken over as it is now. No other can have changed, and their locks would have to be waited for.
 */
export async function followLocked(session: Queryable, run: RunRef): Promise<void> {
  if (!(await hasBaselines(session))) return;
  const locked = await session.query(
    `SELECT DISTINCT n.nspname AS schema, c.relname AS name, 'relation/' || c.oid AS identity
     FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.mode = ANY ($1)
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'switchback')`,
    [LOCKS_OF_CHANGES],
  );
  const relations = locked.map((row) => ({ schema: row['schema'] ?? '', name: row['name'] ?? '' }));
  if (relations.length === 0) return;
  const after = withoutOwn(await catalogSnapshot(session, { relations }));
  const [row] = await session.query(`SELECT objects FROM switchback.baselines WHERE ${KEY} FOR UPDATE`, keyOf(run));
  if (row === undefined) return;
  const before = readObjects(row);
  const identities = new Set(locked.map((lock) => lock['identity'] ?? ''));
  const kept = [...before].filter(([, object]) => !belongsTo(object, before, identities));
  await session.query(
    `UPDATE switchback.baselines SET objects = $4, changes = changes + 1, seen_version = NULL WHERE ${KEY}`,
    [...keyOf(run), objectsJson(new Map([...kept, ...after]))],
  );
}

const TABLES = ['table', 'view', 'materialized view', 'foreign table', 'sequence'] as const;
/** An object's relation, or of a sequence the table that it serves. */
function relationOf({ of, schema, name, properties }: CatalogObject): RelationName {
  const owner = properties['ownedBy'] as { schema: string; table: string } | null | undefined;
  return owner == null ? { schema, name: of === '' ? name : of } : { schema: owner.schema, name: owner.table };
}
const relationIn = (objects: CatalogSnapshot, { schema, name }: RelationName): CatalogObject | undefined =>
  TABLES.map((kind) => objects.get(catalogKey({ kind, schema, of: '', name }))).find((found) => found !== undefined);

const belongsTo = (object: CatalogObject, objects: CatalogSnapshot, identities: ReadonlySet<string>): boolean =>
  identities.has(object.identity) || identities.has(relationIn(objects, relationOf(object))?.identity ?? '');

/** Whether a snapshot of the baseline's relations would show the object: they themselves, and what hangs on them. */
export function isInScope(object: CatalogObject, { relations }: Baseline, now: CatalogSnapshot): boolean {
  if (object.kind === 'statistics') return true;
  const of = relationOf(object);
  const isNamed = relations.some(({ schema, name }) => schema === of.schema && name === of.name);
  return isNamed || relationIn(now, of) !== undefined;
}
