import { randomUUID } from 'node:crypto';
import type { Client, ConnectionLike } from '@temporalio/client';
import { Client as TemporalClient } from '@temporalio/client';
import { type Audit, DEFAULT_TASK_QUEUE, type LiveCheck } from '../messages/index.ts';
import type { PlanInput } from '../plan/index.ts';
import { type ConnectOptions, connectClient } from './connect.ts';
import type { ClientContext, LedgerStatus } from './context.ts';
import { type Deprecation, deprecationHeaders } from './deprecations.ts';
import { readGivenPlan } from './given-plan.ts';
import { listMigrations, type MigrationSummary } from './list.ts';
import { MigrationHandle } from './migration-handle.ts';
import { placedCheck } from './placed-check.ts';
import { askWorker } from './short-run.ts';
import { startRun } from './start.ts';

export interface SwitchbackOptions {
  /** Where the workers listen; `switchback` where it is left out. */
  taskQueue?: string | undefined;
  /** The address of Temporal's UI (`http://localhost:8233`), for links. */
  ui?: string | undefined;
  /** Answers for runs that can't: reads the home ledger. */
  ledgerStatus?: LedgerStatus | undefined;
}
export interface StartOptions {
  /** Who asks for the migration; an approval policy may bar them from approving it. */
  requestedBy: string;
  taskQueue?: string | undefined;
}
/** A handle to the run, and whether this call started it (false: the very same plan was running already). */
export interface StartedMigration {
  handle: MigrationHandle;
  started: boolean;
  digest: string;
}
export interface Release {
  released: string[];
  reason: string;
}

/** A row of a table, by the texts of its key's columns. */
export interface AuditedKey {
  database?: string | undefined;
  schema?: string | undefined;
  table: string;
  /** Of a table with personal data: the hash by which the key was shown. The question stays in Temporal's history. */
  key: readonly string[];
}

/** A database that is slow to answer, or doesn't, is told by the worker after seconds. */
const CHECK_MS = 40_000;
/** A row that is looked for by its hash takes a scan of its table. */
const AUDIT_MS = 55_000;

/**
 * Starts and steers migrations. One connection, to be closed in the end; it may be shared by all parts of a process.
 *
 *     await using switchback = await Switchback.connect();
 *     const migration = await switchback.start(plan, { requestedBy: 'ana@example.com' });
 *     await migration.result();
 */
export class Switchback implements AsyncDisposable {
  readonly #context: ClientContext;
  readonly #taskQueue: string;
  readonly #close: () => Promise<void>;

  private constructor(context: ClientContext, taskQueue: string | undefined, close: () => Promise<void>) {
    this.#context = context;
    this.#taskQueue = taskQueue ?? DEFAULT_TASK_QUEUE;
    this.#close = close;
  }

  /**
   * Connects within five seconds. What isn't given comes from the `TEMPORAL_*` variables or Temporal's profile file.
   * @throws SwitchbackError TemporalUnreachable, ConfigInvalid
   */
  static async connect(options: ConnectOptions & SwitchbackOptions = {}): Promise<Switchback> {
    const { client, place, close } = await connectClient(options);
    return new Switchback(contextOf(client, place.address, options), options.taskQueue, close);
  }

  /** Uses a client that is there already; `close` leaves its connection open. */
  static fromClient(client: Client, options: SwitchbackOptions & { address?: string | undefined } = {}): Switchback {
    return new Switchback(contextOf(client, options.address, options), options.taskQueue, async () => undefined);
  }

  /** Uses a connection that is there already; `close` leaves it open. */
  static fromConnection(
    connection: ConnectionLike,
    options: SwitchbackOptions & { namespace?: string | undefined; address?: string | undefined } = {},
  ): Switchback {
    return Switchback.fromClient(
      new TemporalClient({ connection, namespace: options.namespace ?? 'default' }),
      options,
    );
  }

  /**
   * Starts a migration, or finds it running with the very same plan.
   * @param plan an object (see `definePlan`) or the text of a plan file
   * @throws SwitchbackError PlanInvalid, Unsupported, PlanChanged, TemporalUnreachable, ConfigInvalid
   */
  async start(plan: PlanInput | string, options: StartOptions): Promise<MigrationHandle> {
    return (await this.startOrFind(plan, options)).handle;
  }

