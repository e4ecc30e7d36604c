import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EffectContext } from '../../src/activities/effect.ts';
import { rollout } from '../../src/activities/rollout.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { GateWindows } from '../../src/adapters/postgres/gate-windows.ts';
import { Stages } from '../../src/adapters/postgres/stages.ts';
import { Unleash } from '../../src/adapters/unleash/unleash.ts';
import { crashLine } from '../harness/crash-line.ts';
import { servers } from '../harness/servers.ts';
import { acting, existing } from './acting.ts';
import { inputOf, type Room, room, serve, unique, unreliableUnleash } from './room.ts';

const signal = new AbortController().signal;
const refOf = (flag: string) => ({
  project: 'default',
  environment: 'development',
  flag,
  type: 'release',
  description: '',
});
const rowOf = (here: Room, flag: string) =>
  new Stages(here.deps.home.database).read({ environment: 'development', flag });
const percentOf = async (here: Room, flag: string) =>
  (await here.unleash.read(refOf(flag), signal)).strategies.find((strategy) => !strategy.disabled)?.parameters[
    'rollout'
  ];

let admin: pg.Pool;
beforeAll(() => {
  admin = new pg.Pool({ connectionString: servers().postgresUrl, max: 2 });
});
afterAll(() => admin.end());

/** Both paths fail alike; a window counts 100 of each. */
async function metrics() {
  let looks = 0;
  const { url } = await serve(() => ({ body: { total: 100 * ++looks, bad: looks } }));
  return {
    interval: '100ms',
    minSamples: 1,
    metrics: [{ name: 'errors', http: { url: `${url}/$path`, bad: '/bad', total: '/total' } }],
  };
}

const CONFIRMS = /SET ours = \$5, confirmed = true/;
type At = { commit: number } | { confirm: number };

/** Runs `work` with a worker that dies at one point; whether it came so far. */
async function dying(here: Room, at: At, work: (context: EffectContext) => Promise<unknown>): Promise<boolean> {
  const line = await crashLine(here.url, (pid) => admin.query('SELECT pg_terminate_backend($1)', [pid]));
  const databases = new Databases({ app: { url: line.url } });
  const home = new HomeLedger(databases.get('app'));
  const context = here.context();
  let seen = 0;
  const [which, nth] = 'commit' in at ? [/^COMMIT$/, at.commit] : [CONFIRMS, at.confirm];
  line.armAt((text) => which.test(text) && ++seen === nth, 'lost');
  const died = await work({ ...context, deps: { ...context.deps, databases, home } }).then(
    () => false,
    () => line.brokenAt !== null,
  );
  line.close();
  await databases.close().catch(() => undefined);
  return died;
}

describe('a worker that dies', () => {
  const RAMP = [{ stage: 'dual-write' }, { stage: 'shadow' }, { percent: 5, bake: '150ms' }];

  test('after one of its commits, or between Unleash and the ledger: the next one goes on, up and down', async () => {
    const here = await room();
    const analysis = await metrics();
    /** Up and down, each with a crash; which of the two came to its point. */
    const trial = async (up: At, down: At): Promise<boolean[]> => {
      const flag = unique('flag');
      await existing(here, refOf(flag));
      const before = await here.unleash.read(refOf(flag), signal);
      const instance = acting(here, refOf(flag), 'i-1');
      instance.follows();
      const step = { uses: 'rollout' as const, id: flag, flag, ramp: RAMP, analysis };
      const input = inputOf(here.run, step, { stickiness: 'userId' });
      const died = [await dying(here, up, (context) => rollout.up(input, context))];
      await rollout.up(input, here.context());
      // Each stage was set once, whoever set it.
      expect(await rowOf(here, flag)).toMatchObject({ stage: 'shadow', generation: 2 });
      expect(await percentOf(here, flag)).toBe('5');
      const windows = await new GateWindows(here.deps.home.database).closed({ run: here.run, step: flag }, 0);
      expect(new Set(windows.map(({ number }) => number)).size).toBe(windows.length);
      died.push(await dying(here, down, (context) => rollout.down(input, context)));
      await rollout.down(input, here.context());
      expect(await rowOf(here, flag)).toMatchObject({ stage: 'off', generation: 4 });
      expect(await here.unleash.read(refOf(flag), signal)).toEqual(before);
      instance.stopsFollowing();
      return died;
    };
    const points: [At, At][] = [
      ...[1, 2, 3, 4, 5, 7, 9, 11, 13, 15].map((nth, i): [At, At] => [{ commit: nth }, { commit: (i % 5) + 1 }]),
      ...[1, 3].map((nth): [At, At] => [{ confirm: nth }, { confirm: 1 }]),
    ];
    const trials = points.length;
    const died: boolean[][] = [];
    const workers = Array.from({ length: 6 }, async () => {
      for (let point = points.shift(); point !== undefined; point = points.shift()) died.push(await trial(...point));
    });
    await Promise.all(workers);
    // Nearly all came to their point: a ramp that has fewer commits than that would be another ramp.
    expect(died.flat().filter(Boolean).length).toBeGreaterThanOrEqual(2 * trials - 3);
  });
});

