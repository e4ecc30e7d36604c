import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Config } from '../../src/worker/config.ts';

/** A worker in a process of its own: it can be killed, and its memory is its own. */
export interface ChildWorker {
  pid: number;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
}

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** Our worker. Resolves when it polls. */
export async function ourChild(config: Config): Promise<ChildWorker> {
  const { taskQueue, ledger, databases, approvers, health } = config;
  const folder = await mkdtemp(join(tmpdir(), 'switchback-bench-worker-'));
  const file = join(folder, 'switchback.config.yaml');
  // JSON is YAML.
  await writeFile(file, JSON.stringify({ taskQueue, ledger, databases, approvers, health }), { mode: 0o600 });
  const args = [fileOf('../../src/worker/main.ts'), '--config', file];
  const worker = await started(args, { TEMPORAL_ADDRESS: config.temporal?.address ?? '' }, 'worker is running');
  return { ...worker, kill: () => worker.kill().then(() => rm(folder, { recursive: true, force: true })) };
}

/** The worker of the bare workflows. */
export const bareChild = (temporal: string, taskQueue: string): Promise<ChildWorker> =>
  started([fileOf('bare-worker.ts'), temporal, taskQueue], {}, 'bare worker is running');

async function started(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  running: string,
): Promise<ChildWorker> {
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await untilSays(child, running);
  return {
    pid: child.pid as number,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
  };
}

function untilSays(child: ChildProcess, words: string): Promise<void> {
  let text = '';
  return new Promise((resolve, reject) => {
    child.stdout?.on('data', (chunk: Buffer) => {
      text = `${text}${chunk.toString()}`.slice(-10_000);
      if (text.includes(words)) resolve();
    });
    child.once('exit', (code) => reject(new Error(`the worker ended (${String(code)}): ${text}`)));
  });
}

/** Resident memory of a process in bytes, as Linux counts it. */
export function memoryOf(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kibibytes === undefined) throw new Error(`process ${pid} has no VmRSS`);
  return Number(kibibytes) * 1_024;
}
