import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { Status } from '../../src/messages/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { expandAndMigrate, makeUsers } from '../harness/names.ts';
import { startTeam } from '../harness/team.ts';

const by = 'ana@example.com';
const DAY_MS = 86_400_000;
const dayFromNow = (days: number) => new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 10);
const freeze = (more: object = {}) => ({ deny: 'year-end', from: dayFromNow(-1), to: dayFromNow(2), ...more });
const stepOf = (status: Status, id: string) =>
  status.phases.flatMap((phase) => phase.steps).find((step) => step.id === id);
const gateOf = (status: Status, name: string) => status.gates.find(({ gate }) => gate === name);

/** Decisions on record about windows, oldest first. */
async function onRecord(engine: Engine, name: string): Promise<{ type: string; by: string | null; data: object }[]> {
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  const rows = await home.query(
    "SELECT type, by, data FROM switchback.audit WHERE migration = $1 AND type ~ '^window-|^approved|^rejected' ORDER BY id",
    [name],
  );
  await home.close();
  return rows.map((row) => ({
    type: row['type'] ?? '',
    by: row['by'] ?? null,
    data: JSON.parse(row['data'] ?? '{}') as object,
  }));
}

test('in a freeze a step says when it may go; an override is an approval of the step, on record, for good', async () => {
  const engine = await startEngine({ approvers: { dba: [by], lead: ['bo@example.com', 'cy@example.com'] } });
  const team = await startTeam(engine.name('team'));
  team.blocking.add('act');
  const name = engine.name('freeze');
  const plan = planOf(
    name,
    [
      {
        name: 'one',
        steps: [
          { id: 'act', uses: 'call', taskQueue: team.taskQueue, activity: 'act', compensate: { activity: 'undo' } },
          { id: 'look', uses: 'check', name: 'any', sql: { database: 'home', query: 'select 1', max: 1 } },
        ],
      },
    ],
    {
      policies: {
        approvals: [
          { risk: 'high', roles: ['lead'], min: 2, notRequester: true },
          { risk: 'low', roles: ['dba'] },
        ],
        windows: [freeze()],
      },
    },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const opens = `${dayFromNow(3)}T00:00:00Z`;
  const waiting = await untilStatus(handle, (status) => status.status === 'waiting' && status.gates.length === 2);
  expect(stepOf(waiting, 'act')).toMatchObject({
    state: 'waiting',
    nextAt: opens.replace('Z', '.000Z'),
    note: `denied by year-end; may go next at ${opens}; to go now: approve act/window`,
  });
  const decisionId = 'act/window-1-1';
  expect(gateOf(waiting, 'act/window')).toMatchObject({
    state: 'open',
    overrides: 'window',
    phase: 'one',
    roles: ['lead'],
    min: 2,
    decisionId,
  });
  // An override is never meant by an approval that names none, and is nobody's who may only approve the phase.
  expect(await handle.approve({ by: 'bo@example.com' })).toMatchObject({ accepted: false });
  expect(await handle.approve({ by, gate: 'act/window' })).toMatchObject({ accepted: false });
  expect(await handle.approve({ by: 'bo@example.com', gate: 'act/window', comment: 'the disk fills' })).toMatchObject({
    accepted: true,
    reason: '1 of 2 approvals of act/window',
  });
  // Neither a fresh history nor the other step's refusal forgets it.
  await engine.client.workflow.getHandle(`migration/${name}`).signal('renew', { by });
  expect(await handle.reject({ by: 'bo@example.com', gate: 'look/window' })).toMatchObject({
    accepted: true,
    reason: 'look/window is rejected; it waits for its window',
  });
  const refused = await untilStatus(handle, (status) => gateOf(status, 'look/window')?.state === 'rejected');
  expect(refused.status).toBe('waiting');
  expect(gateOf(refused, 'act/window')).toMatchObject({ state: 'open', approvedBy: ['bo@example.com'] });
  const cy = { by: 'cy@example.com', gate: 'act/window', comment: 'customers wait' };
  expect(await handle.approve(cy)).toMatchObject({
    accepted: true,
    reason: 'act/window is approved: it goes now, until it is done',
  });
  await team.called(1);
  const running = await untilStatus(handle, (status) => status.status === 'running');
  expect(stepOf(running, 'look')?.note).toBe(
    `denied by year-end; may go next at ${opens}; going before that was rejected`,
  );
  // The ledger knows it, where the run is gone.
  await engine.client.workflow.getHandle(`migration/${name}`).terminate('by the test');
  const again = await engine.switchback.start(plan, { requestedBy: by });
  await team.called(2);
  expect(gateOf(await again.status(), 'act/window')).toBeUndefined();
  team.blocking.clear();
  await untilStatus(again, (status) => stepOf(status, 'act')?.state === 'done' && status.status === 'waiting');
  const events = await onRecord(engine, name);
  expect(events.filter(({ type }) => type === 'window-overridden')).toEqual([
    {
      type: 'window-overridden',
      by: 'cy@example.com',
      data: {
        gate: 'act/window',
        comment: 'customers wait',
        digest: running.digest,
        by: 'bo@example.com, cy@example.com',
      },
    },
  ]);
  expect(events[0]).toMatchObject({ type: 'window-closed', data: { nextAt: opens.replace('Z', '.000Z') } });
  await again.abort({ by });
  await expect(again.result()).rejects.toMatchObject({ code: 'RolledBack' });
});

test('a backfill on which its window closes stops and says when it goes on; overridden it goes through', async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', 5_000);
  const name = engine.name('closes');
  const begun = new Date(Date.now() - 1_000).toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const plan = planOf(
    name,
    expandAndMigrate({ chunk: { rows: 100, fixed: true }, throttle: { maxRowsPerSecond: 200 } }),
    {
      policies: { windows: [{ allow: `DTSTART:${begun}\nRRULE:FREQ=DAILY`, duration: '12s', applies: ['backfill'] }] },
    },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const closed = await untilStatus(handle, (status) => stepOf(status, 'fill')?.nextAt !== undefined);
  expect(closed.status).toBe('waiting');
  expect(Date.parse(stepOf(closed, 'fill')?.nextAt ?? '')).toBeGreaterThan(Date.now() + DAY_MS / 2);
  await handle.throttle('fill', { by, rowsPerSecond: 100_000 });
  expect(await handle.approve({ by, gate: 'fill/window' })).toMatchObject({ accepted: true });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  await app.close();
});

test('a phase looks at its preconditions only when one of its first steps may go', async () => {
  const engine = await startEngine();
  const name = engine.name('phase');
  const sql = { database: 'home', query: 'select count(*) from public.not_there', max: 1 };
  const plan = planOf(
    name,
    [
      {
        name: 'one',
        preconditions: [{ name: 'ready', sql }],
        steps: [{ id: 'look', uses: 'check', name: 'any', sql }],
      },
    ],
    { policies: { windows: [freeze()] } },
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const waiting = await untilStatus(handle, (status) => status.status === 'waiting');
  expect(waiting.waitingFor).toContain('denied by year-end');
  expect(waiting.phases[0]?.state).toBe('waiting');
  expect(await handle.approve({ by, gate: 'one/window' })).toMatchObject({ accepted: true });
  const held = await untilStatus(handle, (status) => status.status === 'held');
  expect(held.error).toMatchObject({ code: 'StatementFailed' });
  await handle.skip({ by });
  // The phase's override is one of its steps.
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
});
