import { describe, expect, test } from 'vitest';
import { planOf } from '../harness/engine.ts';
import { servers } from '../harness/servers.ts';
import { runCli, testFolder, writeFile } from './run-cli.ts';

/** A port that nothing listens on. */
const NOWHERE = '127.0.0.1:1';
const nowhere = { env: { TEMPORAL_ADDRESS: NOWHERE } };
const goodPlan = planOf('fine', [{ name: 'one', steps: [{ id: 'rest', uses: 'wait', for: '1s' }] }]);

describe('a server that is not there', () => {
  test.concurrent.each([
    ['status', 'x'],
    ['list'],
    ['approve', 'x'],
    ['watch', 'x'],
    ['report', 'x'],
    ['release', 'x'],
  ])('%s: exit 3, the address, what to check', async (...args) => {
    const { code, stdout, stderr } = await runCli(args, nowhere);
    expect(stderr).toContain(`error TemporalUnreachable: no Temporal server answers at ${NOWHERE}`);
    expect(stderr).toMatch(/hint: .*switchback dev.*TEMPORAL_ADDRESS/);
    expect(stdout).toBe('');
    expect(code).toBe(3);
  });
  test('as JSON with --json, without a stack', async () => {
    const { code, stderr } = await runCli(['status', 'x', '--json'], nowhere);
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'TemporalUnreachable', fields: { address: NOWHERE } } });
    expect(code).toBe(3);
  });
  test('--address counts before TEMPORAL_ADDRESS', async () => {
    const { stderr } = await runCli(['list', '--address', '127.0.0.1:2'], nowhere);
    expect(stderr).toContain('127.0.0.1:2');
  });
  test('start checks the plan first, then says what is missing', async () => {
    const path = writeFile(testFolder(), 'plan.json', goodPlan);
    expect(await runCli(['start', path], nowhere)).toMatchObject({ code: 3 });
  });
  test('check says that only the file was checked, and is content with it', async () => {
    const path = writeFile(testFolder(), 'plan.json', goodPlan);
    const { code, stdout, stderr } = await runCli(['check', path], nowhere);
    expect(stdout).toContain(`${path}: fine`);
    expect(stdout).toContain(`live: not checked: no Temporal server answers at ${NOWHERE}`);
    expect(stderr).toBe('');
    expect(code).toBe(0);
  });
  test('an address that is none is wrong input', async () => {
    const { code, stderr } = await runCli(['list'], { env: { TEMPORAL_ADDRESS: 'not an address' } });
    expect(stderr).toMatch(/^error (ConfigInvalid|TemporalUnreachable): /);
    expect([2, 3]).toContain(code);
  });
});

describe('a wrong plan', () => {
  const wrong = `apiVersion: switchback/v1
kind: Migration
metadata: {name: wrong, version: 1, owner: me}
spec:
  summary: wrong
  risk: low
  phases:
    - name: one
      steps:
        - {id: a, uses: wiat, for: 1s}
`;
  test.each(['check', 'start'])('%s: exit 2 with file, line, column and what was meant', async (command) => {
    const path = writeFile(testFolder(), 'plan.yaml', wrong);
    const { code, stdout, stderr } = await runCli([command, path], nowhere);
    expect(stderr).toContain('error PlanInvalid:');
    expect(stderr).toContain(`${path}:10:25`);
    expect(stderr).toContain('did you mean "wait"?');
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
  test('as JSON, with each problem apart', async () => {
    const path = writeFile(testFolder(), 'plan.yaml', wrong);
    const { stderr } = await runCli(['check', path, '--json', '--offline']);
    expect(JSON.parse(stderr)).toMatchObject({
      error: {
        code: 'PlanInvalid',
        problems: [{ path: 'spec.phases[0].steps[0].uses', line: 10, column: 25, didYouMean: 'wait' }],
      },
    });
  });
  test('a right one checks without any server', async () => {
    const path = writeFile(testFolder(), 'plan.json', goodPlan);
    const { code, stdout } = await runCli(['check', path, '--offline', '--json'], nowhere);
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      name: 'fine',
      version: 1,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(code).toBe(0);
  });
});

describe('a wrong command line', () => {
  test('exit 2, what was wrong, what was meant; nothing on stdout', async () => {
    const { code, stdout, stderr } = await runCli(['aprove', 'x'], nowhere);
    expect(stderr).toMatch(/^error UsageInvalid: unknown command 'aprove'; did you mean approve\?\nhint: /);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });
});

describe('a wrong surrounding', () => {
  test('a configuration that is named and wrong: exit 2', async () => {
    const { code, stderr } = await runCli(['list', '--config', 'no-such-config.yaml'], nowhere);
    expect(stderr).toContain('error ConfigInvalid:');
    expect(stderr).toContain('no-such-config.yaml');
    expect(code).toBe(2);
  });
  test('a namespace that does not exist: exit 2, named', async () => {
    const { temporal } = servers();
    const { code, stderr } = await runCli(['status', 'x', '--address', temporal.address, '--namespace', 'elsewhere']);
    expect(stderr).toContain(
      `error ConfigInvalid: the Temporal server at ${temporal.address} has no namespace "elsewhere"`,
    );
    expect(code).toBe(2);
  });
});
