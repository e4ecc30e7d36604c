import { describeObject } from '../../src/adapters/postgres/catalog.ts';
import { catalogDifference } from '../../src/adapters/postgres/catalog-difference.ts';
import type { Status } from '../../src/messages/index.ts';
import { exposureOf } from './flag-state.ts';
import { divergentRows, lostWrites, namesDigest, oldColumnInUse, type Proof, type Side } from './proofs.ts';
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
      found: `${figure(traffic.failedTotal)} of ${figure(traffic.requestsTotal)} failed${firstFailure(shop)}`,
    },
    rightAnswers(shop),
    {
      claim: 'every user is on the new path',
      holds: exposureOf(flag) === 100,
      found: `the flag is at ${exposureOf(flag)} %`,
    },
    {
      claim: 'the old column is out of use',
      holds: !inUse.includes(true),
      found: `full_name is in use in ${inUse.filter(Boolean).length} of 3 databases`,
    },
  ];
}

/** What must hold when the new path was broken: as before, and nothing lost on the way there and back. */
export async function proveRolledBack(shop: Shop, status: Status, before: Surroundings): Promise<Proof[]> {
  const now = await shop.look();
  const { failed, requests } = shop.traffic;
  return [
    {
      claim: 'a guard tripped, and the migration rolled back by itself',
      holds: status.status === 'rolled-back',
      found: status.reason,
    },
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
      holds: failed.rename === 0 && failed['sign-up'] === 0 && brokenReadsOnly(shop),
      found: `${figure(failed.read)} reads failed, ${figure(failed.rename + failed['sign-up'])} writes`,
    },
    {
      claim: 'the broken path was in use',
      holds: requests.new > 0 && failed.read > 0,
      found: `${figure(requests.new)} requests went there${firstFailure(shop)}`,
    },
    rightAnswers(shop),
  ];
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

const brokenReadsOnly = ({ traffic }: Shop): boolean =>
  traffic.failures.every(({ operation, path }) => operation === 'read' && path === 'new');

function firstFailure({ traffic }: Shop): string {
  const [first] = traffic.failures;
  return first === undefined
    ? ''
    : `, such as: ${first.service} ${first.operation}, ${first.path} path: ${first.error}`;
}
