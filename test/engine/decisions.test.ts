import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { startTeam } from '../harness/team.ts';

const by = 'ana@example.com';
const call = (taskQueue: string, id: string, more: object = {}) =>
  ({ id, uses: 'call', taskQueue, activity: 'act', compensate: { activity: 'undo' }, ...more }) as const;

test('each decision counts once, however often it is delivered', async () => {
  const engine = await startEngine({ approvers: { dba: [by, 'bo@example.com'] } });
  const team = await startTeam(engine.name('team'));
  team.failing.add('act');
  const name = engine.name('decide');
  const plan = planOf(
    name,
    [
      { name: 'first', approval: 'before', steps: [call(team.taskQueue, 'held', { onFailure: 'hold' })] },
      { name: 'second', steps: [{ id: 'rest', uses: 'wait', for: '4s' }], approval: 'after' },
    ],
    { risk: 'moderate', policies: { approvals: [{ risk: 'moderate', roles: ['dba'], notRequester: true, min: 1 }] } },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: 'bo@example.com' });
  const twice = async <T>(send: (decisionId: string) => Promise<T>): Promise<[T, T]> => {
    const decisionId = randomUUID();
    return [await send(decisionId), await send(decisionId)];
  };
  const counted = [{ accepted: true }, { accepted: true, reason: expect.stringMatching(/counted already|already/) }];

  const { gates } = await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  expect(gates).toMatchObject([{ gate: 'first/before', state: 'open', roles: ['dba'], min: 1 }]);
  // The requester holds the role, but the policy says notRequester.
  expect(await handle.approve({ by: 'bo@example.com' })).toMatchObject({
    accepted: false,
    reason: expect.stringContaining('notRequester'),
  });
  expect(await handle.approve({ by: 'eve@example.com' })).toMatchObject({
    accepted: false,
    reason: expect.stringContaining('dba'),
  });
  expect(await handle.approve({ by, gate: 'second/after', decisionId: 'x' })).toMatchObject({ accepted: false });

  expect(await twice((decisionId) => handle.reject({ by, decisionId }))).toMatchObject(counted);
  const rejected = await untilStatus(handle, (status) => status.status === 'held');
  expect(rejected).toMatchObject({
    error: { code: 'GateRejected' },
    waitingFor: 'retry, skip or abort of first/before',
  });
  expect(await twice((decisionId) => handle.retry({ by, decisionId }))).toMatchObject(counted);
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  expect(await twice((decisionId) => handle.approve({ by, gate: 'first/before', decisionId }))).toMatchObject(counted);

  const held = await untilStatus(handle, (status) => status.status === 'held');
  expect(held).toMatchObject({ error: { code: 'CallFailed', step: 'held' } });
  expect(await twice((decisionId) => handle.retry({ by, step: 'held', decisionId }))).toMatchObject(counted);
  await team.called(2);
  await untilStatus(handle, (status) => status.status === 'held');
  expect(team.calls).toEqual([`${name}/1/1/held/up`, `${name}/1/1/held/up`]);
  expect(await twice((decisionId) => handle.skip({ by, step: 'held', decisionId }))).toMatchObject(counted);

  await untilStatus(handle, (status) => status.phases[1]?.steps[0]?.state === 'waiting');
  expect(await twice((decisionId) => handle.pause({ by, decisionId }))).toMatchObject(counted);
  const paused = await untilStatus(handle, (status) => status.status === 'paused');
  expect(paused.reason).toContain(by);
  expect(await twice((decisionId) => handle.resume({ by, decisionId }))).toMatchObject(counted);

  const last = await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  expect(last.gates.map((gate) => [gate.gate, gate.state])).toEqual([
    ['first/before', 'approved'],
    ['second/after', 'open'],
  ]);
  expect(await handle.approve({ by })).toMatchObject({ accepted: true });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const end = await handle.status();
  expect(end.phases.flatMap((phase) => phase.steps.map((step) => step.state))).toEqual(['skipped', 'done']);
  expect(end.refused).toHaveLength(3);
});