test('two workers with the same step take turns: each stage once, each window once', async () => {
  const here = await room();
  const flag = unique('flag');
  acting(here, refOf(flag), 'i-1').follows();
  const ramp = [{ stage: 'dual-write' }, { stage: 'shadow' }, { percent: 5 }];
  const input = inputOf(here.run, { uses: 'rollout' as const, id: 'ramp', flag, ramp });
  const stop = new AbortController();
  const both = [1, 2].map(() => rollout.up(input, here.context({ signal: stop.signal })));
  await Promise.any(both);
  stop.abort(new Error('over'));
  await Promise.allSettled(both);
  expect(await rowOf(here, flag)).toMatchObject({ stage: 'shadow', generation: 2 });
  expect(await percentOf(here, flag)).toBe('5');
});

test('a run that turns while a stage is waited for goes back from there, and the old worker stops', async () => {
  const here = await room();
  const flag = unique('flag');
  const slow = acting(here, refOf(flag), 'i-1');
  await slow.says({});
  const step = { uses: 'rollout' as const, id: 'ramp', flag, ramp: [{ stage: 'dual-write' }, { stage: 'shadow' }] };
  const up = rollout.up(inputOf(here.run, step), here.context());
  up.catch(() => undefined);
  await here.reported(({ note }) => note === `0 of 1 instance act on flag ${flag}; waits for accounts/i-1`);
  const newer = await here.raise();
  slow.follows();
  const { note } = await rollout.down(inputOf(newer, step), here.context());
  expect(note).toContain('its path is at stage off');
  await expect(up).rejects.toMatchObject({ code: 'Fenced' });
  expect(await rowOf(here, flag)).toMatchObject({ stage: 'off', generation: 2 });
});

test('with Unleash away a rollback takes back by the row whom the row has put there, and ends when it is back', async () => {
  const here = await room();
  const flag = unique('flag');
  acting(here, refOf(flag), 'i-1').follows();
  const ramp = ['dual-write', 'shadow', 'live', 'ramp-down'].map((stage) => ({ stage }));
  const input = inputOf(here.run, { uses: 'rollout' as const, id: 'ramp', flag, ramp });
  await rollout.up(input, here.context());
  const away = await unreliableUnleash(() => 'before');
  const unleash = new Unleash({ url: away.url, adminToken: servers().unleash.adminToken });
  await expect(rollout.down(input, here.context({ unleash }))).rejects.toMatchObject({ code: 'UnleashUnreachable' });
  expect(await rowOf(here, flag)).toMatchObject({ stage: 'shadow' });
  expect((await here.unleash.read(refOf(flag), signal)).enabled).toBe(true);
  await rollout.down(input, here.context());
  expect(await rowOf(here, flag)).toMatchObject({ stage: 'off', generation: 8 });
});
