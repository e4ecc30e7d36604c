import { expect, test, vi } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { readSchema } from '../../src/adapters/postgres/schema-snapshots.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import type { LiveCheck } from '../../src/client/index.ts';
import { runCli, testFolder, writeFile } from '../cli/run-cli.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';

vi.setConfig({ testTimeout: 120_000 });

const by = 'ana@example.com';
/** Adds a column, then waits for a person, so that a test can look at it in between. */
const twoPhases = (engine: Engine, base: string, baseState?: Record<string, string>): PlanInput =>
  planOf(
    engine.name(base),
    [
      {
        name: 'one',
        steps: [{ id: 'add', uses: 'ddl', database: 'app', up: `ALTER TABLE people ADD COLUMN "${base} é" text` }],
      },
      { name: 'two', steps: [{ id: 'ask', uses: 'approval' }] },
    ],
    baseState === undefined ? {} : { baseState },
  );

async function room() {
  const engine = await startEngine({ databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  await app.query('CREATE TABLE public.people (id bigint PRIMARY KEY, name text)');
  const folder = testFolder();
  const { ledger, databases, taskQueue } = engine.config;
  const config = writeFile(folder, 'config.yaml', { taskQueue, ledger, databases });
  const env = { TEMPORAL_ADDRESS: engine.config.temporal?.address };
  return {
    engine,
    app,
    cli: (verb: string, plan: PlanInput, ...more: string[]) =>
      runCli([verb, writeFile(folder, 'plan.json', plan), '--config', config, ...more], { env, cwd: folder }),
  };
}

test('check prints the digest, a start on another schema is refused with what differs, nothing is left of it', async () => {
  const { engine, app, cli } = await room();
  const checked = await cli('check', twoPhases(engine, 'first'), '--json');
  const { live } = JSON.parse(checked.stdout) as { live: LiveCheck };
  const digest = live.schemas['app'] ?? '';
  expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/);
  expect((await readSchema(app)).digest).toBe(digest);

  await app.query(`ALTER TABLE public.people ADD COLUMN nick text, ALTER COLUMN name SET NOT NULL;
    CREATE TABLE public."Straße" (id int, "x y" int)`);
  const plan = twoPhases(engine, 'second', { app: digest });
  const live2 = await cli('check', plan);
  expect(live2.code).toBe(2);
  expect(live2.stdout).toContain('column "public.people.nick" (text) was created');

  for (const options of [[], ['--watch']]) {
    const refused = await cli('start', plan, ...options);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(`app: the schema has changed since ${digest}`);
    expect(refused.stderr).toContain('\n  column "public.people.nick" (text) was created\n');
    expect(refused.stderr).toContain('\n  column "public.people.name": not null no → yes\n');
    expect(refused.stderr).toContain('\n  table "public.Straße" was created');
  }
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  expect(await home.query('SELECT migration FROM switchback.migrations')).toEqual([]);
  expect(await app.query("SELECT nspname FROM pg_namespace WHERE nspname = 'switchback'")).toEqual([]);
  await home.close();

  const never = `sha256:${'0'.repeat(64)}`;
  const unknown = await engine.switchback.start(twoPhases(engine, 'third', { app: never }), { requestedBy: by });
  const message = `the plan names ${never}, which isn't known here`;
  await expect(unknown.result()).rejects.toMatchObject({
    code: 'BaseStateDiffers',
    message: expect.stringContaining(message) as string,
  });
  await app.close();
});

test('only the first start of a version and epoch is compared: neither another run of it nor what it changes itself', async () => {
  const { engine, app, cli } = await room();
  const { digest } = await readSchema(app);
  const plan = twoPhases(engine, 'again', { app: digest });
  const started = await cli('start', plan, '--json');
  expect(JSON.parse(started.stdout)).toMatchObject({ started: true, result: null });
  const handle = engine.switchback.handle(plan.metadata.name);
  const waits = () => untilStatus(handle, (status) => status.gates.some(({ state }) => state === 'open'));
  await waits();
  expect((await readSchema(app)).digest).not.toBe(digest);

  // Lost by Temporal, and started again: it goes on.
  await engine.client.workflow.getHandle(`migration/${plan.metadata.name}`).terminate('lost');
  await engine.switchback.start(plan, { requestedBy: by });
  expect((await waits()).epoch).toBe(1);
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });

  // Back as before: a new epoch may start. Changed meanwhile: it may not.
  expect((await readSchema(app)).digest).toBe(digest);
  await app.query('ALTER TABLE public.people ADD COLUMN nick text');
  const refused = await engine.switchback.start(plan, { requestedBy: by });
  await expect(refused.result()).rejects.toMatchObject({ code: 'BaseStateDiffers' });
  await app.query('ALTER TABLE public.people DROP COLUMN nick');
  await engine.switchback.start(plan, { requestedBy: by });
  expect((await waits()).epoch).toBe(2);
  await handle.approve({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  await app.close();
});
