import { temporal } from '@temporalio/proto';
import { expect, test } from 'vitest';
import type { MigrationHandle } from '../../src/client/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { startTeam } from '../harness/team.ts';

const by = 'ana@example.com';
const callOf = (taskQueue: string, id: string, more: object = {}) =>
  ({ id, uses: 'call', taskQueue, activity: 'act', compensate: { activity: 'undo' }, ...more }) as const;
const workflowOf = (engine: Engine, name: string) => engine.client.workflow.getHandle(`migration/${name}`);
const asking = (handle: MigrationHandle) => untilStatus(handle, (status) => status.status === 'awaiting-approval');

test('what people write never keeps the ledger from being written: NUL, half a surrogate pair, one that is cut', async () => {
  const engine = await startEngine();
  const name = engine.name('text');
  const ask = { id: 'ask', uses: 'approval' as const, min: 2 };
  const handle = await engine.switchback.start(planOf(name, [{ name: 'one', steps: [ask] }]), { requestedBy: 'x\0y' });
  await asking(handle);
  const workflow = workflowOf(engine, name);
  // The refused text is cut at 200 characters: here between the two halves of an emoji.
  for (const shift of ['', 'x']) await workflow.signal('nonsense', `${shift}${'🎉'.repeat(200)}`);
  await workflow.signal('approve', { by: 'bo\0b', decisionId: 'a\0', comment: 'half of \ud83c' });
  expect(await handle.approve({ by, comment: 'nul \0 here' })).toMatchObject({ accepted: true });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});

test('a home ledger that is away for 20 s in mid-run: the run goes on by itself, on a short history', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  team.blocking.add('act');
  const name = engine.name('away');
  const handle = await engine.switchback.start(
    planOf(name, [{ name: 'one', steps: [callOf(team.taskQueue, 'a'), { id: 'b', uses: 'wait', for: '3s' }] }]),
    { requestedBy: by },
  );
  await team.called(1);
  engine.homeLine.cut();
  const before = (await workflowOf(engine, name).describe()).historyLength;
  // Said while nothing can be recorded: it counts, and is recorded later.
  await workflowOf(engine, name).signal('pause', { by });
  await new Promise((done) => void setTimeout(done, 20_000));
  await workflowOf(engine, name).signal('resume', { by });
  const after = (await workflowOf(engine, name).describe()).historyLength;
  team.blocking.clear();
  engine.homeLine.mend();
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  // 500 events a day allow 1 each 3 minutes; being away may cost some once, not some each time it is tried again.
  expect(after - before).toBeLessThan(40);
});

test('an abort that comes while the end is being recorded is kept: accepted is accepted', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  const name = engine.name('end');
  const handle = await engine.switchback.start(
    planOf(name, [{ name: 'one', approval: 'after', steps: [callOf(team.taskQueue, 'a')] }]),
    { requestedBy: by },
  );
  await asking(handle);
  engine.homeLine.hold();
  expect(await handle.approve({ by })).toMatchObject({ accepted: true });
  const receipt = await handle.abort({ by });
  engine.homeLine.mend();
  expect(receipt).toMatchObject({ accepted: true });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
});

test('an approval that comes during a continue-as-new is not lost', async () => {
  const engine = await startEngine();
  const name = engine.name('renew');
  const handle = await engine.switchback.start(
    planOf(name, [{ name: 'one', steps: [{ id: 'ask', uses: 'approval' }] }]),
    {
      requestedBy: by,
    },
  );
  await asking(handle);
  engine.homeLine.hold();
  await workflowOf(engine, name).signal('renew', { by });
  await new Promise((done) => void setTimeout(done, 1_000));
  await workflowOf(engine, name).signal('approve', { by, decisionId: 'd' });
  await new Promise((done) => void setTimeout(done, 11_000));
  engine.homeLine.mend();
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
});

test('a skip that comes after a retry was decided is refused, not lost', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  team.failing.add('act');
  const name = engine.name('both');
  const handle = await engine.switchback.start(
    planOf(name, [{ name: 'one', steps: [callOf(team.taskQueue, 'a', { onFailure: 'hold' })] }]),
    { requestedBy: by },
  );
  await untilStatus(handle, (status) => status.status === 'held');
  team.failing.clear();
  engine.homeLine.hold();
  const workflow = workflowOf(engine, name);
  await workflow.signal('retry', { by });
  await workflow.signal('skip', { by });
  await new Promise((done) => void setTimeout(done, 1_000));
  engine.homeLine.mend();
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const end = await handle.status();
  expect(end.phases[0]?.steps[0]?.state).toBe('done');
  expect(end.refused).toMatchObject([{ message: expect.stringContaining('skip') }]);
});

const { RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL: SIGNAL, RESET_REAPPLY_EXCLUDE_TYPE_UPDATE: UPDATE } =
  temporal.api.enums.v1.ResetReapplyExcludeType;

/** Temporal's reset to the first workflow task after the event that is wanted. */
async function resetTo(engine: Engine, name: string, after: string): Promise<void> {
  const workflow = workflowOf(engine, name);
  const events = (await workflow.fetchHistory()).events ?? [];
  const from = events.findIndex((event) => JSON.stringify(event).includes(after));
  const task = events.slice(from).find((event) => event.workflowTaskCompletedEventAttributes != null);
  const { runId } = await workflow.describe();
  await engine.client.workflowService.resetWorkflowExecution({
    namespace: 'default',
    workflowExecution: { workflowId: `migration/${name}`, runId },
    reason: 'by the test',
    requestId: name,
    // Else the abort would be sent again: signals and updates.
    resetReapplyExcludeTypes: [SIGNAL, UPDATE],
    workflowTaskFinishEventId: task?.eventId ?? null,
  });
}

test('a reset from a rollback into a wait: the ledger says that it goes down, and it does', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  const name = engine.name('reset');
  const handle = await engine.switchback.start(
    planOf(name, [
      {
        name: 'one',
        steps: [callOf(team.taskQueue, 'a'), { id: 'rest', uses: 'wait', for: '2s', needs: ['a'] }],
        approval: 'after',
      },
    ]),
    { requestedBy: by },
  );
  await untilStatus(handle, (status) => status.status === 'waiting');
  team.blocking.add('undo');
  await handle.abort({ by });
  await team.called(2);
  await resetTo(engine, name, '"timerStartedEventAttributes":{');
  team.blocking.clear();
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
});

test('a version starts only when the one before has completed or is rolled back', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  const name = engine.name('versions');
  const plan = (version: number, activity = 'act') => {
    const of = planOf(name, [{ name: 'one', steps: [callOf(team.taskQueue, 'a', { activity })] }]);
    return { ...of, metadata: { ...of.metadata, version } };
  };
  const start = (version: number, activity?: string) =>
    engine.switchback.start(plan(version, activity), { requestedBy: by });
  expect(await (await start(1)).result()).toMatchObject({ outcome: 'completed' });
  team.failing.add('other');
  await expect((await start(2, 'other')).result()).rejects.toMatchObject({ code: 'RolledBack' });
  team.failing.add('undo');
  const third = await start(3, 'other');
  await untilStatus(third, (status) => status.waitingFor === 'retry or skip of a');
  await third.skip({ by });
  await expect(third.result()).rejects.toMatchObject({ code: 'MigrationFailed' });
  // Something of version 3 is still there.
  await expect(start(4).then((handle) => handle.result())).rejects.toMatchObject({ code: 'VersionUnfinished' });
  team.failing.clear();
  await expect((await start(3, 'other')).result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await (await start(4)).result()).toMatchObject({ outcome: 'completed' });
  expect(team.calls.at(-1)).toBe(`${name}/4/1/a/up`);
});

test('waiting for a window does not use up the timeout of a step', async () => {
  const engine = await startEngine({ databases: ['app'] });
  const { makeUsers, expandAndMigrate } = await import('../harness/names.ts');
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', 3_000);
  const opens = new Date(Date.now() + 9_000).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const plan = planOf(
    engine.name('window'),
    expandAndMigrate({ timeout: '6s', chunk: { rows: 100, fixed: true }, throttle: { maxRowsPerSecond: 1_000 } }),
    {
      policies: {
        windows: [{ allow: `DTSTART:${opens}\nRRULE:FREQ=DAILY`, duration: '1h', applies: ['backfill'] }],
      },
    },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => (status.phases[2]?.steps[0]?.progress?.done ?? 0) > 0);
  await handle.throttle('fill', { by, rowsPerSecond: 900 });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  await app.close();
});

test('a step that was not needed is not undone, also by a run that was started again', async () => {
  const engine = await startEngine();
  const team = await startTeam(engine.name('team'));
  const name = engine.name('unneeded');
  const never = { name: 'never', sql: { database: 'home', query: 'select 1', equals: 2 } };
  const plan = planOf(name, [
    { name: 'one', approval: 'after', steps: [callOf(team.taskQueue, 'a', { when: never })] },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await asking(handle);
  await workflowOf(engine, name).terminate('by the test');
  const again = await engine.switchback.start(plan, { requestedBy: by });
  await asking(again);
  await again.abort({ by });
  await expect(again.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(team.calls).toEqual([]);
});
