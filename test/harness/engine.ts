import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { Worker } from '@temporalio/worker';
import pino, { type Logger } from 'pino';
import { type MigrationHandle, Switchback } from '../../src/client/index.ts';
import type { Status } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import type { Config } from '../../src/worker/config.ts';
import { installRuntime } from '../../src/worker/telemetry.ts';
import { type RunningWorker, startWorker } from '../../src/worker/worker.ts';
import { workflowBundle } from '../../src/worker/workflow-bundle.ts';
import { encodeHistory, type History } from './history.ts';
import { type Line, lineTo } from './line.ts';
import { atEndOfTest, type FreshDatabase, freshDatabase, servers } from './servers.ts';

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
  /** The worker's line to its home ledger. */
  homeLine: Line;
  /** Only for `beforeAll`: in a test this happens by itself. Histories are replayed where it has `passed`. */
  close(passed: boolean): Promise<void>;
}

const quiet = pino({ level: process.env['TEST_LOG'] ?? 'silent' });
let runtimeInstalled = false;

export interface EngineOptions {
  databases?: readonly string[];
  approvers?: Config['approvers'];
  /** The real one, or one that a test can cut off. */
  unleash?: boolean | NonNullable<Config['unleash']>;
  /** Of tables of the databases, by their names in the configuration. */
  labels?: Readonly<Record<string, Record<string, string[]>>>;
  notifications?: Config['notifications'];
  deprecationNotice?: Config['deprecationNotice'];
  /** Where the worker writes; nowhere unless TEST_LOG says so. */
  log?: Logger;
}

export async function startEngine(options: EngineOptions = {}): Promise<Engine> {
  const log = options.log ?? quiet;
  if (!runtimeInstalled) installRuntime(log);
  runtimeInstalled = true;
  const { temporal, unleash } = servers();
  const id = randomBytes(4).toString('hex');
  const databases: Record<string, Config['databases'][string]> = {};
  const made: FreshDatabase[] = [];
  for (const name of ['home', ...(options.databases ?? [])]) {
    const labels = options.labels?.[name];
    const database = await freshDatabase(name.replaceAll('-', '_'));
    made.push(database);
    const { url } = database;
    databases[name] = { url, replicas: [], ...(labels !== undefined && { labels }) };
  }
  const homeLine = await lineTo(databases['home']?.url ?? '');
  databases['home'] = { url: homeLine.url, replicas: [] };
  const config: Config = {
    taskQueue: `test-${id}`,
    ledger: 'home',
    databases,
    unleash: options.unleash === true ? unleash : options.unleash === false ? null : (options.unleash ?? null),
    prometheus: null,
    approvers: options.approvers ?? {},
    notifications: options.notifications ?? [],
    deprecationNotice: options.deprecationNotice ?? [],
    health: { host: '127.0.0.1', port: 0 },
    log: { level: 'fatal' },
    temporal: { address: temporal.address },
    temporalUi: null,
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
  const end = async (passed: boolean, testName: string): Promise<void> => {
    if (passed) await replayAll(client, config.taskQueue, testName);
    await stopWorker();
    await switchback.close();
    await connection.close();
  };
  atEndOfTest((failed, testName) => end(!failed, testName));
  return {
    async close(passed) {
      await end(passed, id);
      homeLine.end();
      if (passed) for (const database of made) await database.drop();
    },
    switchback,
    client,
    config,
    name: (base) => `${base}-${id}`,
    stopWorker,
    homeLine,
    async restartWorker() {
      await stopWorker();
      worker = await startWorker(config, log);
    },
  };
}

/**
 * Every history that a test made must replay: a run that can't is one that no later worker can carry on. With
 * `RECORD_HISTORIES` set to a folder they are kept there too (npm run record-histories).
 */
async function replayAll(client: Client, taskQueue: string, testName: string): Promise<void> {
  const runs = client.workflow.list({
    query: `TaskQueue = '${taskQueue}' AND WorkflowType IN ('migration', 'notification')`,
  });
  const histories: { workflowId: string; history: unknown }[] = [];
  for await (const history of runs.intoHistories()) histories.push(history);
  const { codePath } = (await workflowBundle(quiet)) as { codePath: string };
  for await (const { workflowId, error } of Worker.runReplayHistories({ workflowBundle: { codePath } }, histories)) {
    if (error) throw new Error(`the history of ${workflowId} does not replay`, { cause: error });
  }
  const folder = process.env['RECORD_HISTORIES'];
  if (folder !== undefined)
    for (const [at, { history }] of histories.entries()) keep(folder, `${testName}-${at + 1}`, history);
}

/** As protobuf, a fifth of its JSON; `decodeHistory` reads it. */
function keep(folder: string, name: string, history: unknown): void {
  mkdirSync(folder, { recursive: true });
  const file = `${name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 90)}.binpb`;
  writeFileSync(join(folder, file), encodeHistory(history as History));
}

type Spec = PlanInput['spec'];
/** A plan with the parts that a test is not about filled in. */
export const planOf = (name: string, phases: Spec['phases'], spec: Partial<Spec> = {}): PlanInput => ({
  apiVersion: 'switchback/v1',
  kind: 'Migration',
  metadata: { name, version: 1, owner: 'team-test' },
  spec: { summary: `test ${name}`, risk: 'low', phases, ...spec },
});

/** Waits until the status is as wanted; fails with the last one seen where the migration ends before. */
export async function untilStatus(handle: MigrationHandle, wanted: (status: Status) => boolean): Promise<Status> {
  let last: Status | null = null;
  for await (const status of handle.watch({ intervalMs: 100 })) {
    last = status;
    if (wanted(status)) return status;
  }
  throw new Error(`the migration ended before it was as wanted: ${JSON.stringify(last, null, 1)}`);
}
