import { expect, test } from 'vitest';
import type { MigrationHandle } from '../../src/client/index.ts';
import type { Status } from '../../src/messages/index.ts';
import { areAdjacent, type PlanInput, type Stage } from '../../src/plan/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { type Fleet, startFleet, tablesOf } from './service-fleet.ts';

const by = 'ana@example.com';

/** The whole way from one table to another; `hold` is the stop that bakes for an hour. */
function stagedPlan(name: string, flag: string, ramp: Record<string, unknown>[]): PlanInput {
  const tables = tablesOf(flag);
  const missing = `SELECT count(*) FROM ${tables.old} o LEFT JOIN ${tables.new} n USING (id) WHERE n.id IS NULL`;
  const steps = [
    { id: 'both', uses: 'flag', flag, stage: 'dual-write' },
    // Traffic touches every row again and again: so they get there without a backfill.
    {
      id: 'copied',
      uses: 'check',
      needs: ['both'],
      name: 'no row is missing',
      every: '200ms',
      sql: { database: 'app', query: missing, max: 0 },
    },
    { id: 'ramp', uses: 'rollout', needs: ['copied'], flag, ramp },
  ];
  return planOf(name, [{ name: 'go', steps: steps as never }], {
    flags: { [flag]: { stickiness: 'userId', propagation: '2s' } },
  });
}
const noteOf = (status: Status, id: string): string =>
  status.phases.flatMap(({ steps }) => steps).find((step) => step.id === id)?.note ?? '';
const untilNote = (handle: MigrationHandle, id: string, matches: RegExp) =>
  untilStatus(handle, (status) => matches.test(noteOf(status, id)));
const neighbours = (fleet: Fleet): boolean =>
  [...fleet.mixed].every((pair) => {
    const [one, other] = JSON.parse(pair) as [Stage | null, Stage | null];
    return one === null || other === null || areAdjacent(one, other);
  });

async function start(engine: Engine, base: string, ramp: Record<string, unknown>[]) {
  const name = engine.name(base);
  const url = (database: string) => engine.config.databases[database]?.url ?? '';
  const fleet = await startFleet(name, { app: url('app'), home: url('home') });
  return { fleet, handle: await engine.switchback.start(stagedPlan(name, name, ramp), { requestedBy: by }) };
}

/** Whether only neighbours were mixed. Through all stages, with a pause at 25 %: the same users before and after, and more with each stop. */
async function wholeWay(engine: Engine): Promise<boolean> {
  const { fleet, handle } = await start(engine, 'whole', [
    { stage: 'shadow' },
    { percent: 5, bake: '2s' },
    { percent: 25, bake: '6s' },
    { percent: 100 },
    { stage: 'live' },
    { stage: 'ramp-down' },
    { stage: 'complete' },
  ]);
  await untilNote(handle, 'ramp', /^at 5 % \(3 of 3 instances acted on it/);
  const few = fleet.letIn();
  await untilNote(handle, 'ramp', /^at 25 % \(3 of 3 instances acted on it/);
  await handle.pause({ by });
  await untilStatus(handle, ({ status }) => status === 'paused');
  const more = fleet.letIn();
  expect(few.length).toBeGreaterThan(20);
  expect(more.length).toBeGreaterThan(few.length);
  expect(more).toEqual(expect.arrayContaining(few));
  await handle.resume({ by });
  await untilNote(handle, 'ramp', /^at 25 % .*bakes \d s more/);
  expect(fleet.letIn()).toEqual(more);
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  expect(noteOf(await handle.status(), 'ramp')).toBe(`flag ${fleet.flag} in development is at stage complete`);
  expect(fleet.stages()).toEqual(['complete', 'complete', 'complete']);
  expect(fleet.letIn()).toHaveLength(1000);
  // The new side has every write that a caller was told of.
  const acknowledged = await fleet.rest();
  expect(await fleet.rows('new')).toEqual(acknowledged);
  return neighbours(fleet);
}

/** Aborted at ramp-down, where only the new side is read: back through each stage, and nothing is lost. */
async function backAgain(engine: Engine): Promise<boolean> {
  const { fleet, handle } = await start(engine, 'back', [
    { stage: 'shadow' },
    { percent: 50 },
    { stage: 'live' },
    { stage: 'ramp-down', bake: '1h' },
  ]);
  await untilNote(handle, 'ramp', /^at stage ramp-down/);
  expect(fleet.stages()).toEqual(['ramp-down', 'ramp-down', 'ramp-down']);
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  const status = await handle.status();
  expect(noteOf(status, 'ramp')).toMatch(
    /is as it was; 3 of 3 instances acted on it.*; its path is at stage dual-write \(3 of 3 instances acted on it after \d+\.\d s\)$/,
  );
  expect(noteOf(status, 'both')).toMatch(/its path is at stage off \(3 of 3 instances acted on it after \d+\.\d s\)$/);
  expect(fleet.stages()).toEqual(['off', 'off', 'off']);
  const acknowledged = await fleet.rest();
  expect(await fleet.rows('old')).toEqual(acknowledged);
  return neighbours(fleet);
}

test('a service of three instances goes all the way and, elsewhere, back again: neighbours at any time, no write lost', async () => {
  const engine = await startEngine({ unleash: true, databases: ['app'] });
  expect(await Promise.all([wholeWay(engine), backAgain(engine)])).toEqual([true, true]);
}, 120_000);
