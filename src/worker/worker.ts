import { Client, isGrpcServiceError } from '@temporalio/client';
import { NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createActivities } from '../activities/index.ts';
import type { Deps } from '../activities/deps.ts';
import { upgradeLedger } from '../adapters/postgres/ledger-schema.ts';
import { strangeVersion } from '../adapters/unleash/unleash.ts';
import { SEARCH_ATTRIBUTES, SwitchbackError } from '../messages/index.ts';
import type { Config } from './config.ts';
import { createDeps } from './deps.ts';
import { connectionOptions } from './connection.ts';
import { NotificationSweep } from './notification-sweep.ts';
import { workflowBundle } from './workflow-bundle.ts';

/** Measured, with what happens otherwise: see docs/adr/0003-worker-options.md. */
const WORKER_OPTIONS = {
  // A cancel reaches an activity in 0.1 s, not in 6.6.
  maxHeartbeatThrottleInterval: '500ms',
  // The next step after a SIGKILL comes in 1.2 s, not in 10.
  stickyQueueScheduleToStartTimeout: '1s',
  // A chunk finishes and its cursor is saved before the process ends.
  shutdownGraceTime: '5s',
  shutdownForceTime: '15s',
  maxCachedWorkflows: 1_000,
} satisfies Partial<WorkerOptions>;

export interface RunningWorker {
  /** Resolves when the worker has stopped, rejects when it failed. */
  readonly ended: Promise<void>;
  readonly state: () => string;
  /** Stops polling, lets what runs finish its slice, closes connections. */
  stop(): void;
}

/** Connects and starts to poll. Throws `TemporalUnreachable` or `ConfigInvalid`. */
export async function startWorker(
  config: Config,
  log: Logger,
  env: NodeJS.ProcessEnv = process.env,
): Promise<RunningWorker> {
  const { options, namespace } = connectionOptions(config, env);
  let connection: NativeConnection;
  try {
    connection = await NativeConnection.connect(options);
  } catch (error) {
    throw new SwitchbackError('TemporalUnreachable', `no Temporal server answers at ${options.address}`, {
      hint: 'check TEMPORAL_ADDRESS, or start one with `switchback dev`',
      fields: { address: String(options.address) },
      cause: error,
    });
  }
  let sweep: NotificationSweep | null = null;
  const deps = createDeps(config, log, { namespace, wake: () => sweep?.wake() });
  try {
    await requireSearchAttributes(connection, namespace);
    await upgradeLedger(deps.deps.home.database, { home: true });
    const worker = await Worker.create({
      ...WORKER_OPTIONS,
      connection,
      namespace,
      taskQueue: config.taskQueue,
      workflowBundle: await workflowBundle(log),
      activities: createActivities(deps.deps),
    });
    void tellOfUnleash(deps.deps);
    const { home, notices } = deps.deps;
    if (notices !== null) {
      const place = { namespace, taskQueue: config.taskQueue };
      for (const { name, secrets } of notices.webhooks)
        if (secrets.length === 0) log.warn({ webhook: name }, 'what this webhook is told is not signed');
      sweep = new NotificationSweep({ home, client: new Client({ connection, namespace }), place, log });
      sweep.start();
    }
    const ended = untilEnded(worker, async () => {
      await sweep?.stop();
      await deps.close();
      await connection.close();
    });
    return { ended, state: () => worker.getState(), stop: () => worker.shutdown() };
  } catch (error) {
    await deps.close();
    await connection.close();
    throw error;
  }
}

/** Told and not asked for: steps that set flags wait for Unleash, and the others don't need it. */
async function tellOfUnleash({ unleash, log }: Deps): Promise<void> {
  if (unleash === null) return;
  try {
    const version = await unleash.version(new AbortController().signal);
    const strange = strangeVersion(version);
    if (strange === null) log.info({ address: unleash.address, version }, 'Unleash answers');
    else log.warn({ address: unleash.address, version }, strange);
  } catch (error) {
    const { code, hint, message } =
      error instanceof SwitchbackError ? error : { code: 'Bug', hint: null, message: String(error) };
    log.warn({ code, hint }, `${message}; steps that set flags will wait or fail`);
  }
}

async function untilEnded(worker: Worker, close: () => Promise<void>): Promise<void> {
  try {
    await worker.run();
  } finally {
    await close();
  }
}

/** What the server said no to: a namespace that isn't there is the configuration's, anything else its own. */
function refused(error: unknown, namespace: string): SwitchbackError {
  const message = error instanceof Error ? error.message : String(error);
  const known = isGrpcServiceError(error) && GRPC_NOT_FOUND.includes(error.code);
  return new SwitchbackError(known ? 'ConfigInvalid' : 'TemporalUnreachable', `Temporal says: ${message}`, {
    hint: known
      ? 'check TEMPORAL_NAMESPACE, or create the namespace on the server'
      : "check TEMPORAL_ADDRESS and that the credentials may read the namespace's search attributes",
    fields: { namespace },
    cause: error,
  });
}
const GRPC_NOT_FOUND: readonly number[] = [5];

/** A migration that can't be found by its search attributes is one that operators lose: better not to start. */
async function requireSearchAttributes(connection: NativeConnection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService
    .listSearchAttributes({ namespace })
    .catch((error: unknown) => {
      throw refused(error, namespace);
    });
  const missing = Object.entries(SEARCH_ATTRIBUTES).filter(([name]) => !(name in (customAttributes ?? {})));
  if (missing.length === 0) return;
  const commands = missing.map(
    ([name, type]) => `temporal operator search-attribute create --name ${name} --type ${type}`,
  );
  throw new SwitchbackError(
    'ConfigInvalid',
    `namespace "${namespace}" lacks the search attributes ${missing.map(([name]) => name).join(', ')}`,
    {
      hint: `create them: ${commands.join(' && ')}`,
      fields: { namespace },
    },
  );
}
