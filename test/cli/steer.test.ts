import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test, vi } from 'vitest';
import type { Status } from '../../src/messages/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { type CliOptions, type CliResult, runCli, testFolder, writeFile } from './run-cli.ts';

// A test is a dozen processes, each of which loads its modules anew.
vi.setConfig({ testTimeout: 240_000 });

/** A command line that finds the engine's Temporal, task queue and ledger as one that people use would. */
async function commandLine(options: Parameters<typeof startEngine>[0] = {}) {
  const engine = await startEngine(options);
  const folder = testFolder();
  const { ledger, databases, taskQueue } = engine.config;
  const config = writeFile(folder, 'config.yaml', {
    taskQueue,
    ledger,
    databases: Object.fromEntries(Object.entries(databases).map(([name, { url }]) => [name, { url }])),
  });
  const env = { TEMPORAL_ADDRESS: engine.config.temporal?.address };
  const cli = (args: readonly string[], more: CliOptions = {}): Promise<CliResult> =>
    runCli([...args, '--config', config], { env, cwd: folder, ...more });
  return { engine, folder, cli };
}
const gatedPlan = (engine: Engine, base: string) =>
  planOf(engine.name(base), [
    { name: 'one', steps: [{ id: 'rest', uses: 'wait', for: '100ms' }] },
    { name: 'two', steps: [{ id: 'ask', uses: 'approval', roles: ['dba'] }] },
  ]);
const gateIsOpen = (status: Status): boolean => status.gates.some(({ state }) => state === 'open');

test('start, list, status, approve, watch and report carry one migration from start to end', async () => {
  const { engine, folder, cli } = await commandLine({ approvers: { dba: ['ana@example.com'] } });
  const plan = gatedPlan(engine, 'steered');
  const { name } = plan.metadata;
  const path = writeFile(folder, 'plan.json', plan);

  const started = await cli(['start', path, '--as', 'dev@example.com', '--json']);
  expect(JSON.parse(started.stdout)).toMatchObject({
    name,
    started: true,
    workflowId: `migration/${name}`,
    result: null,
  });
  expect(started.code).toBe(0);
  await untilStatus(engine.switchback.handle(name), gateIsOpen);

  const again = await cli(['start', path]);
  expect(again.stdout).toContain(`"${name}" runs already, with this very plan; nothing was started`);
  expect(again.code).toBe(0);

  const status = await cli(['status', name]);
  expect(status.stdout).toContain(`${name} v1  awaiting-approval`);
  expect(status.stdout).toContain(`approve ${name} two/ask --as you@example.com`);
  const asJson = JSON.parse((await cli(['status', name, '--json'])).stdout) as Status;
  expect(asJson).toMatchObject({
    name,
    version: 1,
    status: 'awaiting-approval',
    source: 'workflow',
    requestedBy: 'dev@example.com',
  });
  expect(asJson.gates).toMatchObject([{ gate: 'two/ask', phase: 'two', state: 'open', roles: ['dba'] }]);

  const refused = await cli(['approve', name, '--as', 'eve@example.com']);
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toMatch(/^refused: .*eve@example\.com/);

  const watching = cli(['watch', name, '--json']);
  const approved = await cli([
    'approve',
    name,
    'two/ask',
    '--as',
    'ana@example.com',
    '--comment',
    'fine by me',
    '--json',
  ]);
  expect(JSON.parse(approved.stdout)).toMatchObject({ accepted: true, via: 'update' });
  expect(approved.code).toBe(0);

  const watched = await watching;
  expect(watched).toMatchObject({ code: 0, stderr: '' });
  const seen = watched.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Status);
  expect(seen.at(-1)).toMatchObject({ name, status: 'completed' });

  const late = await cli(['abort', name, '--as', 'ana@example.com']);
  expect(late.stderr).toContain(`refused: "${name}" is over (completed): there is nothing to decide`);
  expect(late.code).toBe(2);

  const report = await cli(['report', name]);
  expect(report.stdout).toContain(`# ${name} version 1 completed`);
  expect(report.stdout).toMatch(/\| approved \| ana@example\.com \| .*fine by me/);
  expect(report.code).toBe(0);
  expect(await cli(['report', name, '--html', 'report.html'])).toMatchObject({ code: 0 });
  expect(readFileSync(join(folder, 'report.html'), 'utf8')).toContain('fine by me');

  await expect
    .poll(
      async () =>
        (JSON.parse((await cli(['list', '--json'])).stdout) as { name: string; status: string }[]).find(
          (one) => one.name === name,
        ),
      {
        timeout: 20_000,
      },
    )
    .toMatchObject({ status: 'completed', owner: 'team-test', version: 1 });

  const once = await cli(['start', path]);
  expect(once.stdout).toContain('there is nothing to do');
  expect(once.code).toBe(0);
});

