import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { startEngine, untilStatus } from './harness/engine.ts';
import { expandAndMigrate, makeUsers, splitPlan } from './harness/names.ts';
import { servers } from './harness/servers.ts';
import { type LogLine, startWorkerProcess, type WorkerProcess } from './harness/worker-process.ts';

const by = 'ana@example.com';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}
/** Answers with its exit code and its log so far. */
async function stopped(worker: WorkerProcess): Promise<{ code: number | null; lines: LogLine[] }> {
  const exit = once(worker.process, 'exit');
  worker.process.kill('SIGTERM');
  const [code] = (await exit) as [number | null];
  return { code, lines: worker.lines() };
}

test('SIGTERM in mid-backfill lets a chunk finish: exit code 0, nothing done twice, and each line says whose it is', {
  timeout: 120_000,
}, async () => {
  const engine = await startEngine({ databases: ['app'] });
  await engine.stopWorker();
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', 6_000);
  await app.query('CREATE TABLE public.done (id bigint NOT NULL)');
  await app.query(`CREATE FUNCTION public.count_done() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO public.done VALUES (new.id); RETURN NULL; END$$`);
  await app.query(
    'CREATE TRIGGER count_done AFTER UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.count_done()',
  );
  const port = await freePort();
  const away = { ...servers().unleash, url: 'http://127.0.0.1:1' };
  const first = await startWorkerProcess({ ...engine.config, unleash: away, health: { host: '127.0.0.1', port } });
  const health = await fetch(`http://127.0.0.1:${port}/health`);
  expect([health.status, await health.json()]).toEqual([200, { state: 'RUNNING', pid: first.process.pid }]);
  expect((await fetch(`http://127.0.0.1:${port}/other`)).status).toBe(404);

  const name = engine.name('term');
  const plan = splitPlan(
    name,
    expandAndMigrate({ chunk: { rows: 200, fixed: true }, throttle: { maxRowsPerSecond: 400 } }),
  );
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await engine.client.workflow.getHandle(`migration/${name}`).signal('nonsense', 1);
  await untilStatus(handle, (status) => (status.phases[2]?.steps[0]?.progress?.done ?? 0) > 500);
  const { runId } = await engine.client.workflow.getHandle(`migration/${name}`).describe();
  const { code, lines } = await stopped(first);
  expect(code).toBe(0);
  const messages = lines.map((line) => line['msg']);
  expect(messages).toEqual(expect.arrayContaining(['worker is running', 'shutting down', 'worker has stopped']));

  // An Unleash that isn't there is told at the start, and no step here needs it.
  expect(lines).toContainEqual(
    expect.objectContaining({
      level: 40,
      code: 'UnleashUnreachable',
      msg: expect.stringContaining("Unleash at http://127.0.0.1:1 can't be reached"),
    }),
  );

  const whose = { migration: name, workflowId: `migration/${name}`, runId, service: 'switchback-worker' };
  expect(lines.find((line) => line['msg'] === 'interrupted')).toMatchObject({
    ...whose,
    phase: 'migrate',
    step: 'fill',
    attempt: 1,
  });
  // The workflow's own lines: what happened, and what was refused.
  const done = lines.find((line) => line['event'] === 'step-done' && line['step'] === 'columns');
  expect(done).toMatchObject({ ...whose, phase: 'expand', attempt: 1 });
  expect(lines.find((line) => line['event'] === 'refused')).toMatchObject(whose);
  for (const line of lines.filter((one) => one['activityId'] !== undefined || one['event'] !== undefined)) {
    expect(line).toMatchObject(whose);
    expect(line['attempt']).toEqual(expect.any(Number));
  }

  const second = await startWorkerProcess({ ...engine.config, unleash: servers().unleash });
  await handle.throttle('fill', { by, rowsPerSecond: 100_000 });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const [row] = await app.query('SELECT count(*)::text AS times, count(DISTINCT id)::text AS rows FROM public.done');
  expect(row).toEqual({ times: '6000', rows: '6000' });
  const end = await stopped(second);
  expect(end.code).toBe(0);
  expect(end.lines).toContainEqual(
    expect.objectContaining({ msg: 'Unleash answers', version: expect.stringMatching(/^7\./) }),
  );
  await app.close();
});

/** Runs a worker that can't start. */
function failing(config: unknown, env: Record<string, string> = {}): { status: number | null; last: LogLine } {
  const file = join(mkdtempSync(join(tmpdir(), 'switchback-worker-')), 'switchback.config.yaml');
  writeFileSync(file, JSON.stringify(config));
  const { status, stdout } = spawnSync(process.execPath, [resolve('src/worker/main.ts'), '--config', file], {
    env: { ...process.env, TEMPORAL_ADDRESS: servers().temporal.address, ...env },
    encoding: 'utf8',
    timeout: 50_000,
  });
  return { status, last: JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as LogLine };
}

test('a worker that can not start says why in one line, with an exit code, and never a password', async () => {
  const url = 'postgres://someone:hunter2@127.0.0.1:9/none';
  const config = { ledger: 'home', databases: { home: { url } }, health: { port: 0 } };
  const cases = [
    [{ ...config, ledger: 'elsewhere' }, {}, 2, { code: 'ConfigInvalid', msg: expect.stringContaining('ledger') }],
    [{ ...config, databses: {} }, {}, 2, { code: 'ConfigInvalid', msg: expect.stringContaining('databses') }],
    [config, {}, 3, { code: 'DatabaseUnreachable', msg: expect.stringContaining('127.0.0.1:9') }],
    [
      config,
      { TEMPORAL_ADDRESS: '127.0.0.1:9' },
      3,
      { code: 'TemporalUnreachable', msg: expect.stringContaining('127.0.0.1:9') },
    ],
    [config, { TEMPORAL_NAMESPACE: 'nowhere' }, 2, { code: 'ConfigInvalid', msg: expect.stringContaining('nowhere') }],
  ] as const;
  for (const [given, env, exit, says] of cases) {
    const { status, last } = failing(given, env);
    expect(last).toMatchObject({ ...says, hint: expect.any(String) });
    expect(status).toBe(exit);
    expect(JSON.stringify(last)).not.toContain('hunter2');
  }
});
