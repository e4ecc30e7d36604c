import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { SEARCH_ATTRIBUTES, SwitchbackError } from '../messages/index.ts';
import { stampOf } from './lock.ts';
import { freePort } from './ports.ts';
import { startProcess, startServer } from './server-process.ts';
import { findTemporal, type Say } from './temporal-binary.ts';

const HOST = '127.0.0.1';
const NAMESPACE = 'default';
const READY_MAX_MS = 60_000;
const PROBE_MAX_MS = 2_000;
const CONNECT_MAX_MS = 10_000;
const STOP_GRACE_MS = 10_000;
const ORPHAN_POLL_MS = 100;
/** In file order. Eager execution halves the time of a sequential step; the rest is what the demo's speed needs. */
const DYNAMIC_CONFIG = { 'system.enableActivityEagerExecution': true };
/** WAL: three times the activities per second of the default, and no acknowledged signal lost on SIGKILL. */
const SQLITE_PRAGMAS = { journal_mode: 'wal' };

export interface TemporalServer {
  readonly address: string;
  /** The URL of Temporal's user interface; null where the server is someone else's (`TEMPORAL_ADDRESS`). */
  readonly ui: string | null;
  /** Null where the server is someone else's. */
  readonly pid: number | null;
  readonly ended: Promise<string>;
  stop(): Promise<void>;
}

/**
 * Starts the official Temporal server with its data in one file, which a later start carries on with, and with our
 * search attributes. With `TEMPORAL_ADDRESS` in the environment nothing is started: that server is used.
 *
 * @throws SwitchbackError ConfigInvalid where no server can be found, TemporalUnreachable for `TEMPORAL_ADDRESS`
 */
export async function startTemporal(options: {
  dir: string;
  logFile: string;
  port?: number | undefined;
  uiPort?: number | undefined;
  say?: Say;
}): Promise<TemporalServer> {
  const given = process.env['TEMPORAL_ADDRESS'];
  if (given) return useTemporal(given);

  const command = await findTemporal(options.say ?? ((line) => console.error(line)));
  const pidFile = join(options.dir, 'temporal.pid');
  await endOrphan(pidFile);
  return startServer({ name: 'Temporal', logFile: options.logFile }, async (tryNumber) => {
    const [port, uiPort] = await Promise.all([
      freePort(tryNumber === 1 ? options.port : 0),
      freePort(tryNumber === 1 ? options.uiPort : 0),
    ]);
    const address = `${HOST}:${port}`;
    const started = await startProcess({
      name: 'Temporal',
      command,
      args: [
        ...['server', 'start-dev', '--ip', HOST, '--port', String(port), '--ui-port', String(uiPort)],
        ...['--db-filename', join(options.dir, 'temporal.db'), '--log-level', 'warn', '--color', 'never'],
        ...pairs('--sqlite-pragma', SQLITE_PRAGMAS),
        ...pairs('--search-attribute', SEARCH_ATTRIBUTES),
        ...pairs('--dynamic-config-value', DYNAMIC_CONFIG),
      ],
      logFile: options.logFile,
      stopSignal: 'SIGTERM',
      graceMs: STOP_GRACE_MS,
    });
    writeFileSync(pidFile, JSON.stringify({ pid: started.pid, stamp: stampOf(started.pid) }));
    const result = { ...started, address, ui: `http://${HOST}:${uiPort}` };
    return { process: started, probe: () => answers(address), timeoutMs: READY_MAX_MS, result };
  });
}

/**
 * Two servers on one file would spoil it. Where a parent was killed its keeper ends the server within seconds; that is
 * waited for here, and done where the keeper was killed too.
 */
async function endOrphan(pidFile: string): Promise<void> {
  if (!existsSync(pidFile)) return;
  const { pid, stamp } = JSON.parse(readFileSync(pidFile, 'utf8')) as { pid: number; stamp: string | null };
  const deadline = Date.now() + STOP_GRACE_MS;
  while (stamp !== null && stampOf(pid) === stamp) {
    process.kill(pid, Date.now() < deadline ? 'SIGTERM' : 'SIGKILL');
    await delay(ORPHAN_POLL_MS);
  }
  rmSync(pidFile, { force: true });
}

const pairs = (flag: string, values: Readonly<Record<string, string | boolean>>): string[] =>
  Object.entries(values).flatMap(([name, value]) => [flag, `${name}=${value}`]);

/** Throws unless the frontend answers for our namespace and knows our search attributes. */
async function answers(address: string): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: PROBE_MAX_MS });
  try {
    await connection.withDeadline(Date.now() + PROBE_MAX_MS, async () => {
      await connection.workflowService.describeNamespace({ namespace: NAMESPACE });
      const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace: NAMESPACE });
      const missing = Object.keys(SEARCH_ATTRIBUTES).filter((name) => customAttributes?.[name] === undefined);
      if (missing.length > 0) throw new Error(`the server lacks the search attributes ${missing.join(', ')}`);
    });
  } finally {
    await connection.close();
  }
}

/** Someone else's server: it must answer, but what it lacks is the worker's to say, which reads the whole TLS profile. */
async function useTemporal(address: string): Promise<TemporalServer> {
  if (process.env['TEMPORAL_API_KEY'] === undefined && process.env['TEMPORAL_TLS'] === undefined) {
    try {
      const connection = await Connection.connect({ address, connectTimeout: CONNECT_MAX_MS });
      await connection.close();
    } catch (error) {
      throw new SwitchbackError('TemporalUnreachable', `the Temporal server at ${address} does not answer`, {
        hint: 'check TEMPORAL_ADDRESS, or unset it to let `switchback dev` start a server',
        fields: { address },
        cause: error,
      });
    }
  }
  return { address, ui: null, pid: null, ended: new Promise(() => undefined), stop: async () => undefined };
}
