import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Deps } from '../../src/activities/deps.ts';
import { createLiveCheck } from '../../src/activities/live-check.ts';
import { createMetrics } from '../../src/activities/metrics.ts';
import { Database, Databases } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { planOf } from '../harness/engine.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

let fresh: FreshDatabase;
let app: Database;
beforeAll(async () => {
  fresh = await freshDatabase('gates');
  app = new Database('app', { url: fresh.url });
  await app.session((session) =>
    session.query(`
      CREATE TABLE public.calls (path text, failed boolean, at timestamptz NOT NULL DEFAULT now());
      INSERT INTO public.calls SELECT 'old', n % 100 = 0 FROM generate_series(1, 1200) n;
      GRANT SELECT ON public.calls TO PUBLIC`),
  );
});
afterAll(async () => {
  await app.close();
  await fresh.drop();
});

const counted = (where: string): string =>
  `select count(*) from public.calls where path = '$path' and at > now() - interval '$interval s'${where}`;
const errors = {
  name: 'errors',
  sql: { database: 'app', bad: counted(' and failed'), total: counted('') },
  margin: 1.5,
};

async function notes(metrics: object[], interval = '1m'): Promise<string[]> {
  const databases = new Databases({ app: { url: fresh.url } });
  const ramp = [
    { percent: 5, bake: '15m' },
    { percent: 25, bake: '2h' },
    { percent: 100, bake: '24h' },
  ];
  const steps = [{ id: 'ramp', uses: 'rollout', flag: 'reads', ramp, analysis: { interval, metrics } }];
  const plan = planOf('gates', [{ name: 'one', steps: steps as never }]);
  const home = new HomeLedger(app);
  const metricsOf = createMetrics({ databases, home, prometheusUrl: null });
  const deps = { databases, home, unleash: null, approvers: {}, metrics: metricsOf } as Partial<Deps> as Deps;
  try {
    const { problems, notes: all } = await createLiveCheck(deps).checkLive({ plan });
    expect(problems).toEqual([expect.stringContaining('`unleash:`')]);
    return all.filter((note) => note.startsWith('ramp'));
  } finally {
    await databases.close();
  }
}

test('bakes that are too short for the traffic that there is now are told, each with how long it would have to be', async () => {
  // As far back as the rows may be by now: a quarter of an hour, in which 80 came a minute.
  expect(await notes([errors], '15m')).toEqual([
    expect.stringMatching(
      /^ramp, stop 1 \(5 %\): bakes 15 m, needs about 2\.1 d .* 2\.5 h after its bake a person decides \(at 80 requests a minute with 1 % bad \(metric errors\)\)$/,
    ),
    expect.stringMatching(/^ramp, stop 2 \(25 %\): bakes 2 h, needs about 14 h /),
  ]);
});

test('a source that has nothing to say, or can’t be read, is noted and keeps no plan from running', async () => {
  const silent = {
    ...errors,
    name: 'idle',
    sql: { ...errors.sql, total: `${counted('')} and false`, bad: `${counted('')} and false` },
  };
  const broken = {
    ...errors,
    name: 'broken',
    sql: { ...errors.sql, total: counted('').replace('calls', 'no_such_table') },
  };
  const nowhere = {
    ...errors,
    name: 'nowhere',
    sql: undefined,
    http: { url: 'http://127.0.0.1:1/', bad: '/$path/bad', total: '/$path/total' },
  };
  const said = await notes([silent, broken, nowhere], '15m');
  expect(said).toHaveLength(3);
  expect(said[0]).toBe('ramp: metric idle: the old path has no request now');
  expect(said[1]).toMatch(/^ramp: metric broken: can't be read now: .*no_such_table/);
  expect(said[2]).toMatch(/^ramp: metric nowhere: can't be read now: /);
});
