import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { ThrottleOverride } from '../../src/activities/effect.ts';
import { type Pacer, startPacer } from '../../src/activities/pacer.ts';
import { endLease, LEASE_MS, renewLease } from '../../src/adapters/postgres/budget.ts';
import { type Database, Databases } from '../../src/adapters/postgres/database.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';
import { noted } from './throttle-room.ts';

let fresh: FreshDatabase;
let bench: EffectBench;
let app: Database;
beforeAll(async () => {
  fresh = await freshDatabase('budget');
  bench = await effectBench(fresh.url);
  app = bench.databases.get('app');
});
afterAll(async () => {
  await bench.close();
  await fresh.drop();
});

interface Paced {
  migration: string;
  step?: string;
  throttle?: Record<string, unknown>;
  parallelism?: number;
  live?: ThrottleOverride;
  databases?: Databases;
}
async function pacerOf({
  migration,
  step: id = 'fill',
  throttle = {},
  parallelism = 1,
  live,
  databases,
}: Paced): Promise<Pacer> {
  const step = stepKinds.backfill.parse({
    id,
    uses: 'backfill',
    database: 'app',
    table: 'people',
    set: { a: '1' },
    parallelism,
    throttle,
  });
  const input = bench.input(step, { run: bench.run({ migration }), throttle: live ?? null });
  const table = { database: 'app', schema: 'public', table: 'people' };
  const pacer = await startPacer(input, table, bench.context(databases && { databases }));
  onTestFinished(() => pacer.close());
  return pacer;
}
const leases = async (): Promise<string[]> =>
  (await app.query('SELECT migration FROM switchback.budget ORDER BY 1')).map((row) => row['migration'] ?? '');
const owner = (migration: string) => ({ run: bench.run({ migration }), step: 'fill' });

test('two migrations in one database each go at half speed and say so; who ends gives its part back', async () => {
  const first = await pacerOf({ migration: 'split-name', throttle: { maxRowsPerSecond: 1_000 } });
  expect(first.now()).toMatchObject({ rest: 0, rowsPerSecond: 1_000, note: 'capped at 1,000 rows/s' });
  const second = await pacerOf({ migration: 'rename-column' });
  expect(second.now()).toMatchObject({ rest: 1, note: 'shares app with migration split-name: half speed' });
  expect(await noted(first, /shares/)).toBe(
    'shares app with migration rename-column: half speed; capped at 1,000 rows/s',
  );
  expect(first.now()).toMatchObject({ rest: 1, rowsPerSecond: 500 });
  const third = await pacerOf({ migration: 'split-name', step: 'other' });
  expect(third.now().rest).toBeCloseTo(2);
  expect(third.now().note).toBe('shares app with migration rename-column, step fill: a third of the speed');
  await third.close();
  await second.close();
  await noted(first, /^capped at 1,000 rows\/s$/);
  expect(first.now()).toMatchObject({ rest: 0, rowsPerSecond: 1_000 });
  await first.close();
  expect(await leases()).toEqual([]);
});

test('who has crashed gives its part back when its lease is over', async () => {
  await renewLease(app, owner('crashed'), { parallelism: 1, moving: true });
  // As its last renewal leaves it some seconds later.
  await app.query("UPDATE switchback.budget SET lease_until = clock_timestamp() + interval '500 ms'");
  const pacer = await pacerOf({ migration: 'alive' });
  expect(pacer.now().note).toBe('shares app with migration crashed: half speed');
  await noted(pacer, null);
  expect(pacer.now()).toMatchObject({ rest: 0 });
  expect(LEASE_MS).toBeGreaterThan(2_000);
  await endLease(app, owner('crashed'));
});

test('who stands still keeps its lease and leaves its part to the others; who is fenced takes none', async () => {
  await renewLease(app, owner('standing'), { parallelism: 4, moving: false });
  expect((await pacerOf({ migration: 'moving' })).now()).toMatchObject({ rest: 0, note: null });
  const newer = { run: bench.run({ migration: 'fenced', generation: 2 }), step: 'fill' };
  await renewLease(app, newer, { parallelism: 1, moving: false });
  await renewLease(app, owner('fenced'), { parallelism: 1, moving: true });
  await endLease(app, owner('fenced'));
  expect(await app.query("SELECT generation, moving FROM switchback.budget WHERE migration = 'fenced'")).toEqual([
    { generation: '2', moving: 'f' },
  ]);
});

test('the cap of a database is shared by all; a plan only lowers it', async () => {
  const databases = new Databases({ app: { url: fresh.url, throttle: { maxRowsPerSecond: 900 } } });
  onTestFinished(() => databases.close());
  const first = await pacerOf({ migration: 'greedy', throttle: { maxRowsPerSecond: 5_000 }, databases });
  expect(first.now()).toMatchObject({ rowsPerSecond: 900, note: 'capped at 900 rows/s' });
  const second = await pacerOf({ migration: 'modest', throttle: { maxRowsPerSecond: 100 }, databases });
  expect(second.now()).toMatchObject({ rowsPerSecond: 50 });
  await noted(first, /shares/);
  expect(first.now()).toMatchObject({ rowsPerSecond: 450 });
});

test('gentle: smallest chunks, one at a time, and at least as much rest as work; live or by the plan', async () => {
  const gentle = {
    parallelism: 1,
    chunkRows: 100,
    note: 'gentle: small chunks, one at a time, and longer rests than work',
  };
  const byPlan = await pacerOf({ migration: 'by-plan', throttle: { gentle: true }, parallelism: 4 });
  expect(byPlan.now()).toMatchObject(gentle);
  expect(byPlan.now().rest).toBeGreaterThanOrEqual(1);
  await byPlan.close();
  const live = { rowsPerSecond: null, parallelism: null, gentle: true };
  expect((await pacerOf({ migration: 'live', parallelism: 4, live })).now()).toMatchObject(gentle);
});

test('a live throttle counts more than the plan, field by field', async () => {
  const plan = { throttle: { maxRowsPerSecond: 10 }, parallelism: 2 };
  const live = { rowsPerSecond: 700, parallelism: null, gentle: null };
  expect((await pacerOf({ migration: 'over', ...plan, live })).now()).toMatchObject({
    rowsPerSecond: 700,
    parallelism: 2,
    rest: 0,
  });
});
