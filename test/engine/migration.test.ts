import { expect, test } from 'vitest';
import type { PlanInput } from '../../src/plan/index.ts';
import { isEnd } from '../../src/messages/index.ts';
import { startEngine, untilStatus } from '../harness/engine.ts';
import { expandAndMigrate, makeUsers, splitPlan } from '../harness/names.ts';
import { snapshotOf } from '../harness/snapshot.ts';
import { servers } from '../harness/servers.ts';
import { startWorkerProcess } from '../harness/worker-process.ts';

const by = 'ana@example.com';
type Phase = PlanInput['spec']['phases'][number];
const rollout = (flag: string, bake = '500ms'): Phase => ({
  name: 'rollout',
  steps: [{ id: 'ramp', uses: 'rollout', flag, ramp: [5, 25, 100].map((percent) => ({ percent, bake })) }],
});
const contract: Phase = {
  name: 'contract',
  steps: [{ id: 'retire', uses: 'retire', database: 'app', column: 'users.full_name' }],
};

/** A flag's state as the Admin API tells it; null where there is no such flag. */
async function flagState(flag: string): Promise<unknown> {
  const { url, adminToken } = servers().unleash;
  const answer = await fetch(`${url}/api/admin/projects/default/features/${flag}`, {
    headers: { authorization: adminToken },
  });
  if (answer.status === 404) return null;
  const { environments } = (await answer.json()) as {
    environments: { name: string; enabled: boolean; strategies: unknown[] }[];
  };
  return environments.map(({ name, enabled, strategies }) => ({ name, enabled, strategies }));
}

test('up to the end under writes, and the same plan again has nothing to do', {
  timeout: 240_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'], unleash: true });
  const url = engine.config.databases['app']?.url ?? '';
  const app = await makeUsers(url, 5_000);
  const before = await snapshotOf(url);
  const name = engine.name('split');
  const plan = splitPlan(name, [...expandAndMigrate(), rollout(engine.name('flag')), contract]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  // A client writes all the while, the old way.
  let writing = true;
  const writes = (async () => {
    for (let id = 1; writing; id = (id % 5_000) + 1) {
      await app.query(`UPDATE public.users SET full_name = full_name || '!' WHERE id = $1`, [id]);
      await new Promise((done) => setImmediate(done));
    }
  })();
  await untilStatus(handle, (status) => status.phases.find((phase) => phase.name === 'rollout')?.state === 'running');
  writing = false;
  await writes;
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const [row] = await app.query(
    `SELECT count(*)::text AS rows, count(*) FILTER (WHERE given_name IS NULL)::text AS empty FROM public.users`,
  );
  expect(row).toEqual({ rows: '5000', empty: '0' });
  const columns = await app.query(
    `SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname = 'full_name'`,
  );
  expect(columns).toEqual([]);
  expect(JSON.stringify(await flagState(engine.name('flag')))).toContain('"rollout":"100"');
  const again = await engine.switchback.start(plan, { requestedBy: by });
  expect(await again.result()).toMatchObject({ outcome: 'nothing-to-do' });
  expect(await snapshotOf(url)).not.toEqual(before);
  await app.close();
});

test('abort in mid-backfill: schema as it was, and up, down, up again is three effects', {
  timeout: 240_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'] });
  const url = engine.config.databases['app']?.url ?? '';
  const app = await makeUsers(url, 4_000);
  const before = await snapshotOf(url);
  const name = engine.name('abort');
  const plan = splitPlan(name, [
    ...expandAndMigrate({ chunk: { rows: 100, fixed: true }, throttle: { maxRowsPerSecond: 500 } }),
    contract,
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => (status.phases[2]?.steps[0]?.progress?.done ?? 0) > 0);
  expect(await handle.abort({ by, comment: 'enough' })).toMatchObject({ accepted: true });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await snapshotOf(url)).toEqual(before);

  const again = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(again, (status) => status.phases[2]?.steps[0]?.state === 'running');
  expect(await again.throttle('fill', { by, rowsPerSecond: 1_000_000 })).toMatchObject({ accepted: true });
  expect(await again.result()).toMatchObject({ outcome: 'completed' });
  expect(await again.status()).toMatchObject({ epoch: 2 });
  await app.close();
});

test('abort in mid-rollout: schema and flag as they were', { timeout: 240_000 }, async () => {
  const engine = await startEngine({ databases: ['app'], unleash: true });
  const url = engine.config.databases['app']?.url ?? '';
  const app = await makeUsers(url, 1_000);
  const before = await snapshotOf(url);
  const flag = engine.name('flag');
  const handle = await engine.switchback.start(
    splitPlan(engine.name('abort'), [...expandAndMigrate(), rollout(flag, '60s')], {
      flags: { [flag]: { propagation: '100ms' } },
    }),
    { requestedBy: by },
  );
  await untilStatus(handle, (status) => status.phases[3]?.steps[0]?.note?.includes('bakes') === true);
  expect(await flagState(flag)).not.toBeNull();
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await snapshotOf(url)).toEqual(before);
  expect(await flagState(flag)).toBeNull();
  await app.close();
});

test('SIGKILL of the worker in mid-backfill: another one takes over and every row is done once', {
  timeout: 240_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'] });
  await engine.stopWorker();
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', 6_000);
  // Counts every time that a row's marker or names change: the audit of the test.
  await app.query(`CREATE TABLE public.done (id bigint NOT NULL)`);
  await app.query(`CREATE FUNCTION public.count_done() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.done VALUES (new.id); RETURN NULL; END$$`);
  await app.query(
    `CREATE TRIGGER count_done AFTER UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.count_done()`,
  );
  const worker = await startWorkerProcess(engine.config);
  const plan = splitPlan(
    engine.name('kill'),
    expandAndMigrate({ chunk: { rows: 200, fixed: true }, throttle: { maxRowsPerSecond: 1_500 } }),
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, (status) => (status.phases[2]?.steps[0]?.progress?.done ?? 0) > 500);
  worker.process.kill('SIGKILL');
  await startWorkerProcess(engine.config);
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const [row] = await app.query(`SELECT count(*)::text AS times, count(DISTINCT id)::text AS rows FROM public.done`);
  expect(row).toEqual({ times: '6000', rows: '6000' });
  await app.close();
});

test('two migrations on the same table: the second waits, says for whom, then runs', { timeout: 240_000 }, async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', 100);
  const first = engine.name('first');
  const holding = await engine.switchback.start(
    splitPlan(first, [
      {
        name: 'one',
        approval: 'after',
        steps: [{ id: 'a', uses: 'ddl', database: 'app', up: 'ALTER TABLE users ADD COLUMN a text' }],
      },
    ]),
    { requestedBy: by },
  );
  await untilStatus(holding, (status) => status.status === 'awaiting-approval');
  const waiting = await engine.switchback.start(
    splitPlan(engine.name('second'), [
      { name: 'one', steps: [{ id: 'b', uses: 'ddl', database: 'app', up: 'ALTER TABLE users ADD COLUMN b text' }] },
    ]),
    { requestedBy: by },
  );
  const seen = await untilStatus(waiting, (status) => status.status === 'waiting');
  expect(seen.waitingFor).toContain(first);
  expect(seen.waitingFor).toContain('app.public.users');
  await holding.approve({ by });
  expect(await holding.result()).toMatchObject({ outcome: 'completed' });
  expect(await waiting.result()).toMatchObject({ outcome: 'completed' });
  expect(isEnd((await waiting.status()).status)).toBe(true);
  await app.close();
});
