import { expect, test } from 'vitest';
import { isEnd } from '../../src/messages/index.ts';
import { startEngine, untilStatus } from '../harness/engine.ts';
import { expandAndMigrate, makeUsers, splitPlan } from '../harness/names.ts';
import { startWorkerProcess } from '../harness/worker-process.ts';

const by = 'ana@example.com';

test('must pass 13. a worker process that is stopped, and wakes up when a new run has taken over, writes nothing', {
  timeout: 120_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'] });
  await engine.stopWorker();
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', 2_000);
  await app.query(`CREATE TABLE public.done (id bigint NOT NULL, pid int NOT NULL)`);
  await app.query(`CREATE FUNCTION public.count_done() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.done VALUES (new.id, pg_backend_pid()); RETURN NULL; END$$`);
  await app.query(
    `CREATE TRIGGER count_done AFTER UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.count_done()`,
  );
  const frozen = await startWorkerProcess(engine.config);
  const plan = splitPlan(
    engine.name('frozen'),
    expandAndMigrate({ chunk: { rows: 100, fixed: true }, throttle: { maxRowsPerSecond: 400 } }),
  );
  const first = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(first, (status) => (status.phases[2]?.steps[0]?.progress?.done ?? 0) > 200);
  frozen.process.kill('SIGSTOP');
  await engine.client.workflow.getHandle(`migration/${engine.name('frozen')}`).terminate('by the test');
  await engine.restartWorker();
  const second = await engine.switchback.start(plan, { requestedBy: by });
  // The new generation's first write: from here on the sessions of the frozen one must write nothing.
  const pids = async () =>
    (await app.query('SELECT DISTINCT pid FROM public.done ORDER BY pid')).map((row) => row['pid'] ?? '');
  const old = await pids();
  while ((await pids()).length === old.length) await app.query('SELECT 1');
  const before = await app.query('SELECT count(*) FROM public.done WHERE pid = ANY ($1)', [old]);
  const told = frozen.lines().length;
  frozen.process.kill('SIGCONT');
  // It notices: its next slice is refused, or Temporal tells it that its run is over.
  while (frozen.lines().length === told) await app.query('SELECT 1');
  await second.throttle('fill', { by, rowsPerSecond: 1_000_000 });
  expect(await second.result()).toMatchObject({ outcome: 'completed' });
  expect(isEnd((await second.status()).status)).toBe(true);
  expect(await app.query('SELECT count(*) FROM public.done WHERE pid = ANY ($1)', [old])).toEqual(before);
  expect(await app.query('SELECT count(*) AS times, count(DISTINCT id) AS rows FROM public.done')).toEqual([
    { times: '2000', rows: '2000' },
  ]);
  expect(frozen.lines().slice(told)).toContainEqual(expect.objectContaining({ step: 'fill' }));
  await app.close();
});