test('as many people as the policy asks for must approve, each once', async () => {
  const engine = await startEngine({ approvers: { dba: [by, 'bo@example.com'] } });
  const step = { id: 'ask', uses: 'approval' as const, roles: ['dba'], min: 2 };
  const handle = await engine.switchback.start(planOf(engine.name('two'), [{ name: 'one', steps: [step] }]), {
    requestedBy: 'cy@example.com',
  });
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  const decisionId = 'both-at-once';
  expect(await handle.approve({ by, decisionId })).toMatchObject({
    accepted: true,
    reason: '1 of 2 approvals of one/ask',
  });
  expect(await handle.approve({ by })).toMatchObject({ accepted: false });
  // Under another's decisionId an approval would look as if it counted.
  expect(await handle.approve({ by: 'bo@example.com', decisionId })).toMatchObject({
    accepted: false,
    reason: expect.stringContaining(by),
  });
  expect(await handle.approve({ by: 'bo@example.com' })).toMatchObject({ accepted: true });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});

test('an approval that expires holds the run; retry opens the gate again', async () => {
  const engine = await startEngine();
  const step = { id: 'ask', uses: 'approval', expiresAfter: '500ms' } as const;
  const handle = await engine.switchback.start(planOf(engine.name('late'), [{ name: 'one', steps: [step] }]), {
    requestedBy: by,
  });
  const held = await untilStatus(handle, (status) => status.status === 'held');
  expect(held.error?.code).toBe('GateExpired');
  expect(await handle.skip({ by })).toMatchObject({ accepted: true });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});

