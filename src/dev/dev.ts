import { existsSync, mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CONFIG_FILE, readConfig, serversWanted } from '../worker/config.ts';
import { DATA_DIRECTORY, type DevFile, removeDevFile, writeDevFile } from './dev-file.ts';
import { type Servers, startServers } from './servers.ts';
import { type SupervisedWorker, superviseWorker } from './worker-process.ts';

/** Taken where they are free: the addresses that each of them has by default, so that bookmarks keep working. */
const USUAL_PORTS = { temporal: 7233, temporalUi: 8233, postgres: 54_320, unleash: 4242 };
const STOP_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const EXIT_IMPATIENT = 130;

export interface DevOptions {
  /** Null takes `switchback.config.yaml` where there is one, else defaults: no databases, an embedded Unleash. */
  configFile: string | null;
  /** Ends by itself so long after all was ready. */
  seconds?: number | undefined;
  /** Where the data stays between starts; `.switchback` of the working directory where left out. */
  dataDir?: string | undefined;
  /** Called when dev.json has been written. */
  onReady?: ((dev: DevFile) => void) | undefined;
  /** Ends it like Ctrl-C. */
  signal?: AbortSignal | undefined;
  /** Whether it listens for Ctrl-C itself; false where the caller has something to end first. True where left out. */
  listens?: boolean | undefined;
  /** Progress, a line at a time; stderr where left out. */
  say?: ((line: string) => void) | undefined;
}

/**
 * `switchback dev`: the embedded servers and a worker in the foreground, until Ctrl-C, `seconds` or `signal`. Writes
 * `dev.json` when all of it is ready and removes it when it ends. What it started has ended when this resolves.
 *
 * @throws SwitchbackError ConfigInvalid (also: a package to install, a second one in the same directory), or
 *   TemporalUnreachable, DatabaseUnreachable, UnleashUnreachable where a server ended by itself
 */
export async function runDev(options: DevOptions): Promise<void> {
  const say = options.say ?? ((line: string) => console.error(line));
  const dataDir = resolve(options.dataDir ?? DATA_DIRECTORY);
  const configFile = configFileOf(options.configFile);
  const config = serversWanted(readConfig({ file: configFile, env: process.env }));
  mkdirSync(dataDir, { recursive: true });

  const ending = untilToldToEnd(options.signal, options.listens ?? true);
  let servers: Servers | null = null;
  let worker: SupervisedWorker | null = null;
  try {
    say('starting Temporal, Postgres and Unleash…');
    servers = await startServers({ config, dataDir, ports: USUAL_PORTS, say });
    const dev = describe(servers, configFile);
    let ready = false;
    if (!ending.signal.aborted) {
      worker = await superviseWorker({
        configFile,
        servers: dev,
        dataDir,
        say,
        onStart: (pid) => {
          dev.pids.worker = pid;
          if (ready) writeDevFile(dataDir, dev);
        },
      });
      ready = true;
      writeDevFile(dataDir, dev);
      options.onReady?.(dev);
    }
    await untilEnd(servers, ending.signal, options.seconds);
  } finally {
    // One that was refused because another one runs there must not remove the other one's file.
    if (servers !== null) removeDevFile(dataDir);
    await worker?.stop();
    await servers?.stop();
    ending.release();
  }
}

/** Absolute, because the worker and the other commands may run elsewhere. */
function configFileOf(named: string | null): string | null {
  if (named === null && !existsSync(CONFIG_FILE)) return null;
  return resolve(named ?? CONFIG_FILE);
}

function describe(servers: Servers, configFile: string | null): DevFile {
  const { temporal, postgres, unleash, databases } = servers;
  return {
    temporal: { address: temporal.address, ui: temporal.ui },
    databases: { ...databases },
    unleash:
      unleash === null ? null : { url: unleash.url, adminToken: unleash.adminToken, clientToken: unleash.clientToken },
    board: null,
    config: configFile,
    pids: { worker: null, temporal: temporal.pid, postgres: postgres?.pid ?? null, unleash: unleash?.pid ?? null },
  };
}

/** Listens for Ctrl-C and its like from now on; a second one ends at once (the keeper then stops what was started). */
function untilToldToEnd(outer: AbortSignal | undefined, listens: boolean): { signal: AbortSignal; release(): void } {
  const ending = new AbortController();
  const onSignal = (): void => {
    if (ending.signal.aborted) process.exit(EXIT_IMPATIENT);
    ending.abort();
  };
  if (listens) for (const name of STOP_SIGNALS) process.on(name, onSignal);
  const signal = outer === undefined ? ending.signal : AbortSignal.any([outer, ending.signal]);
  return {
    signal,
    release: () => {
      for (const name of STOP_SIGNALS) process.off(name, onSignal);
    },
  };
}

async function untilEnd(servers: Servers, signal: AbortSignal, seconds: number | undefined): Promise<void> {
  const waiting = new AbortController();
  const told = new Promise<null>((done) => {
    if (signal.aborted) done(null);
    else signal.addEventListener('abort', () => done(null), { once: true, signal: waiting.signal });
  });
  const timeUp =
    seconds === undefined
      ? new Promise<null>(() => undefined)
      : delay(seconds * 1_000, null, { signal: waiting.signal }).catch(() => null);
  const failed = await Promise.race([told, timeUp, servers.failed]);
  waiting.abort();
  if (failed !== null) throw failed;
}
