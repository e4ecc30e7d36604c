import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { startTeam } from '../harness/team.ts';

const by = 'ana@example.com';
const DAY_MS = 86_400_000;

/** A table of one number that conditions look at and the test sets. */
async function gauge(
  engine: Engine,
): Promise<{ set(value: number): Promise<void>; sql: { database: string; query: string } }> {
  const database = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  await database.query('CREATE TABLE public.gauge (value integer NOT NULL)');
  await database.query('INSERT INTO public.gauge VALUES (0)');
  await database.close();
  return {
    sql: { database: 'home', query: 'select value from public.gauge' },
    async set(value) {
      const again = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
      await again.query('UPDATE public.gauge SET value = $1', [value]);
      await again.close();
    },
  };
}

test('a guard of a phase that trips turns the run round, in mid-step', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  team.blocking.add('act');
  const { sql, set } = await gauge(engine);
  const step = {
    id: 'a',
    uses: 'call' as const,
    taskQueue: team.taskQueue,
    activity: 'act',
    compensate: { activity: 'undo' },
  };
  const plan = planOf(engine.name('guarded'), [
    { name: 'one', steps: [step], guards: [{ name: 'errors', sql: { ...sql, max: 3 } }] },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await team.called(1);
  await set(4);
  await expect(handle.result()).rejects.toMatchObject({
    code: 'RolledBack',
    message: expect.stringContaining('"errors"'),
  });
  expect(team.calls.map((key) => key.split('/').slice(3).join('/'))).toEqual(['a/up', 'a/down']);
  expect((await handle.status()).error?.code).toBe('GuardTripped');
});

test('preconditions are waited for; `when` leaves out what is not needed', async () => {
  const engine = await startEngine();
  const { sql, set } = await gauge(engine);
  const plan = planOf(engine.name('when'), [
    {
      name: 'one',
      preconditions: [{ name: 'ready', sql: { ...sql, min: 1 } }],
      steps: [
        { id: 'needed', uses: 'wait', for: '10ms', when: { name: 'one', sql: { ...sql, equals: 1 } } },
        { id: 'not-needed', uses: 'wait', for: '1h', when: { name: 'two', sql: { ...sql, equals: 2 } } },
      ],
    },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => status.phases[0]?.state === 'waiting');
  await set(1);
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const { phases } = await handle.status();
  expect(phases[0]?.steps.map((step) => step.state)).toEqual(['done', 'skipped']);
});

test('a step waits for its window and says until when', async () => {
  const engine = await startEngine();
  const until = new Date(Date.now() + 2 * DAY_MS).toISOString().slice(0, 10);
  const windows = [{ deny: 'year-end', from: new Date(Date.now() - DAY_MS).toISOString().slice(0, 10), to: until }];
  const sql = { database: 'home', query: 'select 1', max: 1 };
  const plan = planOf(
    engine.name('window'),
    [{ name: 'one', steps: [{ id: 'look', uses: 'check', name: 'x', sql }] }],
    {
      policies: { windows },
    },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const waiting = await untilStatus(handle, (status) => status.status === 'waiting');
  expect(waiting.waitingFor).toContain('year-end');
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
});

test('a migration waits for those it requires', async () => {
  const engine = await startEngine();
  const required = engine.name('base');
  const wait = { id: 'rest', uses: 'wait' as const, for: '10ms' };
  const second = await engine.switchback.start(
    planOf(engine.name('next'), [{ name: 'one', steps: [wait] }], { requires: [required] }),
    { requestedBy: by },
  );
  const waiting = await untilStatus(second, (status) => status.status === 'waiting');
  expect(waiting.waitingFor).toContain(required);
  const first = await engine.switchback.start(planOf(required, [{ name: 'one', steps: [wait] }]), { requestedBy: by });
  expect(await first.result()).toMatchObject({ outcome: 'completed' });
  expect(await second.result()).toMatchObject({ outcome: 'completed' });
});

test('a plan changed under a running migration is refused with both digests; a bad plan fails at once', async () => {
  const engine = await startEngine();
  const name = engine.name('changed');
  const phases = (forTime: string) => [
    { name: 'one', steps: [{ id: 'rest', uses: 'wait' as const, for: forTime }], approval: 'after' as const },
  ];
  const handle = await engine.switchback.start(planOf(name, phases('10ms')), { requestedBy: by });
  const { digest } = await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  const refusal = await engine.switchback
    .start(planOf(name, phases('20ms')), { requestedBy: by })
    .catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'PlanChanged', message: expect.stringContaining(digest) });
  expect((refusal as Error).message.match(/[0-9a-f]{64}/g)).toHaveLength(2);
  // The same plan again joins the run.
  const same = await engine.switchback.start(planOf(name, phases('10ms')), { requestedBy: by });
  await same.approve({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  // After the end too: through the plain client, so that the engine has to say it.
  const workflowId = `migration/${name}`;
  const options = { workflowId, taskQueue: engine.config.taskQueue };
  const changed = engine.client.workflow.execute('migration', {
    ...options,
    args: [{ plan: planOf(name, phases('20ms')) }],
  });
  await expect(changed).rejects.toMatchObject({ cause: { type: 'PlanChanged' } });
  for (const [args, says] of [
    [[null], /plan/],
    [[], /plan/],
    [['rubbish'], /rubbish|mapping|object/],
    [[{ plan: { apiVersion: 'switchback/v1' } }], /metadata/],
  ] as const) {
    const bad = engine.client.workflow.execute('migration', {
      ...options,
      workflowId: `${workflowId}-bad`,
      args: [...args],
    });
    await expect(bad).rejects.toMatchObject({ cause: { type: 'PlanInvalid', message: expect.stringMatching(says) } });
  }
});

test('a step that takes longer than its timeout fails, and pausing does not use it up', async () => {
  const engine = await startEngine();
  const { sql } = await gauge(engine);
  const step = {
    id: 'slow',
    uses: 'check' as const,
    name: 'never',
    sql: { ...sql, min: 1 },
    every: '200ms',
    timeout: '3s',
    onFailure: 'hold' as const,
  };
  const handle = await engine.switchback.start(planOf(engine.name('slow'), [{ name: 'one', steps: [step] }]), {
    requestedBy: by,
  });
  const held = await untilStatus(handle, (status) => status.status === 'held');
  expect(held.error).toMatchObject({ code: 'StepTimeout', step: 'slow' });
  await handle.skip({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});

test('pause keeps what is left of a soak', async () => {
  const engine = await startEngine();
  const plan = planOf(engine.name('soak'), [
    { name: 'one', soak: '4s', steps: [{ id: 'rest', uses: 'wait', for: '10ms' }] },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => status.phases[0]?.state === 'soaking');
  await handle.pause({ by });
  const paused = await untilStatus(handle, (status) => status.status === 'paused');
  expect(paused.phases[0]?.state).toBe('soaking');
  await handle.resume({ by });
  const soaking = await untilStatus(handle, (status) => status.status === 'waiting');
  const until = Date.parse(/until (\S+)/.exec(soaking.waitingFor ?? '')?.[1] ?? '');
  // Less than the whole soak is left, and some of it is.
  expect(until - Date.parse(soaking.updatedAt)).toBeLessThan(4_000);
  expect(until).toBeGreaterThan(Date.parse(paused.updatedAt));
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});