  /** As `start`, and tells whether the run was there already. */
  async startOrFind(plan: PlanInput | string, { requestedBy, taskQueue }: StartOptions): Promise<StartedMigration> {
    const given = readGivenPlan(plan);
    const { started } = await startRun(this.#context, given, { requestedBy, taskQueue: taskQueue ?? this.#taskQueue });
    return { handle: this.handle(given.plan.metadata.name), started, digest: given.digest };
  }

  /** A handle to a migration by name. It is not looked up before it is used. */
  handle(name: string): MigrationHandle {
    return new MigrationHandle(this.#context, name);
  }

  /** All migrations that Temporal still knows, newest first. */
  async list(): Promise<MigrationSummary[]> {
    return listMigrations(this.#context);
  }

  /**
   * Checks a plan against the live databases, on a worker.
   * @throws SwitchbackError PlanInvalid, Unsupported; NoAnswer where no worker answers within 40 seconds
   */
  async check(plan: PlanInput | string, options: { taskQueue?: string | undefined } = {}): Promise<LiveCheck> {
    const given = readGivenPlan(plan);
    const { name } = given.plan.metadata;
    const answer = await askWorker<LiveCheck>(this.#context, {
      type: 'check',
      workflowId: `check/${name}/${given.digest}`,
      input: { plan: given.plan },
      taskQueue: options.taskQueue ?? this.#taskQueue,
      about: name,
      answerMs: CHECK_MS,
    });
    return placedCheck(answer, given.plan, given.source);
  }

  /** Frees the tables that a dead run of this migration still claims; recorded as the doing of `by`. */
  async release(name: string, options: { by: string; taskQueue?: string | undefined }): Promise<Release> {
    return askWorker(this.#context, {
      type: 'release',
      workflowId: `release/${name}`,
      input: { name, by: options.by },
      taskQueue: options.taskQueue ?? this.#taskQueue,
      about: name,
    });
  }

  /**
   * What a migration changed and who decided; with a `row`, which migrations changed that row and how. Read by a worker
   * from the ledgers: it needs no run that is alive.
   * @throws SwitchbackError UnknownMigration, UsageInvalid, UnknownDatabase, KeyMissing; NoAnswer within 55 seconds
   */
  async audit(
    name: string,
    options: { row?: AuditedKey | undefined; taskQueue?: string | undefined } = {},
  ): Promise<Audit> {
    const { row } = options;
    return askWorker<Audit>(this.#context, {
      type: 'audit',
      workflowId: `audit/${name}/${randomUUID()}`,
      input: {
        name,
        ...(row !== undefined && {
          row: { database: row.database ?? null, schema: row.schema ?? null, table: row.table, key: [...row.key] },
        }),
      },
      taskQueue: options.taskQueue ?? this.#taskQueue,
      about: name,
      answerMs: AUDIT_MS,
    });
  }

  /**
   * What migrations have deprecated, in the order of their sunsets, with the headers by which a service tells its own
   * clients. A worker answers: ask at the start and now and then, not for each request.
   */
  async deprecations(
    options: { interface?: string | undefined; taskQueue?: string | undefined } = {},
  ): Promise<Deprecation[]> {
    const taskQueue = options.taskQueue ?? this.#taskQueue;
    const recorded = await askWorker<Omit<Deprecation, 'headers'>[]>(this.#context, {
      type: 'deprecations',
      workflowId: `deprecations/${taskQueue}`,
      input: {},
      taskQueue,
      about: '',
    });
    return recorded
      .filter((one) => options.interface === undefined || one.interface === options.interface)
      .map((one) => ({ ...one, headers: deprecationHeaders(one) }));
  }

  async close(): Promise<void> {
    await this.#close();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function contextOf(client: Client, address: string | undefined, options: SwitchbackOptions): ClientContext {
  return {
    client,
    place: { address: address ?? 'the given connection', namespace: client.options.namespace },
    ui: options.ui ?? null,
    ledgerStatus: options.ledgerStatus ?? null,
  };
}
