import type { WorkflowExecutionDescription } from '@temporalio/client';
import { isEnd, STATUS_QUERY, type Status, SwitchbackError, workflowIdOf } from '../messages/index.ts';
import { CALL_TIMEOUT_MS, type ClientContext } from './context.ts';
import { readHeartbeats, withHeartbeats } from './heartbeats.ts';
import { migrationNames } from './list.ts';
import { nearestNames } from './nearest-names.ts';
import { bareStatus, endedStatus, outcomeError } from './outcome.ts';
import { isNotFound, serviceError } from './service-error.ts';
import { workflowLink } from './workflow-link.ts';

const QUERY_TIMEOUT_MS = 2_000;

/**
 * Reads one migration's status. It asks the run itself; where that stays silent for two seconds (no worker), the home
 * ledger; where the run is over and neither answers, what Temporal keeps. A reader remembers its last answer and
 * doesn't ask the run again while its history is as long as before.
 */
export class StatusReader {
  readonly #context: ClientContext;
  readonly #name: string;
  #last: { key: string; status: Status } | null = null;

  constructor(context: ClientContext, name: string) {
    this.#context = context;
    this.#name = name;
  }

  /** @throws SwitchbackError UnknownMigration, NoAnswer, TemporalUnreachable */
  async read(): Promise<Status> {
    const description = await this.describe();
    if (description === null) return this.#forgotten();
    const own = await this.#ask(description);
    const running = description.closeTime === undefined;
    // A run that found nothing to do has nothing to tell; what the migration did is in the ledger.
    const idle = !running && own?.name === '' && own.status === 'completed';
    const kept = own === null || idle ? await this.#fromLedger() : null;
    const status = kept === null ? own : { ...kept, source: idle ? ('workflow' as const) : kept.source };
    if (status === null && running) throw this.#noAnswer(description);
    const beats = running ? await readHeartbeats(this.#context.client, description) : new Map();
    const known = withHeartbeats(filledIn(status, bareStatus(this.#name, description)), beats);
    const link = workflowLink(this.#context, workflowIdOf(this.#name), description.runId);
    return {
      ...(running || tellsItsEnd(known) ? known : await this.#ended(known, description)),
      links: { ...(link !== null && { temporal: link }), ...known.links },
    };
  }

  /** Temporal's description of the latest run; null where Temporal knows none. */
  async describe(): Promise<WorkflowExecutionDescription | null> {
    const { client, place } = this.#context;
    try {
      return await client.withDeadline(Date.now() + CALL_TIMEOUT_MS, () =>
        client.workflow.getHandle(workflowIdOf(this.#name)).describe(),
      );
    } catch (error) {
      if (isNotFound(error)) return null;
      throw serviceError(error, place);
    }
  }

  async #ask(description: WorkflowExecutionDescription): Promise<Status | null> {
    const key = `${description.runId} ${description.historyLength} ${description.status.name}`;
    if (this.#last?.key === key) return this.#last.status;
    const { client } = this.#context;
    try {
      const status = await client.withDeadline(Date.now() + QUERY_TIMEOUT_MS, () =>
        client.workflow.getHandle(workflowIdOf(this.#name), description.runId).query<Status>(STATUS_QUERY),
      );
      this.#last = { key, status: { ...status, source: 'workflow' } };
      return this.#last.status;
    } catch {
      // Whatever keeps a run from answering (no worker, a wedged task, a foreign type), the ledger comes next.
      return null;
    }
  }

  async #fromLedger(): Promise<Status | null> {
    const kept = await this.#context.ledgerStatus?.(this.#name);
    return kept == null ? null : { ...kept, source: 'ledger' };
  }

  async #ended(status: Status, description: WorkflowExecutionDescription): Promise<Status> {
    const { client, place } = this.#context;
    const closedAt = description.closeTime ?? new Date();
    try {
      await client.withDeadline(Date.now() + CALL_TIMEOUT_MS, () =>
        client.workflow.getHandle(workflowIdOf(this.#name), description.runId).result(),
      );
      return endedStatus(status, null, closedAt);
    } catch (error) {
      const outcome = outcomeError(error, this.#name);
      if (outcome === null) throw serviceError(error, place);
      return endedStatus(status, outcome, closedAt);
    }
  }

  /** Temporal has no such run: it may have been forgotten after its retention, or never have existed. */
  async #forgotten(): Promise<Status> {
    const kept = await this.#fromLedger();
    if (kept !== null) return kept;
    throw await unknownMigration(this.#context, this.#name);
  }

  #noAnswer(description: WorkflowExecutionDescription): SwitchbackError {
    const { taskQueue } = description;
    return new SwitchbackError(
      'NoAnswer',
      `"${this.#name}" runs, but no worker on task queue "${taskQueue}" answers for it`,
      {
        retry: true,
        hint: `start a worker (\`switchback worker\` or \`switchback dev\`) on task queue "${taskQueue}"; the run is safe meanwhile`,
        fields: { migration: this.#name, taskQueue, address: this.#context.place.address },
      },
    );
  }
}

/** Until a run has read its plan it knows little of itself; what Temporal was told at the start stands in. */
const filledIn = (status: Status | null, bare: Status): Status =>
  status === null
    ? bare
    : status.name !== ''
      ? status
      : {
          ...status,
          name: bare.name,
          version: bare.version,
          digest: bare.digest,
          owner: bare.owner,
          services: bare.services,
          risk: bare.risk,
        };

/** One that was refused at its start ends without saying why; its result does. */
const tellsItsEnd = (status: Status): boolean =>
  isEnd(status.status) && (status.status === 'completed' || status.error !== null);

/** The error for a name that nobody knows, with the names near it. */
export async function unknownMigration(context: ClientContext, name: string): Promise<SwitchbackError> {
  const { address, namespace } = context.place;
  const names = await migrationNames(context).catch(() => []);
  const near = nearestNames(name, names);
  return new SwitchbackError(
    'UnknownMigration',
    `there is no migration "${name}" at ${address} (namespace "${namespace}")`,
    {
      hint:
        near.length > 0
          ? `did you mean ${near.map((one) => `"${one}"`).join(' or ')}?`
          : names.length > 0
            ? `there are: ${names.slice(0, 10).join(', ')}`
            : 'none has been started there yet; `switchback start PLAN` starts one',
      fields: { migration: name, address, namespace },
    },
  );
}
