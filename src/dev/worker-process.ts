import { writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ERROR_CODES, type ErrorCode, SwitchbackError } from '../messages/index.ts';
import { DEV_SERVERS_VARIABLE, HEALTH_PORT_VARIABLE } from '../worker/config.ts';
import type { DevFile } from './dev-file.ts';
import { freePort } from './ports.ts';
import {
  logSince,
  logSize,
  type ServerProcess,
  type ServerProcessOptions,
  startProcess,
  untilReady,
} from './server-process.ts';

const READY_MAX_MS = 60_000;
const PROBE_MAX_MS = 1_000;
/** More than the worker's own shutdown grace, in which a chunk finishes. */
const STOP_GRACE_MS = 30_000;
const FIRST_STARTS_MAX = 3;
const RESTART_DELAYS_MS = [200, 500, 1_000, 2_000, 5_000];
/** One that has run this long starts anew at the first delay when it dies. */
const STABLE_MS = 60_000;
/** The worker's exit code for wrong input: doing the same again can't help. */
const EXIT_INPUT_WRONG = 2;
const HOST = '127.0.0.1';

export interface WorkerOptions {
  configFile: string | null;
  /** The servers it works with; it reads them from its environment, because secrets never go into arguments. */
  servers: DevFile;
  dataDir: string;
  say: (line: string) => void;
  /** Called each time a worker process has started, with its pid. */
  onStart: (pid: number) => void;
}
export interface SupervisedWorker {
  stop(): Promise<void>;
}

/**
 * Runs a worker as a child process and starts another one whenever it dies, with growing delays. Resolves when the
 * first one is ready.
 *
 * @throws SwitchbackError with the worker's own code, where it says why it doesn't start, after at most three tries
 */
export async function superviseWorker(options: WorkerOptions): Promise<SupervisedWorker> {
  const logFile = join(options.dataDir, 'worker.log');
  const stopping = new AbortController();
  let current: ServerProcess | null = null;

  const startOnce = async (): Promise<ServerProcess> => {
    const port = await freePort();
    stopping.signal.throwIfAborted();
    current = await startProcess(workerProcess(options, port, logFile));
    options.onStart(current.pid);
    // It was told to stop while the process was being made, too late for `stop` to know of it.
    if (stopping.signal.aborted) await current.stop();
    await untilReady(current, () => healthy(port), READY_MAX_MS);
    return current;
  };
  const first = await firstStart(startOnce, () => current, logFile);
  const running = keepRunning(first, startOnce, () => current, stopping.signal, options.say);
  return {
    stop: async () => {
      stopping.abort();
      await current?.stop();
      await running;
    },
  };
}

async function firstStart(
  startOnce: () => Promise<ServerProcess>,
  current: () => ServerProcess | null,
  logFile: string,
): Promise<ServerProcess> {
  const from = logSize(logFile);
  for (let tries = 1; ; tries += 1) {
    try {
      return await startOnce();
    } catch (error) {
      await current()?.stop();
      const how = await current()?.ended;
      if (tries < FIRST_STARTS_MAX && how !== `code ${EXIT_INPUT_WRONG}`) continue;
      throw notStarted(how ?? String(error), logSince(logFile, from), logFile, error);
    }
  }
}

/** The worker's own last words, where it had any: it logs JSON, a line each. */
function notStarted(how: string, log: string, logFile: string, cause: unknown): SwitchbackError {
  const FATAL = 60;
  for (const line of log.split('\n').toReversed()) {
    try {
      const { level, code, msg, hint } = JSON.parse(line) as {
        level: number;
        code: string;
        msg: string;
        hint?: string;
      };
      if (level !== FATAL) continue;
      return new SwitchbackError(
        code in ERROR_CODES ? (code as ErrorCode) : 'ConfigInvalid',
        `the worker does not start: ${msg}`,
        {
          hint: hint ?? `its log is ${logFile}`,
          cause,
        },
      );
    } catch {
      // Not a line of the log; the one before may be.
    }
  }
  return new SwitchbackError('ConfigInvalid', `the worker does not start (${how})\n${log}`, {
    hint: `its log is ${logFile}`,
    cause,
  });
}

async function keepRunning(
  first: ServerProcess,
  startOnce: () => Promise<ServerProcess>,
  current: () => ServerProcess | null,
  stopping: AbortSignal,
  say: (line: string) => void,
): Promise<void> {
  let startedAt = Date.now();
  let how = await first.ended;
  for (let deaths = 1; !stopping.aborted; deaths += 1) {
    if (Date.now() - startedAt > STABLE_MS) deaths = 1;
    const delayMs = RESTART_DELAYS_MS[Math.min(deaths, RESTART_DELAYS_MS.length) - 1] ?? 0;
    say(`the worker ended (${how}); another one starts in ${delayMs / 1_000} s`);
    await delay(delayMs, undefined, { signal: stopping }).catch(() => undefined);
    if (stopping.aborted) return;
    startedAt = Date.now();
    try {
      const worker = await startOnce();
      say(`the worker runs again (pid ${worker.pid})`);
    } catch {
      await current()?.stop();
    }
    how = (await current()?.ended) ?? how;
  }
}

function workerProcess(options: WorkerOptions, port: number, logFile: string): ServerProcessOptions {
  const { configFile, servers } = options;
  const main = fileURLToPath(new URL(`../worker/main${extname(import.meta.url)}`, import.meta.url));
  return {
    name: 'the worker',
    command: process.execPath,
    args: [main, ...(configFile === null ? [] : ['--config', configFile])],
    // It gets the whole environment: the configuration's ${VARIABLES} come from there.
    env: {
      ...workerEnvironment(options),
      [DEV_SERVERS_VARIABLE]: JSON.stringify(servers),
      [HEALTH_PORT_VARIABLE]: String(port),
    },
    logFile,
    stopSignal: 'SIGTERM',
    graceMs: STOP_GRACE_MS,
  };
}

/** Our environment; where Temporal is embedded, without what would lead to another one, be it variables or a profile. */
function workerEnvironment({ servers, dataDir }: WorkerOptions): Record<string, string> {
  const given = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined);
  if (servers.pids.temporal === null) return Object.fromEntries(given);
  // Empty, because the worker of `switchback dev` uses the embedded server, whatever the user's own profile says.
  const profile = join(dataDir, 'temporal-profile.toml');
  writeFileSync(profile, '[profile.default]\n');
  const others = given.filter(([name]) => !name.startsWith('TEMPORAL_'));
  return { ...Object.fromEntries(others), TEMPORAL_ADDRESS: servers.temporal.address, TEMPORAL_CONFIG_FILE: profile };
}

async function healthy(port: number): Promise<void> {
  const response = await fetch(`http://${HOST}:${port}/health`, { signal: AbortSignal.timeout(PROBE_MAX_MS) });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`the worker's health is ${response.status}`);
}
