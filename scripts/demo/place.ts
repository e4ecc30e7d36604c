import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { isAlive } from '../../src/dev/alive.ts';
import { runDev } from '../../src/dev/dev.ts';
import { DATA_DIRECTORY, type DevFile } from '../../src/dev/dev-file.ts';

export const PLAN_FILE = 'examples/split-full-name/plan.yaml';
export const CONFIG_FILE = 'examples/split-full-name/switchback.config.yaml';
/** Left in the directory, so that only a directory that a demo made is ever wiped. */
const MARKER = 'this-directory-is-wiped-by-npm-run-demo';

export interface Place {
  /** Commands that run in it find the demo's own servers. */
  dir: string;
  dev: DevFile;
  /** Rejects when a server ends by itself; resolves when all have been stopped. */
  ended: Promise<void>;
  stop(): Promise<void>;
}

/** Starts servers and worker as `switchback dev` does, with the example's configuration and data of their own. */
export async function openPlace(dir: string, say: (line: string) => void, signal: AbortSignal): Promise<Place> {
  const dataDir = join(dir, DATA_DIRECTORY);
  wipe(dir, dataDir);
  const stopping = new AbortController();
  const stop = (): void => stopping.abort();
  const ready = Promise.withResolvers<DevFile>();
  // Later the services are stopped first: their flag clients must not lose Unleash while they ask it.
  signal.addEventListener('abort', stop);
  const ended = runDev({
    configFile: CONFIG_FILE,
    dataDir,
    signal: stopping.signal,
    listens: false,
    say,
    onReady: ready.resolve,
  });
  ended.then(() => ready.reject(new Error('stopped before everything was up')), ready.reject);
  const dev = await ready.promise;
  signal.removeEventListener('abort', stop);
  return {
    dir,
    dev,
    ended,
    stop: async () => {
      stop();
      await ended;
    },
  };
}

/** Says where each server of the demo in `dir` listens. */
export const devFileOf = (dir: string): string => relative(process.cwd(), join(dir, DATA_DIRECTORY, 'dev.json'));

function wipe(dir: string, dataDir: string): void {
  if (existsSync(dir) && readdirSync(dir).length > 0) {
    if (!existsSync(join(dir, MARKER))) throw new Error(`${dir} isn't empty and no demo made it; name another --dir`);
    refuseSecond(join(dataDir, 'dev.json'));
  }
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, MARKER), '');
}

/** Wiping the data of a demo that runs would break it. */
function refuseSecond(devFile: string): void {
  if (!existsSync(devFile)) return;
  const { pids } = JSON.parse(readFileSync(devFile, 'utf8')) as DevFile;
  const alive = Object.values(pids).find((pid) => pid !== null && isAlive(pid));
  if (alive !== undefined) throw new Error('a demo runs here already; end it with Ctrl-C in its terminal');
}
