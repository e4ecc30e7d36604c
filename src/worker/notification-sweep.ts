import { setTimeout as pause } from 'node:timers/promises';
import { type Client, WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import type { Logger } from 'pino';
import { dueNotices, noteStarted } from '../adapters/postgres/notifications.ts';
import type { HomeLedger } from '../adapters/postgres/home-ledger.ts';
import { NOTIFICATION_WORKFLOW, type NotificationRef, notificationIdOf } from '../messages/index.ts';

/** Reminders become due by themselves, and another worker may have died with something in the outbox. */
const LOOK_EVERY_MS = 10_000;
const PAGE_ROWS_MAX = 100;
const CALL_TIMEOUT_MS = 10_000;

/**
 * Starts the workflow of each row of the outbox that is due. Owns only that: what is delivered, and when it is tried
 * again, is the workflow's. Any number of workers may do this at once, for a workflow ID starts once. The first round
 * looks at everything that is not delivered, in case Temporal lost what was started.
 */
export class NotificationSweep {
  readonly #home: HomeLedger;
  readonly #client: Client;
  readonly #place: { namespace: string; taskQueue: string };
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #rest: AbortController | null = null;
  #woken = false;
  #ended: Promise<void> = Promise.resolve();

  constructor(of: { home: HomeLedger; client: Client; place: { namespace: string; taskQueue: string }; log: Logger }) {
    this.#home = of.home;
    this.#client = of.client;
    this.#place = of.place;
    this.#log = of.log;
  }

  start(): void {
    this.#ended = this.#loop();
  }

  /** There may be something to do: it is looked at once, now or after the round that is under way. */
  wake(): void {
    this.#woken = true;
    this.#rest?.abort();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#rest?.abort();
    await this.#ended;
  }

  async #loop(): Promise<void> {
    let all = true;
    while (!this.#stopping.signal.aborted) {
      this.#woken = false;
      try {
        await this.#round(all);
        all = false;
      } catch (error) {
        // The next round does what this one left.
        this.#log.warn({ err: error }, 'notifications were not started');
        this.#woken = false;
      }
      if (!this.#woken && !this.#stopping.signal.aborted) {
        this.#rest = new AbortController();
        await pause(LOOK_EVERY_MS, undefined, { signal: this.#rest.signal, ref: false }).catch(() => undefined);
        this.#rest = null;
      }
    }
  }

  async #round(all: boolean): Promise<void> {
    const { namespace } = this.#place;
    let afterId = '0';
    for (;;) {
      const page = await dueNotices(this.#home.database, { namespace, afterId, all, max: PAGE_ROWS_MAX });
      for (const { id, event, ...ref } of page) {
        if (this.#stopping.signal.aborted) return;
        await this.#begin(ref, event);
        await noteStarted(this.#home.database, ref);
        afterId = id;
      }
      if (page.length < PAGE_ROWS_MAX) return;
    }
  }

  async #begin(ref: NotificationRef, event: string): Promise<void> {
    try {
      await this.#client.withDeadline(Date.now() + CALL_TIMEOUT_MS, () =>
        this.#client.workflow.start(NOTIFICATION_WORKFLOW, {
          workflowId: notificationIdOf(ref),
          taskQueue: this.#place.taskQueue,
          args: [ref],
          workflowIdConflictPolicy: 'USE_EXISTING',
          // One that was terminated, or whose server was lost, is begun again; one that ended is not.
          workflowIdReusePolicy: 'ALLOW_DUPLICATE_FAILED_ONLY',
          staticSummary: `${event} of ${ref.migration} to ${ref.webhook}`,
        }),
      );
    } catch (error) {
      if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    }
  }
}
