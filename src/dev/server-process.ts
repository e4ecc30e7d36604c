import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { cleanEnvironment } from './environment.ts';
import { keeping } from './keeping.ts';

const PROBE_EVERY_MS = 100;
const LOG_TAIL_CHARS = 2_000;

export interface ServerProcess {
  readonly name: string;
  readonly pid: number;
  /** Resolves when the process has ended, with how it ended ('code 1', 'SIGKILL'). Never rejects. */
  readonly ended: Promise<string>;
  /** Asks it to stop, waits, and kills it where it doesn't. Safe to call twice. */
  stop(): Promise<void>;
}

export interface ServerProcessOptions {
  name: string;
  command: string;
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** stdout and stderr are appended here. */
  logFile: string;
  account?: { uid: number; gid: number } | null;
  stopSignal: NodeJS.Signals;
  graceMs: number;
}

/**
 * Starts a server as a child in a process group of its own, so that Ctrl-C in a terminal reaches only this process,
 * which then stops its servers in order. When this process is killed, the keeper stops them.
 */
export async function startProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { name, command, args, stopSignal, graceMs } = options;
  const log = openSync(options.logFile, 'a', 0o600);
  const child = spawn(command, args, {
    stdio: ['ignore', log, log],
    detached: true,
    env: cleanEnvironment(options.env),
    ...options.account,
  });
  closeSync(log);
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', reject);
  });
  const pid = child.pid as number;
  keeping.add(pid, stopSignal);
  const ended = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      keeping.remove(pid);
      resolve(signal ?? `code ${String(code)}`);
    });
  });
  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill(stopSignal);
    const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
    await ended;
    clearTimeout(timer);
  };
  return { name, pid, ended, stop };
}

/** Where a log ends now; `logSince` reads on from there. */
export function logSize(logFile: string): number {
  return statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
}

export function logSince(logFile: string, from: number): string {
  try {
    return readFileSync(logFile).subarray(from).toString('utf8').slice(-LOG_TAIL_CHARS).trim();
  } catch {
    return '';
  }
}

/** Waits until `probe` returns; throws at once when the process has ended, and after `timeoutMs` with its last error. */
export async function untilReady(server: ServerProcess, probe: () => Promise<void>, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let endedAs: string | null = null;
  void server.ended.then((how) => {
    endedAs = how;
  });
  for (;;) {
    let lastError: unknown;
    try {
      await probe();
      return;
    } catch (error) {
      lastError = error;
    }
    if (endedAs !== null) throw new Error(`${server.name} ended with ${String(endedAs)} before it was ready`);
    if (Date.now() > deadline) {
      throw new Error(`${server.name} was not ready within ${timeoutMs / 1000} s`, { cause: lastError });
    }
    await delay(PROBE_EVERY_MS);
  }
}

const PORT_TAKEN = /address already in use|EADDRINUSE|could not bind|port .* in use/i;
const STARTS_MAX = 3;

/**
 * Starts a server and waits for it; where another process took its port meanwhile, tries again with another one. The
 * error of one that doesn't start ends with what it wrote to its log.
 */
export async function startServer<T>(
  options: { name: string; logFile: string },
  attempt: (
    tryNumber: number,
  ) => Promise<{ process: ServerProcess; probe: () => Promise<void>; timeoutMs: number; result: T }>,
): Promise<T> {
  for (let tryNumber = 1; ; tryNumber += 1) {
    const from = logSize(options.logFile);
    let process: ServerProcess | null = null;
    try {
      const started = await attempt(tryNumber);
      process = started.process;
      await untilReady(process, started.probe, started.timeoutMs);
      return started.result;
    } catch (error) {
      await process?.stop();
      const log = logSince(options.logFile, from);
      if (tryNumber < STARTS_MAX && PORT_TAKEN.test(log)) continue;
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`${message}\n${options.logFile} ends with:\n${log || '(nothing)'}`, { cause: error });
    }
  }
}
