import { expect, test } from 'vitest';
import type { MigrationHandle } from '../../src/client/index.ts';
import type { Status } from '../../src/messages/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { serve } from './room.ts';

const by = 'ana@example.com';
const noteOf = (status: Status, id: string): string =>
  status.phases.flatMap(({ steps }) => steps).find((step) => step.id === id)?.note ?? '';
/** The digest that the hint of a held step names. */
const acceptOf = ({ error }: Status): string => / --accept ([0-9a-f]{16})/.exec(error?.hint ?? '')?.[1] ?? '';

async function start(engine: Engine, base: string, steps: Record<string, unknown>[]): Promise<MigrationHandle> {
  const flag = engine.name(base);
  const named = steps.map((step) => ('for' in step ? step : { flag, ...step }));
  const plan = planOf(flag, [{ name: 'go', steps: named as never }], { flags: { [flag]: { propagation: '0s' } } });
  return engine.switchback.start(plan, { requestedBy: by });
}
async function counts(of: 'alike' | 'worse') {
  let looks = 0;
  const { url } = await serve((request) => {
    looks += 1;
    return { body: { total: 1000 * looks, bad: (of === 'worse' && request.url === '/new' ? 30 : 10) * looks } };
  });
  return { name: 'errors', http: { url: `${url}/$path`, bad: '/bad', total: '/total' } };
}

/** Held with its case, and let on by a person who accepts that one; the next stop is another case. */
async function inconclusive(engine: Engine): Promise<void> {
  const analysis = {
    interval: '100ms',
    minSamples: 1_000_000_000,
    deadline: '300ms',
    metrics: [await counts('alike')],
  };
  const ramp = [{ percent: 5 }, { percent: 100 }];
  const handle = await start(engine, 'case', [{ id: 'ramp', uses: 'rollout', ramp, analysis }]);
  const held = await untilStatus(handle, ({ status }) => status === 'held');
  expect(held.error).toMatchObject({ code: 'GateInconclusive', message: expect.stringContaining('at 5 %') });
  expect(noteOf(held, 'ramp')).toContain('The case: errors: new path 1 % of');
  const first = acceptOf(held);
  expect(await handle.retry({ by, step: 'ramp', accept: first })).toMatchObject({ accepted: true });
  const next = await untilStatus(
    handle,
    (status) => status.status === 'held' && status.error?.message.includes('at 100 %') === true,
  );
  expect(acceptOf(next)).not.toBe(first);
  // What was shown of the first stop says nothing of this one.
  await handle.retry({ by, step: 'ramp', accept: first });
  const decided = () => handle.retry({ by, step: 'ramp', accept: acceptOf(next) }).then(({ accepted }) => accepted);
  await expect.poll(decided, { interval: 200, timeout: 20_000 }).toBe(true);
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
}

/** Shown to be worse: exposure first, then the rollback, and the evidence is what people see. */
async function worse(engine: Engine): Promise<void> {
  const analysis = { interval: '100ms', minSamples: 1, metrics: [await counts('worse')] };
  const ramp = [{ percent: 50, bake: '1h' }];
  const exposureOnFailure = { percent: 0 };
  const handle = await start(engine, 'worse', [{ id: 'ramp', uses: 'rollout', ramp, analysis, exposureOnFailure }]);
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  const status = await handle.status();
  expect(status.reason).toMatch(/the new path is worse: errors: new path 3 % of [\d,]+ bad, old 1 %/);
}

/** On the way back from `complete` a person says that the old side may answer without what it lacks. */
async function stale(engine: Engine): Promise<void> {
  const ramp = ['dual-write', 'shadow', 'live', 'ramp-down', 'complete'].map((stage) => ({ stage }));
  const handle = await start(engine, 'stale', [
    { id: 'ramp', uses: 'rollout', ramp, acknowledge: { required: 0 } },
    { id: 'rest', uses: 'wait', for: '1h', needs: ['ramp'] },
  ]);
  await untilStatus(handle, ({ phases }) => phases[0]?.steps[0]?.state === 'done');
  await handle.abort({ by });
  const held = await untilStatus(handle, ({ error }) => error?.code === 'OldPathStale');
  expect(await handle.retry({ by, step: 'ramp', accept: acceptOf(held) })).toMatchObject({ accepted: true });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(noteOf(await handle.status(), 'ramp')).toContain('its path is at stage off (no instance is live)');
}

test('what a gate or a stage asks of people: accepted as it is shown, rolled back with its evidence', async () => {
  const engine = await startEngine({ unleash: true });
  await Promise.all([inconclusive(engine), worse(engine), stale(engine)]);
  expect(engine.config.unleash).not.toBeNull();
});
