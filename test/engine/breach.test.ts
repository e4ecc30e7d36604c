import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { Stages } from '../../src/adapters/postgres/stages.ts';
import { exposureOf } from '../../src/adapters/unleash/flag-state.ts';
import { Unleash } from '../../src/adapters/unleash/unleash.ts';
import type { Status } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { lineTo } from '../harness/line.ts';
import { servers } from '../harness/servers.ts';
import { startTeam } from '../harness/team.ts';
import { startWorkerProcess } from '../harness/worker-process.ts';

const by = 'ana@example.com';

/** A number that guards look at and the test sets. */
async function gauge(engine: Engine) {
  const run = async (text: string, values: unknown[] = []) => {
    const database = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
    await database.query(text, values as number[]);
    await database.close();
  };
  await run('CREATE TABLE public.gauge AS SELECT 0 AS value');
  return {
    guard: { name: 'errors', sql: { database: 'home', query: 'select value from public.gauge', max: 3 } },
    set: (value: number) => run('UPDATE public.gauge SET value = $1', [value]),
  };
}

/** Flags of this test: how many percent of the users each lets in. */
function flags() {
  const { url, adminToken } = servers().unleash;
  const unleash = new Unleash({ url, adminToken });
  const id = randomBytes(4).toString('hex');
  const refOf = (flag: string) =>
    ({ project: 'default', environment: 'development', flag, type: 'release', description: '' }) as const;
  return {
    name: (base: string) => `${base}-${id}`,
    exposure: async (flag: string) => exposureOf(await unleash.read(refOf(flag), new AbortController().signal)),
    exists: async (flag: string) => (await unleash.read(refOf(flag), new AbortController().signal)).exists,
  };
}

async function eventsOf(engine: Engine, name: string): Promise<{ type: string; data: Record<string, unknown> }[]> {
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  const rows = await home.query('SELECT type, data FROM switchback.audit WHERE migration = $1 ORDER BY id', [name]);
  await home.close();
  return rows.map((row) => ({
    type: row['type'] ?? '',
    data: JSON.parse(row['data'] ?? '{}') as Record<string, unknown>,
  }));
}

const stepOf = (status: Status, id: string) =>
  status.phases.flatMap((phase) => phase.steps).find((step) => step.id === id);
const quick = (names: string[]): PlanInput['spec']['flags'] =>
  Object.fromEntries(names.map((name) => [name, { propagation: '0s' }]));

