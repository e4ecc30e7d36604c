import { expect, test } from 'vitest';
import { workflowIdOf } from '../../src/messages/index.ts';
import { startEngine, untilStatus } from '../harness/engine.ts';
import { expandAndMigrate, makeUsers, splitPlan } from '../harness/names.ts';
import { CHUNKS, ratesInForce, until } from './throttle-room.ts';

const by = 'ana@example.com';
const ROWS = 5_000;

test('live control: each pace is in force from one chunk on, full brings the plan’s own back, and no row is done twice', {
  timeout: 120_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', ROWS);
  await app.query(CHUNKS);
  const fill = { chunk: { rows: 20, fixed: true }, throttle: { maxRowsPerSecond: 200 } };
  const plan = splitPlan(engine.name('live'), expandAndMigrate(fill));
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  const chunkAt = (rate: string, after = '0') =>
    until(app, `SELECT n FROM public.chunks WHERE rate = ${rate} AND n > ${after} LIMIT 1`);
  await chunkAt('200');

  expect(await handle.throttle('columns', { by, gentle: true })).toMatchObject({
    accepted: false,
    reason: 'columns is a ddl step, which has no pace; throttle goes with backfill, verify and move steps',
  });
  expect(await handle.throttle('verify', { by, rowsPerSecond: 100_000 })).toMatchObject({ accepted: true });

  expect(await handle.throttle('fill', { by, rowsPerSecond: 300 })).toMatchObject({ accepted: true });
  const faster = await chunkAt('300');
  // As Temporal's UI sends it.
  const workflow = engine.client.workflow.getHandle(workflowIdOf(plan.metadata.name));
  await workflow.signal('throttle', { step: 'fill', by, gentle: true });
  await untilStatus(handle, (status) => status.phases[2]?.steps[0]?.note?.includes('gentle') === true);
  expect(await handle.throttle('fill', { by, full: true })).toMatchObject({ accepted: true });
  await chunkAt('200', faster);
  await untilStatus(handle, (status) => status.phases[2]?.steps[0]?.note === 'capped at 200 rows/s');
  await handle.throttle('fill', { by, rowsPerSecond: 1_000_000 });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });

  expect(await ratesInForce(app)).toEqual([200, 300, 200, 1_000_000]);
  const [sum] = await app.query('SELECT sum(rows) AS rows FROM public.chunks');
  expect(sum).toEqual({ rows: String(ROWS) });
  await app.close();
});
