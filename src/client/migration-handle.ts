import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type MigrationResult, type Status, SwitchbackError, workflowIdOf } from '../messages/index.ts';
import type { ClientContext } from './context.ts';
import { deliver, type Delivery } from './deliver.ts';
import { outcomeError } from './outcome.ts';
import { StatusReader, unknownMigration } from './read-status.ts';
import { isNotFound, serviceError } from './service-error.ts';
import { type WatchOptions, watchStatus } from './watch.ts';
import { workflowLink } from './workflow-link.ts';

/** Who decides, and why. */
export interface DecisionOptions {
  by: string;
  comment?: string | undefined;
  /** Makes the decision count once, however often it is sent. Left out: the open gate's own, or a new one. */
  decisionId?: string | undefined;
}
export interface GateDecisionOptions extends DecisionOptions {
  /** Such as `migrate/after`; may be left out while only one gate is open. */
  gate?: string | undefined;
}
export interface StepDecisionOptions extends DecisionOptions {
  /** The held step; may be left out while only one is held. */
  step?: string | undefined;
}
export interface RetryOptions extends StepDecisionOptions {
  /** Accepts what others have changed in the migration's tables, by the digest that the held step shows. */
  accept?: string | undefined;
}
export interface ThrottleOptions {
  by: string;
  decisionId?: string | undefined;
  rowsPerSecond?: number | undefined;
  parallelism?: number | undefined;
  /** Smallest chunks and long pauses. */
  gentle?: boolean | undefined;
  /** Takes back all that was said before: the plan's own limits count again. */
  full?: boolean | undefined;
}

const RESULT_RETRY_MS = 1_000;
const OUTAGE_MAX_MS = 60_000;

/** Steers and reads one migration. It needs no connection of its own and may be made anew at any time. */
export class MigrationHandle {
  readonly name: string;
  readonly #context: ClientContext;
  readonly #reader: StatusReader;

  /** Made by `Switchback.handle` and `Switchback.start`. */
  constructor(context: ClientContext, name: string) {
    this.name = name;
    this.#context = context;
    this.#reader = new StatusReader(context, name);
  }

  /** @throws SwitchbackError UnknownMigration, NoAnswer, TemporalUnreachable */
  async status(): Promise<Status> {
    return this.#reader.read();
  }

  /** The status each time it changes, until the end. */
  watch(options: WatchOptions = {}): AsyncGenerator<Status, void, undefined> {
    return watchStatus(new StatusReader(this.#context, this.name), options);
  }

  /** Approves the gate, as one of those that its policy asks for. */
  async approve(options: GateDecisionOptions): Promise<Delivery> {
    return this.#decideGate('approve', options);
  }
  /** Refuses the gate; the run is then held for `retry`, `skip` or `abort`. */
  async reject(options: GateDecisionOptions): Promise<Delivery> {
    return this.#decideGate('reject', options);
  }
  /** Stops, and undoes what was done in reverse order. Refused after the point of no return. */
  async abort(options: DecisionOptions): Promise<Delivery> {
    return this.#send('abort', options);
  }
  async pause(options: DecisionOptions): Promise<Delivery> {
    return this.#send('pause', options);
  }
  async resume(options: DecisionOptions): Promise<Delivery> {
    return this.#send('resume', options);
  }
  /** Tries a held step again. */
  async retry(options: RetryOptions): Promise<Delivery> {
    return this.#send('retry', options, { step: options.step, accept: options.accept });
  }
  /** Goes on without a held step; counts as an approval of its phase's risk. */
  async skip(options: StepDecisionOptions): Promise<Delivery> {
    return this.#send('skip', options, { step: options.step });
  }
  /** Changes the pace of a long step while it runs. */
  async throttle(step: string, options: ThrottleOptions): Promise<Delivery> {
    const { by, decisionId = randomUUID(), rowsPerSecond, parallelism, gentle, full } = options;
    return this.#deliver('throttle', { step, by, decisionId, rowsPerSecond, parallelism, gentle, full });
  }

  /**
   * Waits for the end. A server that is away for up to a minute is waited for.
   * @throws SwitchbackError with the code that the run ended with: RolledBack, MigrationFailed, PlanInvalid, …
   */
  async result(options: { signal?: AbortSignal | undefined } = {}): Promise<MigrationResult> {
    const { client, place } = this.#context;
    const handle = client.workflow.getHandle(workflowIdOf(this.name));
    const wait = async (): Promise<MigrationResult> => (await handle.result()) as MigrationResult;
    let failingSince: number | null = null;
    for (;;) {
      const startedAt = Date.now();
      try {
        return await (options.signal === undefined ? wait() : client.withAbortSignal(options.signal, wait));
      } catch (error) {
        options.signal?.throwIfAborted();
        const outcome = outcomeError(error, this.name);
        if (outcome !== null) throw outcome;
        if (isNotFound(error)) throw await unknownMigration(this.#context, this.name);
        const known = serviceError(error, place);
        failingSince ??= startedAt;
        // A call that lasted shows that the server was there: the outage begins anew.
        if (Date.now() - startedAt > OUTAGE_MAX_MS) failingSince = Date.now();
        if (!(known instanceof SwitchbackError && known.retry) || Date.now() - failingSince > OUTAGE_MAX_MS)
          throw known;
        await delay(RESULT_RETRY_MS);
      }
    }
  }

  /** Where people look at this run: Temporal's UI, where its address is known, and the IDs to find it by. */
  async links(): Promise<{ workflowId: string; runId: string; temporal: string | null }> {
    const description = await this.#reader.describe();
    if (description === null) throw await unknownMigration(this.#context, this.name);
    const { workflowId, runId } = description;
    return { workflowId, runId, temporal: workflowLink(this.#context, workflowId, runId) };
  }

  async #decideGate(name: 'approve' | 'reject', options: GateDecisionOptions): Promise<Delivery> {
    if (options.decisionId !== undefined) return this.#send(name, options, { gate: options.gate });
    // A gate that only overrides a window has to be named.
    const open = (await this.#openGates()).filter(({ gate, overrides }) =>
      options.gate === undefined ? overrides === undefined : gate === options.gate,
    );
    if (open.length > 1) {
      const gates = open.map(({ gate }) => gate).join(', ');
      return {
        accepted: false,
        reason: `several gates are open: ${gates}; name the one you mean`,
        via: 'update',
        decisionId: null,
      };
    }
    const [gate] = open;
    return this.#send(name, { ...options, decisionId: gate?.decisionId }, { gate: options.gate ?? gate?.gate });
  }

  async #openGates(): Promise<Status['gates']> {
    try {
      return (await this.status()).gates.filter(({ state }) => state === 'open');
    } catch (error) {
      // Without a worker nobody can tell the gate's own decisionId; a new one counts once just the same.
      if (error instanceof SwitchbackError && error.code === 'NoAnswer') return [];
      throw error;
    }
  }

  async #send(
    name: 'approve' | 'reject' | 'abort' | 'pause' | 'resume' | 'retry' | 'skip',
    { by, comment, decisionId = randomUUID() }: DecisionOptions,
    about: { gate?: string | undefined; step?: string | undefined; accept?: string | undefined } = {},
  ): Promise<Delivery> {
    return this.#deliver(name, { ...about, decisionId, by, comment });
  }

  async #deliver(name: Parameters<typeof deliver>[2], fields: Parameters<typeof deliver>[3]): Promise<Delivery> {
    const given = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
    return deliver(this.#context, this.name, name, given);
  }
}
