import { fileURLToPath } from 'node:url';
import { randomBytes } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import pino from 'pino';
import { Switchback } from '../../src/client/index.ts';
import type { Config } from '../../src/worker/config.ts';
import { installRuntime } from '../../src/worker/telemetry.ts';
import { startWorker } from '../../src/worker/worker.ts';
import type { Place } from './place.ts';

const log = pino({ level: 'silent' });
let installed = false;
function installOnce(): void {
  if (!installed) installRuntime(log);
  installed = true;
}

/** Databases, a task queue and clients for a worker of ours that runs elsewhere. */
export interface OurPlace extends AsyncDisposable {
  switchback: Switchback;
  client: Client;
  config: Config;
}

export async function ourPlace(place: Place): Promise<OurPlace> {
  const [home, app] = [await place.database(), await place.database()];
  const config: Config = {
    taskQueue: `bench-${randomBytes(4).toString('hex')}`,
    ledger: 'home',
    databases: { home: { url: home.url, replicas: [] }, app: { url: app.url, replicas: [] } },
    unleash: null,
    prometheus: null,
    approvers: { dba: ['bench'] },
    notifications: [],
    deprecationNotice: [],
    health: { host: '127.0.0.1', port: 0 },
    log: { level: 'fatal' },
    temporal: { address: place.temporal },
    temporalUi: null,
  };
  const connection = await Connection.connect({ address: place.temporal });
  const switchback = await Switchback.connect({ address: place.temporal, taskQueue: config.taskQueue });
  return {
    switchback,
    client: new Client({ connection }),
    config,
    async [Symbol.asyncDispose]() {
      await switchback.close();
      await connection.close();
      await home[Symbol.asyncDispose]();
      await app[Symbol.asyncDispose]();
    },
  };
}

/** The same with a worker in this process. */
export async function ourWorker(place: Place): Promise<OurPlace> {
  installOnce();
  const ours = await ourPlace(place);
  const worker = await startWorker(ours.config, log);
  return {
    ...ours,
    async [Symbol.asyncDispose]() {
      worker.stop();
      await worker.ended;
      await ours[Symbol.asyncDispose]();
    },
  };
}

/** A worker that runs nothing but the bare workflows, with the options of ours that matter. */
export interface BareWorker extends AsyncDisposable {
  client: Client;
  taskQueue: string;
}

export async function createBareWorker(
  address: string,
  taskQueue: string,
): Promise<{ worker: Worker; connection: NativeConnection }> {
  const connection = await NativeConnection.connect({ address });
  const worker = await Worker.create({
    connection,
    taskQueue,
    workflowsPath: fileURLToPath(new URL('bare-workflow.ts', import.meta.url)),
    activities: { nothing: async () => undefined },
    maxCachedWorkflows: 1_000,
  });
  return { worker, connection };
}

export const bareQueue = (): string => `bare-${randomBytes(4).toString('hex')}`;

export async function bareWorker(place: Place): Promise<BareWorker> {
  installOnce();
  const taskQueue = bareQueue();
  const { worker, connection: native } = await createBareWorker(place.temporal, taskQueue);
  const ended = worker.run();
  const connection = await Connection.connect({ address: place.temporal });
  return {
    client: new Client({ connection }),
    taskQueue,
    async [Symbol.asyncDispose]() {
      worker.shutdown();
      await ended;
      await connection.close();
      await native.close();
    },
  };
}
