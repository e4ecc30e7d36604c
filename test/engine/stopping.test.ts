import { expect, test } from 'vitest';
import type { Status } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { startTeam } from '../harness/team.ts';

const by = 'ana@example.com';
type Phase = PlanInput['spec']['phases'][number];
const look = { database: 'home', query: 'select 1' };
const rest = { id: 'rest', uses: 'wait', for: '1h' } as const;
const brief = { id: 'rest', uses: 'wait', for: '1ms' } as const;

/** Where a run stands still, how that shows, and the plan that leads there. */
const STANDING: Record<string, { phase: Omit<Phase, 'name'>; requires?: string[]; seen: (status: Status) => boolean }> =
  {
    'waiting for another migration': {
      phase: { steps: [brief] },
      requires: ['never-there'],
      seen: (status) => status.status === 'waiting',
    },
    'waiting for its preconditions': {
      phase: { steps: [brief], preconditions: [{ name: 'no', sql: { ...look, min: 2 } }] },
      seen: (status) => status.phases[0]?.state === 'waiting',
    },
    'before a gate': {
      phase: { steps: [brief], approval: 'before' },
      seen: (status) => status.status === 'awaiting-approval',
    },
    'in a step that waits': { phase: { steps: [rest] }, seen: (status) => status.status === 'waiting' },
    'watched by guards': {
      phase: { steps: [rest], guards: [{ name: 'ok', sql: { ...look, max: 1 } }] },
      seen: (status) => status.status === 'waiting',
    },
    'waiting for its exit criteria': {
      phase: { steps: [brief], exitCriteria: [{ name: 'no', sql: { ...look, min: 2 } }] },
      seen: (status) => status.phases[0]?.steps[0]?.state === 'done',
    },
    'in a soak': { phase: { steps: [brief], soak: '1h' }, seen: (status) => status.phases[0]?.state === 'soaking' },
  };

test.for(Object.keys(STANDING))('%s: abort, pause with abort, and Cancel each end it', async (at) => {
  const { phase, requires, seen } = STANDING[at] ?? { phase: { steps: [] }, seen: () => false };
  const engine = await startEngine();
  const ends = ['abort', 'paused', 'cancel'].map(async (how) => {
    const name = engine.name(how);
    const plan = planOf(name, [{ name: 'one', ...phase }], requires === undefined ? {} : { requires });
    const handle = await engine.switchback.start(plan, { requestedBy: by });
    await untilStatus(handle, seen);
    if (how === 'paused') {
      expect(await handle.pause({ by })).toMatchObject({ accepted: true });
      await untilStatus(handle, (status) => status.status === 'paused');
    }
    const workflow = engine.client.workflow.getHandle(`migration/${name}`);
    if (how === 'cancel') await workflow.cancel();
    else expect(await handle.abort({ by })).toMatchObject({ accepted: true });
    await expect(workflow.result()).rejects.toMatchObject(
      how === 'cancel' ? { cause: { name: 'CancelledFailure' } } : { cause: { type: 'RolledBack' } },
    );
    return (await handle.status()).status;
  });
  expect(await Promise.all(ends)).toEqual(['rolled-back', 'rolled-back', 'rolled-back']);
});

test('what comes with the start waits for the plan to be checked; a Cancel then rolls back nothing', async () => {
  const engine = await startEngine();
  const start = (name: string, plan: unknown, signal: string, payload: unknown) =>
    engine.client.workflow.signalWithStart('migration', {
      workflowId: `migration/${name}`,
      taskQueue: engine.config.taskQueue,
      args: [{ plan, requestedBy: by }],
      signal,
      signalArgs: [payload],
    });
  const plan = (name: string) => planOf(name, [{ name: 'one', steps: [rest] }]);
  const [aborted, canceled, bad] = [engine.name('aborted'), engine.name('canceled'), engine.name('bad')];
  await expect((await start(aborted, plan(aborted), 'abort', { by })).result()).rejects.toMatchObject({
    cause: { type: 'RolledBack' },
  });
  const other = await start(canceled, plan(canceled), 'nonsense', 1);
  await other.cancel();
  await expect(other.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  await expect((await start(bad, {}, 'pause', { by })).result()).rejects.toMatchObject({
    cause: { type: 'PlanInvalid' },
  });
});

test('Cancel and continue-as-new in mid-rollback: it goes on, to its end', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  team.blocking.add('act').add('undo');
  const name = engine.name('both');
  const step = { id: 'a', uses: 'call', taskQueue: team.taskQueue, activity: 'act' } as const;
  const handle = await engine.switchback.start(
    planOf(name, [{ name: 'one', steps: [{ ...step, compensate: { activity: 'undo' } }] }]),
    { requestedBy: by },
  );
  await team.called(1);
  await handle.abort({ by });
  await team.called(2);
  const workflow = engine.client.workflow.getHandle(`migration/${name}`);
  await workflow.cancel();
  await workflow.signal('renew', { by });
  await team.called(3);
  team.blocking.clear();
  await expect(workflow.result()).rejects.toMatchObject({ cause: { name: 'CancelledFailure' } });
  expect(await handle.status()).toMatchObject({ status: 'rolled-back' });
  expect([...new Set(team.calls)]).toEqual([`${name}/1/1/a/up`, `${name}/1/1/a/down`]);
});

test("another team's failure can carry anything: the codes of ours, a book of text", async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  const name = engine.name('foreign');
  const step = { id: 'a', uses: 'call', taskQueue: team.taskQueue, activity: 'strange', onFailure: 'hold' } as const;
  const handle = await engine.switchback.start(planOf(name, [{ name: 'one', steps: [step] }]), { requestedBy: by });
  const held = await untilStatus(handle, (status) => status.status === 'held');
  expect(held.error).toMatchObject({ code: 'CallFailed' });
  expect(held.error?.message.length).toBeLessThan(3_000);
  expect(team.calls).toHaveLength(1);
  await handle.skip({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});
