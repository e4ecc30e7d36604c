import { describeObject } from '../../src/adapters/postgres/catalog.ts';
import { catalogDifference } from '../../src/adapters/postgres/catalog-difference.ts';
import type { Status } from '../../src/messages/index.ts';
import { exposureOf } from './flag-state.ts';
import {
  divergentRows,
  failuresOnRecord,
  lostWrites,
  namesDigest,
  oldColumnInUse,
  type Proof,
  type Side,
} from './proofs.ts';
import { type RolloutRecord, seconds } from './rollout-record.ts';
import { SERVICE_TABLES } from './service-tables.ts';
import type { Shop, Surroundings } from './shop.ts';

const figure = (value: number): string => value.toLocaleString('en-US');

/** What must hold when the migration was meant to go through. */
export async function proveCompleted(shop: Shop, status: Status): Promise<Proof[]> {
  const { flag } = await shop.look();
  const { traffic } = shop;
  const inUse = await Promise.all(SERVICE_TABLES.map((of) => oldColumnInUse(of, shop.url(of.database))));
  return [
    { claim: 'the migration completed', holds: status.status === 'completed', found: status.reason },
    await noDivergentRows(shop),
    await nothingLost(shop, 'new'),
    await copiesAgree(shop, 'new'),
    {
      claim: 'no request failed',
      holds: traffic.failedTotal === 0,
      found: `${figure(traffic.failedTotal)} of ${figure(traffic.requests)} failed${firstFailure(shop)}`,
    },
    rightAnswers(shop),
    {
      claim: 'every user is on the new path',
      holds: exposureOf(flag) === 100 && exposures(shop).every((exposure) => exposure === 100),
      found: `the flag is at ${exposureOf(flag)} %, and so are the switches of ${exposures(shop).length} services`,
    },
    {
      claim: 'the old column is out of use',
      holds: !inUse.includes(true),
      found: `full_name is in use in ${inUse.filter(Boolean).length} of 3 databases`,
    },
  ];
}

/** What must hold when the new path was broken: as before, and nothing lost on the way there and back. */
export async function proveRolledBack(
  shop: Shop,
  status: Status,
  before: Surroundings,
  record: RolloutRecord,
): Promise<Proof[]> {
  const now = await shop.look();
  const { failed } = shop.traffic;
  return [
    {
      claim: `${record.breach?.by ?? 'nothing'} stopped it, and the migration rolled back by itself`,
      holds: status.status === 'rolled-back' && record.breach !== null,
      found: `${status.phases.flatMap(({ steps }) => steps).filter(({ state }) => state === 'undone').length} steps undone`,
    },
    nobodyOnNewPathAfter(shop, record),
    schemasAsBefore(before, now),
    {
      claim: 'the flag is as it was',
      holds: JSON.stringify(now.flag) === JSON.stringify(before.flag),
      found: `the Admin API shows ${exposureOf(now.flag)} % exposure`,
    },
    await nothingLost(shop, 'old'),
    await copiesAgree(shop, 'old'),
    {
      claim: 'no write failed, only reads on the broken path did',
      holds: failed.read > 0 && failed.rename + failed['sign-up'] === 0 && (await brokenReadsOnly(shop)),
      found: `${figure(failed.read)} reads failed, ${figure(failed.rename + failed['sign-up'])} writes${firstFailure(shop)}`,
    },
    rightAnswers(shop),
  ];
}

/** The engine says since when all instances act on that; the services say when a request last was on the new path. */
function nobodyOnNewPathAfter({ services }: Shop, { breach, undoneAt }: RolloutRecord): Proof {
  const last = Math.max(...services.map(({ lastOnNewPathAt }) => lastOnNewPathAt ?? Number.NEGATIVE_INFINITY));
  return {
    claim: 'nobody was on the new path any more when all instances were said to be back',
    holds: breach !== null && undoneAt !== null && last <= undoneAt,
    found:
      breach === null
        ? 'nothing stopped it'
        : `its last request ended ${seconds(last - breach.seenAt)} after that finding`,
  };
}

async function noDivergentRows(shop: Shop): Promise<Proof> {
  const counts = await Promise.all(SERVICE_TABLES.map((of) => divergentRows(of, shop.url(of.database))));
  const total = (of: 'rows' | 'of'): number => counts.reduce((sum, count) => sum + (count?.[of] ?? 0), 0);
  return {
    claim: 'old and new names are the same in every row',
    holds: counts.every((count) => count !== null && count.rows === 0 && count.of > 0),
    found: `${figure(total('rows'))} divergent rows of ${figure(total('of'))}`,
  };
}

async function nothingLost(shop: Shop, side: Side): Promise<Proof> {
  const lost = await Promise.all(SERVICE_TABLES.map((of) => lostWrites(of, shop.url(of.database), side, shop.journal)));
  const count = lost.flat().length;
  const users = SERVICE_TABLES.reduce((sum, of) => sum + shop.journal.users(of.service).length, 0);
  return {
    claim: 'no write was lost',
    holds: count === 0 && users > 0,
    found:
      count === 0
        ? `${figure(shop.journal.writes)} writes, and all ${figure(users)} rows that they went to hold the last one`
        : `${figure(count)} of ${figure(users)} rows don't hold the last of ${figure(shop.journal.writes)} writes`,
  };
}

async function copiesAgree(shop: Shop, side: Side): Promise<Proof> {
  const digests = await Promise.all(SERVICE_TABLES.map((of) => namesDigest(of, shop.url(of.database), side)));
  const agree = new Set(digests).size === 1;
  return {
    claim: 'the three services agree on every name',
    holds: agree,
    found: agree ? 'one digest' : `digests ${digests.join(', ')}`,
  };
}

function schemasAsBefore(before: Surroundings, now: Surroundings): Proof {
  const different = Object.entries(before.catalogs).flatMap(([database, catalog]) => {
    const difference = catalogDifference(catalog, now.catalogs[database] ?? new Map());
    const changed = [...difference.changed, ...difference.renamed].map(({ after }) => after);
    return [...difference.created, ...difference.dropped, ...changed].map(
      (object) => `${describeObject(object)} in ${database}`,
    );
  });
  const objects = Object.values(before.catalogs).reduce((sum, catalog) => sum + catalog.size, 0);
  return {
    claim: 'the schemas are as they were',
    holds: different.length === 0 && objects > 0,
    found:
      different.length === 0
        ? `${objects} objects in 3 databases compared, all the same`
        : `differs: ${different.slice(0, 5).join('; ')}`,
  };
}

const rightAnswers = ({ traffic }: Shop): Proof => ({
  claim: 'no read gave another name than the last one written',
  holds: traffic.wrongAnswers === 0,
  found: `${figure(traffic.wrongAnswers)} wrong answers`,
});

/** As the services have put them on record, and as many as the traffic has met. */
async function brokenReadsOnly(shop: Shop): Promise<boolean> {
  const failures = await Promise.all(SERVICE_TABLES.map((of) => failuresOnRecord(shop.url(of.database))));
  const all = failures.flat();
  return (
    all.every(({ path, operation }) => path === 'new' && operation === 'read') &&
    all.reduce((sum, { times }) => sum + times, 0) === shop.traffic.failedTotal
  );
}

const exposures = ({ services }: Shop): number[] => services.map(({ status }) => status.acknowledged.exposure);

function firstFailure({ traffic }: Shop): string {
  const [first] = traffic.failures;
  return first === undefined ? '' : `, such as: ${first.service} ${first.operation}: ${first.error}`;
}
