import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import type { MigrationHandle } from '../../src/client/index.ts';
import type { Status } from '../../src/messages/index.ts';
import { areAdjacent, type PlanInput, type Stage } from '../../src/plan/index.ts';
import { type Engine, startEngine, untilStatus } from '../harness/engine.ts';
import { type Fleet, startFleet, tablesOf } from './service-fleet.ts';

const by = 'ana@example.com';

/** Times, which are all that is changed of the plan, beside its names. */
const SHORT: Readonly<Record<string, string>> = {
  '30m': '1s',
  '15m': '2s',
  '1h': '6s',
  '4h': '0s',
  '24h': '0s',
  '10s': '200ms',
  '20s': '2s',
  '1m': '500ms',
};
const EXAMPLE = readFileSync('examples/staged-rollout/plan.yaml', 'utf8');

/** examples/staged-rollout with names of its own, and another ramp where one is given. */
function stagedPlan(name: string, ramp?: Record<string, unknown>[]): PlanInput {
  const tables = tablesOf(name);
  const text = EXAMPLE.replaceAll('names_old', tables.old)
    .replaceAll('names_new', tables.new)
    .replaceAll(/user-names|staged-rollout/g, name)
    .replaceAll('accounts-db', 'app')
    .replaceAll(/: (\d+(?:s|m|h))\b/g, (whole, time: string) => `: ${SHORT[time] ?? whole.slice(2)}`);
  const plan = parse(text) as PlanInput;
  const step = plan.spec.phases.at(-1)?.steps[0];
  if (ramp !== undefined && step?.uses === 'rollout') step.ramp = ramp;
  return plan;
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

async function start(engine: Engine, base: string, ramp?: Record<string, unknown>[]) {
  const name = engine.name(base);
  const url = (database: string) => engine.config.databases[database]?.url ?? '';
  const fleet = await startFleet(name, { app: url('app'), home: url('home') });
  return { fleet, handle: await engine.switchback.start(stagedPlan(name, ramp), { requestedBy: by }) };
}

/** Whether only neighbours were mixed. Through all stages, with a pause at 25 %: the same users before and after, and more with each stop. */
async function wholeWay(engine: Engine): Promise<boolean> {
  const { fleet, handle } = await start(engine, 'whole');
  await untilNote(handle, 'ramp', /^at 5 % \(3 of 3 instances acted on it/);
  const few = fleet.letIn();
  await untilNote(handle, 'ramp', /^at 25 % \(3 of 3 instances acted on it/);
  await handle.pause({ by });
  await untilStatus(handle, ({ status }) => status === 'paused');
  const more = fleet.letIn();
  // A deployment in the middle, of both runs.
  await engine.restartWorker();
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
  expect(noteOf(status, 'both-written')).toMatch(
    /its path is at stage off \(3 of 3 instances acted on it after \d+\.\d s\)$/,
  );
  expect(fleet.stages()).toEqual(['off', 'off', 'off']);
  const acknowledged = await fleet.rest();
  expect(await fleet.rows('old')).toEqual(acknowledged);
  return neighbours(fleet);
}

test('a service of three instances goes all the way and, elsewhere, back again: neighbours at any time, no write lost', async () => {
  const engine = await startEngine({ unleash: true, databases: ['app'] });
  expect(await Promise.all([wholeWay(engine), backAgain(engine)])).toEqual([true, true]);
}, 240_000);
