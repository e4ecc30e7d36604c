import { type ExecFileOptions, execFile } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SwitchbackError } from '../messages/index.ts';
import { cleanEnvironment } from './environment.ts';
import { keeping } from './keeping.ts';
import { tryLock } from './lock.ts';

/** The newest CLI that `go install` can build (later ones have a `replace` in go.mod): server 1.29.1, UI 2.42.1. */
const VERSION = '1.5.1';
const MODULE = `github.com/temporalio/cli/cmd/temporal@v${VERSION}`;
const SUFFIX = process.platform === 'win32' ? '.exe' : '';
const VERSION_MAX_MS = 10_000;
const DOWNLOAD_HOST = 'https://temporal.download';
const DOWNLOAD_PROBE_MS = 3_000;
const DOWNLOAD_MAX_MS = 120_000;
const BUILD_MAX_MS = 900_000;
const BUILD_SAYS_EVERY_MS = 10_000;
const LOCK_POLL_MS = 500;
const run = promisify(execFile);

export type Say = (line: string) => void;

/** Where the one binary is cached: outside node_modules, so that `npm ci` doesn't throw it away. */
function cacheDirectory(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'switchback');
}

/**
 * The Temporal CLI with its server, from the first of: PATH, our cache, the SDK's download, a build with Go. The last
 * two fill the cache, one process at a time.
 *
 * @throws SwitchbackError ConfigInvalid that says what to install, where none of them works
 */
export async function findTemporal(say: Say): Promise<string> {
  if (await works('temporal')) return 'temporal';
  const cached = join(cacheDirectory(), `temporal-${VERSION}${SUFFIX}`);
  if (await works(cached)) return cached;
  await mkdir(cacheDirectory(), { recursive: true });
  return withLock(`${cached}.lock`, say, async () => {
    if (await works(cached)) return cached;
    const why: string[] = [];
    for (const get of [download, build]) {
      const failed = await get(cached, say);
      if (failed !== null) why.push(failed);
      else if (await works(cached)) return cached;
      else why.push(`${cached} does not run`);
    }
    throw new SwitchbackError('ConfigInvalid', `no Temporal server was found: ${why.join('; ')}`, {
      hint:
        'install the Temporal CLI (https://docs.temporal.io/cli) so that `temporal` is on PATH, or Go 1.24 or later, ' +
        'or set TEMPORAL_ADDRESS to a server that runs',
    });
  });
}

async function works(command: string): Promise<boolean> {
  try {
    const { stdout } = await run(command, ['--version'], { timeout: VERSION_MAX_MS });
    return stdout.includes('temporal');
  } catch {
    return false;
  }
}

/** Lets the SDK (package `@temporalio/testing`) download the CLI. Returns null, or why it could not. */
async function download(cached: string, say: Say): Promise<string | null> {
  let testing: string;
  try {
    testing = createRequire(import.meta.url).resolve('@temporalio/testing');
  } catch {
    return 'the package @temporalio/testing, which could download it, is not installed';
  }
  try {
    const probe = await fetch(DOWNLOAD_HOST, { method: 'HEAD', signal: AbortSignal.timeout(DOWNLOAD_PROBE_MS) });
    // A proxy that refuses the host also answers; the server itself redirects or answers with a page.
    if (probe.status === 403 || probe.status === 407 || probe.status >= 500) throw new Error(String(probe.status));
  } catch {
    return `${DOWNLOAD_HOST}, from which the SDK downloads it, can't be reached`;
  }
  say('downloading the Temporal CLI once…');
  const dir = await mkdtemp(`${cached}.download-`);
  try {
    // In a process of its own: the SDK's runtime can't be configured any more once it was used, and this can be ended.
    const script =
      'const [testing, version, downloadDir] = process.argv.slice(1);' +
      "const server = { executable: { type: 'cached-download', version, downloadDir } };" +
      'require(testing).TestWorkflowEnvironment.createLocal({ server }).then((env) => env.teardown());';
    await runKept(process.execPath, ['-e', script, testing, `v${VERSION}`, dir], {
      timeout: DOWNLOAD_MAX_MS,
      env: cleanEnvironment(),
    });
    const [file] = await readdir(dir);
    if (file === undefined) return 'the SDK downloaded nothing';
    await chmod(join(dir, file), 0o755);
    await rename(join(dir, file), cached);
    return null;
  } catch (error) {
    return `the SDK's download failed (${firstLine(error)})`;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

/** Builds the CLI with Go into a directory of its own, then moves it into the cache. Returns null, or why it could not. */
async function build(cached: string, say: Say): Promise<string | null> {
  try {
    await run('go', ['version'], { timeout: VERSION_MAX_MS });
  } catch {
    return 'Go, which could build it, is not on PATH';
  }
  const dir = await mkdtemp(`${cached}.build-`);
  const startedAt = Date.now();
  const saying = setInterval(() => {
    say(`building the Temporal CLI once, about 3 minutes… ${Math.round((Date.now() - startedAt) / 1000)} s`);
  }, BUILD_SAYS_EVERY_MS);
  try {
    say('building the Temporal CLI once, about 3 minutes…');
    // Go needs its own settings (GOPROXY, GOFLAGS, certificates), so it gets the whole environment.
    await runKept('go', ['install', MODULE], {
      timeout: BUILD_MAX_MS,
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, GOBIN: dir },
    });
    await rename(join(dir, `temporal${SUFFIX}`), cached);
    return null;
  } catch (error) {
    return `go install failed (${firstLine(error)})`;
  } finally {
    clearInterval(saying);
    await rm(dir, { recursive: true, force: true });
  }
}

/** Runs a command that takes minutes, which ends too when this process is killed. */
async function runKept(command: string, args: readonly string[], options: ExecFileOptions): Promise<void> {
  const running = run(command, args, options);
  const { pid } = running.child;
  if (pid !== undefined) keeping.add(pid, 'SIGTERM');
  try {
    await running;
  } finally {
    if (pid !== undefined) keeping.remove(pid);
  }
}

const firstLine = (error: unknown): string => {
  const { stderr, message } = error as { stderr?: string; message?: string };
  return (stderr?.trim() || message || String(error)).split('\n', 1)[0] ?? '';
};

/** Runs `work` while no other process does; waits for one that does. */
async function withLock<T>(file: string, say: Say, work: () => Promise<T>): Promise<T> {
  let told = false;
  for (;;) {
    const lock = tryLock(file);
    if (lock.held) {
      try {
        return await work();
      } finally {
        lock.release();
      }
    }
    if (!told) say('another process is getting the Temporal CLI; waiting for it…');
    told = true;
    await delay(LOCK_POLL_MS);
  }
}
