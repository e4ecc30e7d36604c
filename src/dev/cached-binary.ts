import { type ExecFileOptions, execFile } from 'node:child_process';
import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { keeping } from './keeping.ts';
import { tryLock } from './lock.ts';

const GO_VERSION_MAX_MS = 10_000;
const BUILD_MAX_MS = 900_000;
const BUILD_SAYS_EVERY_MS = 10_000;
const LOCK_POLL_MS = 500;
const run = promisify(execFile);

export type Say = (line: string) => void;
/** Puts the binary where it is cached. Returns null, or why it could not. */
type Way = (cached: string, say: Say) => Promise<string | null>;

interface Binary {
  /** For people: `the Temporal CLI`. */
  what: string;
  /** As it is called on PATH. */
  command: string;
  /** The file's name in the cache, with its version. */
  file: string;
  /** Whether the command there is can be run. */
  works(command: string): Promise<boolean>;
  ways: readonly Way[];
}

export const SUFFIX = process.platform === 'win32' ? '.exe' : '';

/** Where binaries are cached: outside node_modules, so that `npm ci` doesn't throw them away. */
const cacheDirectory = (): string => join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'switchback');

/**
 * A binary from the first of: PATH, our cache, the ways to get it. The ways fill the cache, one process at a time. Says
 * why where none of them works.
 */
export async function cachedBinary(binary: Binary, say: Say): Promise<{ found: string } | { why: string[] }> {
  if (await binary.works(binary.command)) return { found: binary.command };
  const cached = join(cacheDirectory(), `${binary.file}${SUFFIX}`);
  if (await binary.works(cached)) return { found: cached };
  await mkdir(cacheDirectory(), { recursive: true });
  return withLock(`${cached}.lock`, binary.what, say, async () => {
    if (await binary.works(cached)) return { found: cached };
    const why: string[] = [];
    for (const get of binary.ways) {
      const failed = await get(cached, say);
      if (failed !== null) why.push(failed);
      else if (await binary.works(cached)) return { found: cached };
      else why.push(`${cached} does not run`);
    }
    return { why };
  });
}

/**
 * Builds with Go in a directory of its own, then moves the binary into the cache.
 *
 * @param command what makes `output`, a path below that directory
 */
export const buildWithGo =
  (of: {
    what: string;
    about: string;
    output: string;
    command: (dir: string) => readonly [string, ...string[]];
    prepare?: (dir: string) => Promise<void>;
  }): Way =>
  async (cached, say) => {
    try {
      await run('go', ['version'], { timeout: GO_VERSION_MAX_MS });
    } catch {
      return 'Go, which could build it, is not on PATH';
    }
    const dir = await mkdtemp(`${cached}.build-`);
    const startedAt = Date.now();
    const says = `building ${of.what} once, ${of.about}…`;
    const saying = setInterval(() => {
      say(`${says} ${Math.round((Date.now() - startedAt) / 1000)} s`);
    }, BUILD_SAYS_EVERY_MS);
    try {
      say(says);
      await of.prepare?.(dir);
      const [command, ...args] = of.command(dir);
      // Go needs its own settings (GOPROXY, GOFLAGS, certificates), so it gets the whole environment.
      await runKept(command, args, {
        cwd: dir,
        timeout: BUILD_MAX_MS,
        maxBuffer: 64 * 1024 * 1024,
        env: { ...process.env, GOBIN: dir },
      });
      await rename(join(dir, `${of.output}${SUFFIX}`), cached);
      return null;
    } catch (error) {
      return `go ${of.command(dir).includes('install') ? 'install' : 'build'} failed (${firstLine(error)})`;
    } finally {
      clearInterval(saying);
      await rm(dir, { recursive: true, force: true });
    }
  };

/** Runs a command that takes minutes, which ends too when this process is killed. */
export async function runKept(command: string, args: readonly string[], options: ExecFileOptions): Promise<void> {
  const running = run(command, args, options);
  const { pid } = running.child;
  if (pid !== undefined) keeping.add(pid, 'SIGTERM');
  try {
    await running;
  } finally {
    if (pid !== undefined) keeping.remove(pid);
  }
}

/** What a command said first; Go says before that what it downloads. */
export const firstLine = (error: unknown): string => {
  const { stderr, message } = error as { stderr?: string; message?: string };
  const lines = (stderr?.trim() || message || String(error)).split('\n');
  return lines.find((line) => !line.startsWith('go: downloading ')) ?? lines[0] ?? '';
};

/** Runs `work` while no other process does; waits for one that does. */
async function withLock<T>(file: string, what: string, say: Say, work: () => Promise<T>): Promise<T> {
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
    if (!told) say(`another process is getting ${what}; waiting for it…`);
    told = true;
    await delay(LOCK_POLL_MS);
  }
}
