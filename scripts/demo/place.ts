import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { isAlive } from '../../src/dev/alive.ts';
import { runDev } from '../../src/dev/dev.ts';
import { DATA_DIRECTORY, type DevFile } from '../../src/dev/dev-file.ts';

/** Where the demo keeps everything; wiped when it starts. Commands that run in it find the demo's own servers. */
export const DEMO_DIRECTORY = resolve('.switchback/demo');
export const REPORT_FILE = join(DEMO_DIRECTORY, 'report.md');
export const PLAN_FILE = 'examples/split-full-name/plan.yaml';
export const CONFIG_FILE = 'examples/split-full-name/switchback.config.yaml';
const DATA = join(DEMO_DIRECTORY, DATA_DIRECTORY);

export interface Place {
  dev: DevFile;
  /** Rejects when a server ends by itself; resolves when all have been stopped. */
  ended: Promise<void>;
  stop(): Promise<void>;
}

/** Starts servers and worker as `switchback dev` does, with the example's configuration and data of their own. */
export async function openPlace(say: (line: string) => void, signal: AbortSignal): Promise<Place> {
  refuseSecond();
  rmSync(DEMO_DIRECTORY, { recursive: true, force: true });
  const stopping = new AbortController();
  const ready = Promise.withResolvers<DevFile>();
  const ended = runDev({
    configFile: CONFIG_FILE,
    dataDir: DATA,
    signal: AbortSignal.any([signal, stopping.signal]),
    say,
    onReady: ready.resolve,
  });
  ended.then(() => ready.reject(new Error('stopped before everything was up')), ready.reject);
  const dev = await ready.promise;
  return {
    dev,
    ended,
    stop: async () => {
      stopping.abort();
      await ended;
    },
  };
}

/** Wiping the data of a demo that runs would break it. */
function refuseSecond(): void {
  const file = join(DATA, 'dev.json');
  if (!existsSync(file)) return;
  const { pids } = JSON.parse(readFileSync(file, 'utf8')) as DevFile;
  const alive = Object.values(pids).find((pid) => pid !== null && isAlive(pid));
  if (alive !== undefined) throw new Error('a demo runs here already; end it with Ctrl-C in its terminal');
}