test('abort undoes in reverse order and ends as rolled back; a second abort changes nothing', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  team.blocking.add('other');
  const name = engine.name('abort');
  const plan = planOf(name, [
    { name: 'one', steps: [call(team.taskQueue, 'a'), call(team.taskQueue, 'b', { needs: ['a'] })] },
    {
      name: 'two',
      steps: [call(team.taskQueue, 'c', { activity: 'other' }), call(team.taskQueue, 'never', { needs: ['c'] })],
    },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await team.called(3);
  expect(await handle.abort({ by, comment: 'wrong day' })).toMatchObject({ accepted: true });
  expect(await handle.abort({ by })).toMatchObject({ accepted: expect.any(Boolean) });
  await expect(handle.result()).rejects.toMatchObject({
    code: 'RolledBack',
    message: expect.stringContaining('wrong day'),
  });
  const key = (step: string, direction: string) => `${name}/1/1/${step}/${direction}`;
  expect(team.calls).toEqual([
    key('a', 'up'),
    key('b', 'up'),
    key('c', 'up'),
    key('c', 'down'),
    key('b', 'down'),
    key('a', 'down'),
  ]);
  expect((await handle.status()).status).toBe('rolled-back');

  // Up again is a new epoch: three effects, not one.
  team.blocking.clear();
  const again = await engine.switchback.start(plan, { requestedBy: by });
  expect(await again.result()).toMatchObject({ outcome: 'completed' });
  expect(team.calls.slice(6)).toEqual(['a', 'b', 'c', 'never'].map((step) => `${name}/1/2/${step}/up`));
});

test("Temporal's own Cancel rolls back and ends as Canceled", async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  team.blocking.add('other');
  const name = engine.name('cancel');
  const plan = planOf(name, [{ name: 'one', steps: [call(team.taskQueue, 'a', { activity: 'other' })] }]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await team.called(1);
  const workflow = engine.client.workflow.getHandle(`migration/${name}`);
  await workflow.cancel();
  await expect(workflow.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect(team.calls).toEqual([`${name}/1/1/a/up`, `${name}/1/1/a/down`]);
  expect(await handle.status()).toMatchObject({ status: 'rolled-back' });
});

test('a compensation that fails is held; skipped, the run ends as failed; started again, it goes on rolling back', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  team.failing.add('undo').add('other');
  const name = engine.name('stuck');
  const plan = planOf(name, [
    { name: 'one', steps: [call(team.taskQueue, 'a'), call(team.taskQueue, 'b', { needs: ['a'], activity: 'other' })] },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const held = await untilStatus(handle, (status) => status.waitingFor === 'retry or skip of b');
  expect(held.status).toBe('rolling-back');
  expect(await handle.retry({ by, step: 'b' })).toMatchObject({ accepted: true });
  await team.called(4);
  await untilStatus(handle, (status) => status.waitingFor === 'retry or skip of b');
  expect(await handle.skip({ by, step: 'b' })).toMatchObject({ accepted: true });
  await untilStatus(handle, (status) => status.waitingFor === 'retry or skip of a');
  team.failing.clear();
  expect(await handle.retry({ by, step: 'a' })).toMatchObject({ accepted: true });
  await expect(handle.result()).rejects.toMatchObject({
    code: 'MigrationFailed',
    message: expect.stringContaining('not undone'),
  });

  const again = await engine.switchback.start(plan, { requestedBy: by });
  await expect(again.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(team.calls.at(-1)).toBe(`${name}/1/1/b/down`);
});

test('a check whose condition does not hold by its deadline is held where the plan says so', async () => {
  const engine = await startEngine();
  const plan = planOf(engine.name('wrong'), [
    {
      name: 'one',
      steps: [
        {
          id: 'a',
          uses: 'check',
          name: 'fails',
          sql: { database: 'home', query: 'select 2', max: 1 },
          deadline: '1s',
          every: '500ms',
          onFailure: 'hold',
        },
      ],
    },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const held = await untilStatus(handle, (status) => status.status === 'held');
  expect(held.error).toMatchObject({ code: 'ConditionUnmet', step: 'a' });
  expect(await handle.abort({ by })).toMatchObject({ accepted: true });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
});

test('no worker polls the queue of a call: held, naming the queue; a worker that comes is used after retry', async () => {
  const engine = await startEngine();
  const taskQueue = engine.name('nobody');
  const plan = planOf(engine.name('call'), [{ name: 'one', steps: [call(taskQueue, 'a', { timeout: '1s' })] }]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const held = await untilStatus(handle, (status) => status.status === 'held');
  expect(held.error).toMatchObject({ code: 'NoWorker', message: `no worker polls ${taskQueue}` });
  const team = await startTeam(taskQueue);
  await handle.retry({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  expect(team.calls).toHaveLength(1);
});

test('the tables of a terminated run stay claimed until it is released, on record', async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  await app.query('CREATE TABLE public.users (id bigint PRIMARY KEY)');
  await app.close();
  const adding = (column: string) => [
    {
      name: 'one',
      approval: 'after' as const,
      steps: [{ id: 'a', uses: 'ddl' as const, database: 'app', up: `ALTER TABLE users ADD COLUMN ${column} text` }],
    },
  ];
  const first = engine.name('first');
  const dead = await engine.switchback.start(planOf(first, adding('a')), { requestedBy: by });
  await untilStatus(dead, (status) => status.status === 'awaiting-approval');
  const second = await engine.switchback.start(planOf(engine.name('second'), adding('b')), { requestedBy: by });
  await untilStatus(second, (status) => status.status === 'waiting');
  const release = (name: string) =>
    engine.client.workflow.execute('release', {
      workflowId: `release/${name}`,
      taskQueue: engine.config.taskQueue,
      args: [{ name, by }],
    });
  expect(await release(first)).toMatchObject({ released: [], reason: expect.stringContaining('is running') });
  await engine.client.workflow.getHandle(`migration/${first}`).terminate();
  expect(await release(first)).toMatchObject({ released: ['app.public.users'] });
  await untilStatus(second, (status) => status.status === 'awaiting-approval');
  await second.approve({ by });
  expect(await second.result()).toMatchObject({ outcome: 'completed' });
});
