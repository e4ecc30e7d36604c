import { expect, test } from 'vitest';
import type { MigrationHandle } from '../../src/client/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { startTeam, type Team } from '../harness/team.ts';

const by = 'ana@example.com';

/** A plan that passes through every state: it asks, works, fails, waits. */
async function stage(): Promise<{
  engine: Engine;
  team: Team;
  name: string;
  handle: MigrationHandle;
  plan: ReturnType<typeof planOf>;
}> {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  const name = engine.name('stage');
  const call = (id: string, activity: string, needs: string[] = []) => ({
    id,
    uses: 'call' as const,
    taskQueue: team.taskQueue,
    activity,
    compensate: { activity: 'undo' },
    needs,
    onFailure: 'hold' as const,
  });
  const plan = planOf(name, [
    { name: 'one', approval: 'before', steps: [call('a', 'act'), call('b', 'other', ['a'])] },
    { name: 'two', soak: '300ms', steps: [{ id: 'rest', uses: 'wait', for: '300ms' }] },
  ]);
  return { engine, team, name, plan, handle: await engine.switchback.start(plan, { requestedBy: by }) };
}
const runIdOf = async (engine: Engine, name: string) =>
  (await engine.client.workflow.getHandle(`migration/${name}`).describe()).runId;

/** Continues as new, wherever the run is, and waits for the new run. */
async function renew(engine: Engine, name: string): Promise<void> {
  const before = await runIdOf(engine, name);
  await engine.client.workflow.getHandle(`migration/${name}`).signal('renew', { by });
  await expect.poll(() => runIdOf(engine, name), { timeout: 15_000, interval: 50 }).not.toBe(before);
}
const unique = (calls: readonly string[]) => [...new Set(calls)];

test('continue-as-new in each state and in mid-step: the same end, no call under another key', async () => {
  const { engine, team, name, handle } = await stage();
  team.failing.add('act');
  team.blocking.add('other');
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await renew(engine, name);
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await handle.approve({ by });
  await untilStatus(handle, (status) => status.status === 'held');
  await renew(engine, name);
  await untilStatus(handle, (status) => status.status === 'held');
  // What is held stays held: nobody has said retry.
  expect(team.calls).toHaveLength(1);
  team.failing.clear();
  await handle.pause({ by });
  await renew(engine, name);
  await untilStatus(handle, (status) => status.status === 'held');
  await handle.retry({ by, step: 'a' });
  await untilStatus(handle, (status) => status.status === 'paused');
  await renew(engine, name);
  await untilStatus(handle, (status) => status.status === 'paused');
  await handle.resume({ by });
  await untilStatus(handle, (status) => status.phases[0]?.steps[1]?.state === 'running');
  await team.called(3);
  await renew(engine, name);
  await team.called(4);
  team.blocking.clear();
  await untilStatus(handle, (status) => status.phases[1]?.state === 'running' || status.status === 'completed');
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  expect(unique(team.calls)).toEqual([`${name}/1/1/a/up`, `${name}/1/1/b/up`]);
  const status = await handle.status();
  expect(status.gates).toMatchObject([{ gate: 'one/before', state: 'approved', approvedBy: [by] }]);
});

test('continue-as-new in mid-rollback goes on rolling back', async () => {
  const { engine, team, name, handle } = await stage();
  team.blocking.add('other').add('undo');
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await handle.approve({ by });
  await team.called(2);
  await handle.abort({ by });
  await team.called(3);
  await renew(engine, name);
  await team.called(4);
  team.blocking.clear();
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(unique(team.calls)).toEqual(['a/up', 'b/up', 'b/down', 'a/down'].map((key) => `${name}/1/1/${key}`));
});

test('terminated in mid-step and started again: goes on where it was, with the approval that was given', async () => {
  const { engine, team, name, handle, plan } = await stage();
  team.blocking.add('other');
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await handle.approve({ by });
  await team.called(2);
  await engine.client.workflow.getHandle(`migration/${name}`).terminate('by the test');
  team.blocking.clear();
  const again = await engine.switchback.start(plan, { requestedBy: by });
  expect(await again.result()).toMatchObject({ outcome: 'completed' });
  expect(team.calls.filter((key) => key.endsWith('/a/up'))).toHaveLength(1);
  expect(unique(team.calls)).toEqual([`${name}/1/1/a/up`, `${name}/1/1/b/up`]);
});

test('terminated in mid-rollback and started again: goes on rolling back', async () => {
  const { engine, team, name, handle, plan } = await stage();
  team.blocking.add('other').add('undo');
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await handle.approve({ by });
  await team.called(2);
  await handle.abort({ by });
  await team.called(3);
  await engine.client.workflow.getHandle(`migration/${name}`).terminate('by the test');
  team.blocking.clear();
  const again = await engine.switchback.start(plan, { requestedBy: by });
  await expect(again.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(unique(team.calls)).toEqual(['a/up', 'b/up', 'b/down', 'a/down'].map((key) => `${name}/1/1/${key}`));
});

/** Temporal's reset to the first workflow task: the run forgets all it did, the ledgers don't. */
async function resetToStart(engine: Engine, name: string): Promise<void> {
  const { client } = engine;
  const workflowId = `migration/${name}`;
  const history = await client.workflow.getHandle(workflowId).fetchHistory();
  const first = history.events?.find((event) => event.workflowTaskCompletedEventAttributes != null);
  await client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId, runId: await runIdOf(engine, name) },
    reason: 'by the test',
    requestId: name,
    workflowTaskFinishEventId: first?.eventId ?? null,
  });
}

test('reset in mid-step: goes on from the ledgers', async () => {
  const { engine, team, name, handle } = await stage();
  team.blocking.add('other');
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await handle.approve({ by });
  await team.called(2);
  await resetToStart(engine, name);
  team.blocking.clear();
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  expect(team.calls.filter((key) => key.endsWith('/a/up'))).toHaveLength(1);
});

test('reset in mid-rollback: goes on rolling back', async () => {
  const { engine, team, name, handle } = await stage();
  team.blocking.add('other').add('undo');
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await handle.approve({ by });
  await team.called(2);
  await handle.abort({ by });
  await team.called(3);
  await resetToStart(engine, name);
  team.blocking.clear();
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(unique(team.calls)).toEqual(['a/up', 'b/up', 'b/down', 'a/down'].map((key) => `${name}/1/1/${key}`));
});

test('a worker that is replaced in mid-run changes nothing', async () => {
  const { engine, team, handle } = await stage();
  team.blocking.add('other');
  await untilStatus(handle, (status) => status.status === 'awaiting-approval');
  await engine.restartWorker();
  await handle.approve({ by });
  await team.called(2);
  await engine.restartWorker();
  team.blocking.clear();
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});
