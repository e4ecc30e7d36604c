import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Config } from '../../src/worker/config.ts';

export type LogLine = Record<string, unknown>;
export interface WorkerProcess {
  process: ChildProcess;
  /** Its log so far; each line must be JSON. */
  lines(): LogLine[];
}

/** A worker in a process of its own, which a test may kill. Resolves when it polls. */
export async function startWorkerProcess(config: Config): Promise<WorkerProcess> {
  const folder = mkdtempSync(join(tmpdir(), 'switchback-worker-'));
  const file = join(folder, 'switchback.config.yaml');
  const { taskQueue, ledger, databases, unleash, approvers, health, notifications } = config;
  // JSON is YAML; tokens go where a test's worker finds them.
  writeFileSync(
    file,
    JSON.stringify({
      taskQueue,
      ledger,
      databases,
      ...(unleash !== null && { unleash }),
      approvers,
      notifications: notifications.map(({ services, secrets, ...of }) => ({
        ...of,
        ...(services !== null && { services }),
        ...(secrets.length > 0 && { secrets }),
      })),
      health,
    }),
  );
  const worker = spawn(process.execPath, [resolve('src/worker/main.ts'), '--config', file], {
    env: { ...process.env, TEMPORAL_ADDRESS: config.temporal?.address ?? '' },
    stdio: ['ignore', 'pipe', openSync(join(folder, 'errors.log'), 'w')],
  });
  onTestFinished(() => void worker.kill('SIGKILL'));
  let text = '';
  const running = new Promise<void>((done, fail) => {
    worker.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('worker is running')) done();
    });
    void once(worker, 'exit').then(([code]) => fail(new Error(`the worker ended (${String(code)}): ${text}`)));
  });
  await running;
  const lines = (): LogLine[] =>
    text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as LogLine);
  return { process: worker, lines };
}