test('a breach takes users off every new path before anything is undone, also from a rollout that is climbing', async () => {
  const engine = await startEngine({ unleash: true });
  const team = await startTeam(engine.name('team'));
  team.blocking.add('act');
  team.blocking.add('other');
  const { guard, set } = await gauge(engine);
  const { name: flagName, exposure, exists } = flags();
  const [first, second] = [flagName('first'), flagName('second')];
  const name = engine.name('breach');
  const call = { taskQueue: team.taskQueue, activity: 'act', compensate: { activity: 'undo' } };
  const plan = planOf(
    name,
    [
      { name: 'one', steps: [{ id: 'show', uses: 'flag', flag: first, percent: 40 }] },
      // On the way back this is undone after `more`, and before `show`.
      {
        name: 'between',
        steps: [{ id: 'between', uses: 'call', ...call, activity: 'undo', compensate: { activity: 'other' } }],
      },
      { name: 'more', steps: [{ id: 'more', uses: 'flag', flag: first, percent: 60 }] },
      {
        name: 'two',
        steps: [
          {
            id: 'ramp',
            uses: 'rollout',
            flag: second,
            // Raised without a pause: the breach comes in the middle of that.
            ramp: Array.from({ length: 100 }, (_, at) => ({ percent: at + 1, bake: '100ms' })),
            exposureOnFailure: { percent: 3 },
          },
          { id: 'act', uses: 'call', ...call },
        ],
      },
    ],
    { guards: [guard], flags: quick([first, second]) },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await team.called(2);
  team.blocking.add('undo');
  await expect.poll(() => exposure(second), { timeout: 30_000 }).toBeGreaterThan(5);
  await set(4);
  // The first compensation is under way, and waits: nothing else is undone yet.
  await team.called(3);
  expect([await exposure(first), await exposure(second)]).toEqual([0, 3]);
  const status = await handle.status();
  expect(status.status).toBe('rolling-back');
  expect(status.breach).toMatchObject({
    guards: 'spec.guards',
    lowered: expect.arrayContaining([
      { flag: first, environment: 'development', percent: 0, inMs: expect.any(Number) },
      { flag: second, environment: 'development', percent: 3, inMs: expect.any(Number) },
    ]),
    left: [],
  });
  expect(status.reason).toMatch(/guard "errors" was breached.*; exposure was lowered \d+\.\d s after the breach: /);
  team.blocking.delete('undo');
  await team.called(4);
  // `more` is undone, and has let nobody in again on the way.
  expect(stepOf(await handle.status(), 'more')?.state).toBe('undone');
  expect(await exposure(first)).toBe(0);
  team.blocking.clear();
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect([await exists(first), await exists(second)]).toEqual([false, false]);
  const types = (await eventsOf(engine, name)).map(({ type }) => type);
  expect(types.indexOf('exposure-lowered')).toBeGreaterThan(-1);
  expect(types.indexOf('exposure-lowered')).toBeLessThan(types.indexOf('step-undone'));
});

test('a breach that holds: all stands still at the lower exposure, over a fresh history, until a person says retry', async () => {
  const engine = await startEngine({ unleash: true });
  const { guard, set } = await gauge(engine);
  const { name: flagName, exposure } = flags();
  const [first, second] = [flagName('first'), flagName('second')];
  const name = engine.name('hold');
  const plan = planOf(
    name,
    [
      { name: 'one', steps: [{ id: 'show', uses: 'flag', flag: first, percent: 40 }] },
      {
        name: 'two',
        guards: [guard],
        steps: [{ id: 'ramp', uses: 'rollout', flag: second, ramp: [{ percent: 10, bake: '4s' }, { percent: 70 }] }],
        approval: 'after',
      },
    ],
    { onBreach: 'hold', flags: quick([first, second]) },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await expect.poll(() => exposure(second), { timeout: 30_000 }).toBe(10);
  await set(4);
  const held = await untilStatus(handle, (status) => status.breach?.lowered.length === 2);
  expect(held).toMatchObject({ status: 'held', error: { code: 'GuardTripped', step: 'two/guards' } });
  expect(held.reason).toMatch(/two\/guards is held: .*; exposure was lowered \d/);
  expect([await exposure(first), await exposure(second)]).toEqual([0, 0]);
  await engine.client.workflow.getHandle(`migration/${name}`).signal('renew', { by });
  await set(0);
  expect(await handle.retry({ by })).toMatchObject({ accepted: true });
  const asking = await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  // What was done exposes as before, and the ramp went on where it stood.
  expect([await exposure(first), await exposure(second)]).toEqual([40, 70]);
  expect(asking.breach).toBeUndefined();
  // The step before it is done by now, and is raised again after another breach, too.
  await set(5);
  await untilStatus(handle, (status) => status.breach?.lowered.length === 2);
  expect([await exposure(first), await exposure(second)]).toEqual([0, 0]);
  await handle.skip({ by });
  await untilStatus(handle, (status) => status.status === 'awaiting-approval' && status.breach === undefined);
  expect([await exposure(first), await exposure(second)]).toEqual([40, 70]);
  await handle.approve({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const events = await eventsOf(engine, name);
  expect(events.filter(({ type }) => type === 'exposure-raised').map(({ data }) => data['step'])).toEqual([
    'show',
    'show',
    'ramp',
  ]);
});

test('a breach that holds, then an abort: what was lowered is undone, nothing is raised on the way', async () => {
  const engine = await startEngine({ unleash: true });
  const { guard, set } = await gauge(engine);
  const { name: flagName, exists } = flags();
  const flag = flagName('flag');
  const plan = planOf(
    engine.name('abort'),
    [
      { name: 'one', steps: [{ id: 'show', uses: 'flag', flag, percent: 40 }] },
      { name: 'two', guards: [guard], steps: [{ id: 'rest', uses: 'wait', for: '1h' }] },
    ],
    { onBreach: 'hold', flags: quick([flag]) },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => stepOf(status, 'rest')?.state === 'waiting');
  await set(4);
  await untilStatus(handle, (status) => status.breach?.lowered[0]?.percent === 0);
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await exists(flag)).toBe(false);
});

test('an Unleash that is away keeps no rollback from going on: what is no flag is undone, the rest said and done later', async () => {
  const server = servers().unleash;
  const line = await lineTo(server.url);
  const engine = await startEngine({ unleash: { ...server, url: line.url.replace(/\/$/, '') } });
  const team = await startTeam(engine.name('team'));
  team.blocking.add('act');
  const { guard, set } = await gauge(engine);
  const { name: flagName, exposure, exists } = flags();
  const flag = flagName('flag');
  const act = { id: 'act', uses: 'call' as const, activity: 'act', compensate: { activity: 'undo' } };
  const plan = planOf(
    engine.name('away'),
    [
      { name: 'one', steps: [{ id: 'show', uses: 'flag', flag, percent: 40 }] },
      { name: 'two', guards: [guard], steps: [{ ...act, taskQueue: team.taskQueue }] },
    ],
    // Two guards that see the same at once.
    { guards: [guard], flags: quick([flag]) },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await team.called(1);
  line.cut();
  await set(4);
  await team.called(2);
  const status = await untilStatus(handle, ({ breach }) => (breach?.left.length ?? 0) > 0);
  expect(status.breach?.left).toEqual([{ flag, why: expect.stringContaining('Unleash') }]);
  expect(status.reason).toContain(`flag ${flag} was not lowered: `);
  expect(status.reason).toContain('(it is tried again)');
  expect(await exposure(flag)).toBe(40);
  const { degraded } = await untilStatus(
    handle,
    (now) => now.degraded?.some(({ what }) => what === 'exposure') === true,
  );
  expect(degraded).toContainEqual({
    what: 'exposure',
    since: expect.any(String),
    words: expect.stringContaining(`flag ${flag} can't be lowered yet: `),
  });
  // The step that waits for Unleash says so, and how often it has tried.
  await untilStatus(handle, ({ phases }) => phases[0]?.steps[0]?.note?.includes('; tried again, ') === true);
  line.mend();
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await exists(flag)).toBe(false);
});

test('a worker killed while it takes users off: another one does, before anything is undone', async () => {
  const server = servers().unleash;
  const line = await lineTo(server.url);
  const engine = await startEngine({ unleash: { ...server, url: line.url.replace(/\/$/, '') } });
  await engine.stopWorker();
  const worker = await startWorkerProcess(engine.config);
  const team = await startTeam(engine.name('team'));
  team.blocking.add('act');
  const { guard, set } = await gauge(engine);
  const { name: flagName, exposure } = flags();
  const flag = flagName('flag');
  const name = engine.name('killed');
  const act = { id: 'act', uses: 'call' as const, activity: 'act', compensate: { activity: 'undo' } };
  const plan = planOf(
    name,
    [
      { name: 'one', steps: [{ id: 'show', uses: 'flag', flag, percent: 40 }] },
      { name: 'two', steps: [{ ...act, taskQueue: team.taskQueue }] },
    ],
    { guards: [guard], flags: quick([flag]) },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await team.called(1);
  team.blocking.add('undo');
  // From here on Unleash takes what is said to it and does not answer.
  line.hold();
  await set(4);
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  const generation = async () =>
    (await home.query('SELECT generation FROM switchback.migrations WHERE migration = $1', [name]))[0]?.['generation'];
  await expect.poll(generation, { timeout: 30_000 }).toBe('2');
  worker.process.kill('SIGKILL');
  line.mend();
  await engine.restartWorker();
  await team.called(2);
  expect(await exposure(flag)).toBe(0);
  expect((await handle.status()).breach?.lowered).toMatchObject([{ flag, percent: 0 }]);
  team.blocking.clear();
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  await home.close();
});

test('a path with stages goes to where the old side answers, and back to its stage when a person says so', async () => {
  const engine = await startEngine({ unleash: true });
  const { guard, set } = await gauge(engine);
  const { name: flagName, exposure, exists } = flags();
  const flag = flagName('path');
  const stage = (id: 'dual-write' | 'shadow' | 'live', needs: string[] = []) => ({
    ...{ id, uses: 'flag' as const, flag, stage: id, needs },
    acknowledge: { required: 0, timeout: '5s' },
  });
  const plan = planOf(
    engine.name('stages'),
    [
      { name: 'one', steps: [stage('dual-write'), stage('shadow', ['dual-write']), stage('live', ['shadow'])] },
      { name: 'two', guards: [guard], steps: [{ id: 'ask', uses: 'approval' }] },
    ],
    { onBreach: 'hold', flags: quick([flag]) },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  const row = () => new Stages(home).read({ environment: 'development', flag });
  expect([(await row())?.stage, await exposure(flag)]).toEqual(['live', 100]);
  await set(4);
  await untilStatus(handle, (status) => status.breach?.lowered[0]?.percent === 0);
  expect([(await row())?.stage, await exposure(flag)]).toEqual(['shadow', 0]);
  await set(0);
  await handle.retry({ by });
  await untilStatus(handle, (status) => status.status === 'awaiting-approval' && status.breach === undefined);
  expect([(await row())?.stage, await exposure(flag)]).toEqual(['live', 100]);
  await set(4);
  await untilStatus(handle, (status) => status.breach?.lowered[0]?.percent === 0);
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect([(await row())?.stage, await exists(flag)]).toEqual(['off', false]);
  await home.close();
});

test('whose old path is out of use stays where they are: only the rollback brings that back, in its order', async () => {
  const engine = await startEngine({ unleash: true, databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  await app.query('CREATE TABLE public.users (id bigint PRIMARY KEY, old text)');
  const { guard, set } = await gauge(engine);
  const { name: flagName, exposure, exists } = flags();
  const [flag, later] = [flagName('flag'), flagName('later')];
  const plan = planOf(
    engine.name('retired'),
    [
      { name: 'one', steps: [{ id: 'show', uses: 'flag', flag, percent: 40 }] },
      { name: 'contract', steps: [{ id: 'out', uses: 'retire', database: 'app', column: 'users.old' }] },
      { name: 'next', steps: [{ id: 'also', uses: 'flag', flag: later, percent: 20 }] },
      { name: 'last', guards: [guard], steps: [{ id: 'ask', uses: 'approval' }] },
    ],
    { onBreach: 'hold', flags: quick([flag, later]) },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await set(4);
  const held = await untilStatus(handle, (status) => status.breach?.lowered.length === 1);
  expect([await exposure(flag), await exposure(later)]).toEqual([40, 0]);
  expect(held.breach?.left).toEqual([{ flag, why: 'out took its old path out of use' }]);
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect([await exists(flag), await exists(later)]).toEqual([false, false]);
  await app.close();
});