test('start --watch tells each change in a line, and ends with 1 when the migration was rolled back', async () => {
  const { engine, folder, cli } = await commandLine({ databases: ['app'] });
  const never = { sql: { database: 'app', query: 'select 1', max: 0 }, every: '100ms', deadline: '500ms' } as const;
  const plan = planOf(engine.name('doomed'), [
    { name: 'one', steps: [{ id: 'hopeless', uses: 'check', name: 'one is none', ...never }] },
  ]);
  const { code, stdout, stderr } = await cli(['start', writeFile(folder, 'plan.json', plan), '--watch']);
  expect(stderr).toContain(`started "${plan.metadata.name}"`);
  const lines = stdout.trimEnd().split('\n');
  for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ \S/);
  expect(stdout).toContain('step hopeless (check): running');
  expect(stdout).toContain(`${plan.metadata.name} rolled-back: `);
  expect(stdout).toContain(`report ${plan.metadata.name}`);
  expect(code).toBe(1);
});

test('Ctrl-C leaves the watch, says that the migration goes on, and it does', async () => {
  const { engine, folder, cli } = await commandLine();
  const plan = gatedPlan(engine, 'left');
  let left = false;
  const { code, stderr } = await cli(['start', writeFile(folder, 'plan.json', plan), '--watch'], {
    onOutput: (soFar, kill) => {
      if (!left && soFar.includes('two/ask')) {
        left = true;
        kill('SIGINT');
      }
    },
  });
  expect(stderr).toContain(`"${plan.metadata.name}" goes on`);
  expect(code).toBe(0);
  expect((await engine.switchback.handle(plan.metadata.name).status()).status).toBe('awaiting-approval');
});

test('a plan changed under a running migration is refused, with both digests', async () => {
  const { engine, folder, cli } = await commandLine();
  const plan = gatedPlan(engine, 'changed');
  const first = JSON.parse((await cli(['start', writeFile(folder, 'plan.json', plan), '--json'])).stdout) as {
    digest: string;
  };
  const changed = { ...plan, spec: { ...plan.spec, summary: 'something else' } };
  const { code, stderr } = await cli(['start', writeFile(folder, 'changed.json', changed), '--json']);
  const { error } = JSON.parse(stderr) as { error: { code: string; message: string; fields: { given: string } } };
  expect(error.code).toBe('PlanChanged');
  expect(error.message).toContain(first.digest);
  expect(error.message).toContain(error.fields.given);
  expect(error.fields.given).not.toBe(first.digest);
  expect(code).toBe(2);
});

test('a name that does not exist: exit 2, and the names near it', async () => {
  const { engine, folder, cli } = await commandLine();
  const plan = gatedPlan(engine, 'split-full-name');
  const { name } = plan.metadata;
  await cli(['start', writeFile(folder, 'plan.json', plan)]);
  const wrong = name.replace('full', 'ful');
  await expect
    .poll(async () => (await engine.switchback.list()).some((one) => one.name === name), { timeout: 20_000 })
    .toBe(true);
  for (const command of ['status', 'approve', 'pause', 'watch']) {
    const { code, stderr } = await cli([command, wrong]);
    expect(stderr).toContain(`error UnknownMigration: there is no migration "${wrong}"`);
    expect(stderr).toContain(`hint: did you mean "${name}"`);
    expect(code).toBe(2);
  }
});

describe('without a worker', () => {
  test('status comes from the ledger, a decision is left with Temporal, and it counts when a worker is back', async () => {
    const { engine, folder, cli } = await commandLine();
    const plan = gatedPlan(engine, 'alone');
    const { name } = plan.metadata;
    await cli(['start', writeFile(folder, 'plan.json', plan)]);
    const handle = engine.switchback.handle(name);
    await untilStatus(handle, gateIsOpen);
    await engine.stopWorker();

    const status = JSON.parse((await cli(['status', name, '--json'])).stdout) as Status;
    expect(status).toMatchObject({ name, source: 'ledger' });

    const paused = await cli(['pause', name, '--as', 'ana@example.com', '--json']);
    expect(JSON.parse(paused.stdout)).toMatchObject({ accepted: true, via: 'signal' });
    expect(paused.code).toBe(0);

    await engine.restartWorker();
    expect(await untilStatus(handle, (now) => now.status === 'paused')).toMatchObject({ source: 'workflow' });
  });

  test('a status that nobody can tell: exit 3, the task queue, what to start', async () => {
    const { engine, folder, cli } = await commandLine();
    const plan = gatedPlan(engine, 'unheard');
    await engine.stopWorker();
    await cli(['start', writeFile(folder, 'plan.json', plan)]);
    const { code, stderr } = await cli(['status', plan.metadata.name]);
    expect(stderr).toContain(
      `error NoAnswer: "${plan.metadata.name}" runs, but no worker on task queue "${engine.config.taskQueue}" answers`,
    );
    expect(stderr).toContain('switchback worker');
    expect(code).toBe(3);
  });
});

test('throttle of an unknown step is refused, with the steps that there are', async () => {
  const { engine, folder, cli } = await commandLine();
  const plan = gatedPlan(engine, 'paced');
  await cli(['start', writeFile(folder, 'plan.json', plan)]);
  const { code, stderr } = await cli(['throttle', plan.metadata.name, 'nope', '--gentle', '--as', 'ana@example.com']);
  expect(stderr).toMatch(/^refused: there is no step "nope"; there are: rest, ask/);
  expect(code).toBe(2);
});
