import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import pino from 'pino';
import { onTestFinished } from 'vitest';
import { Switchback } from '../../src/client/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import type { Config } from '../../src/worker/config.ts';
import { installRuntime } from '../../src/worker/telemetry.ts';
import { type RunningWorker, startWorker } from '../../src/worker/worker.ts';
import { freshDatabase, servers } from './servers.ts';

/** A worker in this process with databases, a task queue and migration names of its own: tests run side by side. */
export interface Engine {
  switchback: Switchback;
  client: Client;
  config: Config;
  /** Makes a migration's name unique to this engine. */
  name(base: string): string;
  /** Stops the worker and starts another: what a deployment does. */
  restartWorker(): Promise<void>;
  stopWorker(): Promise<void>;
}

const log = pino({ level: process.env['TEST_LOG'] ?? 'silent' });
let runtimeInstalled = false;

export async function startEngine(
  options: { databases?: readonly string[]; approvers?: Config['approvers']; unleash?: boolean } = {},
): Promise<Engine> {
  if (!runtimeInstalled) installRuntime(log);
  runtimeInstalled = true;
  const { temporal, unleash } = servers();
  const id = randomBytes(4).toString('hex');
  const databases: Record<string, { url: string; replicas: readonly string[] }> = {};
  for (const name of ['home', ...(options.databases ?? [])]) {
    databases[name] = { url: (await freshDatabase(name.replaceAll('-', '_'))).url, replicas: [] };
  }
  const config: Config = {
    taskQueue: `test-${id}`,
    ledger: 'home',
    databases,
    unleash: options.unleash === true ? unleash : null,
    prometheus: null,
    approvers: options.approvers ?? {},
    notifications: [],
    health: { host: '127.0.0.1', port: 0 },
    log: { level: 'fatal' },
    temporal: { address: temporal.address },
  };
  let worker: RunningWorker | null = await startWorker(config, log);
  const stopWorker = async () => {
    worker?.stop();
    await worker?.ended;
    worker = null;
  };
  const connection = await Connection.connect({ address: temporal.address });
  const client = new Client({ connection });
  const switchback = await Switchback.connect({ address: temporal.address, taskQueue: config.taskQueue });
  onTestFinished(async () => {
    await stopWorker();
    await switchback.close();
    await connection.close();
  });
  return {
    switchback,
    client,
    config,
    name: (base) => `${base}-${id}`,
    stopWorker,
    async restartWorker() {
      await stopWorker();
      worker = await startWorker(config, log);
    },
  };
}

type Spec = PlanInput['spec'];
/** A plan with the parts that a test is not about filled in. */
export const planOf = (name: string, phases: Spec['phases'], spec: Partial<Spec> = {}): PlanInput => ({
  apiVersion: 'switchback/v1',
  kind: 'Migration',
  metadata: { name, version: 1, owner: 'team-test' },
  spec: { summary: `test ${name}`, risk: 'low', phases, ...spec },
});
