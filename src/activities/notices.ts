import type { WebhookConfig } from '../adapters/notify/webhook.ts';
import type { Notice, Reminder } from '../adapters/postgres/notifications.ts';
import {
  type AuditEvent,
  cloudEventOf,
  eventNameOf,
  isNotificationEvent,
  type NotificationEvent,
  type RunRef,
  type Status,
} from '../messages/index.ts';
import { durationMs, type Plan } from '../plan/index.ts';
import type { PlannedDeprecation } from '../plan/deprecations.ts';
import type { Deps } from './deps.ts';
import { type NoticeContext, noticeData } from './notice-data.ts';

export interface NoticesOptions {
  webhooks: readonly WebhookConfig[];
  /** How long before a sunset it is told again, as durations. */
  deprecationNotice: readonly string[];
  /** Temporal's, of this worker. */
  namespace: string;
  /** The address of Temporal's UI, for links; null where nobody has said. */
  ui: string | null;
  /** Called when there is something in the outbox. */
  wake(): void;
}

/**
 * Who is told what: turns events of the audit into rows of the outbox. Decides nothing of how they are delivered; what
 * it makes is written in the transaction that puts the event on record.
 */
export class Notices {
  readonly webhooks: readonly WebhookConfig[];
  readonly #options: NoticesOptions;

  constructor(options: NoticesOptions) {
    this.#options = options;
    this.webhooks = options.webhooks;
  }

  /** Something is in the outbox now: whoever starts the deliveries looks. */
  wake(): void {
    this.#options.wake();
  }

  of(run: RunRef, events: readonly AuditEvent[], context: NoticeContext): Notice[] {
    return events.flatMap((event) => {
      const name = eventNameOf(event.type);
      return isNotificationEvent(name) ? this.#toAll(run, { ...event, name }, context, event.data) : [];
    });
  }

  /** Reminders of a sunset, for the webhooks that want them. */
  reminders(run: RunRef, deprecation: PlannedDeprecation, context: NoticeContext): Reminder[] {
    const { step, sunset } = deprecation;
    return this.#options.deprecationNotice.flatMap((before) => {
      const key = `deprecation-near/${step}/${sunset}/${before}`;
      const event = { key, name: 'deprecation-near' as const, by: null };
      return this.#toAll(run, event, context, { ...deprecation, before }).map((notice) =>
        Object.assign(notice, { instant: sunset, beforeMs: durationMs(before) }),
      );
    });
  }

  #toAll(
    run: RunRef,
    event: { key: string; name: NotificationEvent; by: string | null },
    context: NoticeContext,
    detail: Record<string, unknown>,
  ): Notice[] {
    const concerned = concernedBy(detail) ?? context.services;
    const wanting = this.webhooks.filter(
      ({ events, services }) =>
        events.includes(event.name) && (services === null || services.some((one) => concerned.includes(one))),
    );
    if (wanting.length === 0) return [];
    const { namespace, ui } = this.#options;
    const { data, subject } = noticeData(
      run,
      { ...event, detail },
      { ...context, services: concerned },
      { namespace, ui },
    );
    const payload = cloudEventOf({ ...run, key: event.key, namespace, name: event.name, subject, data });
    return wanting.map(({ name }) => ({ key: event.key, webhook: name, namespace, event: event.name, payload }));
  }
}

/** A deprecation concerns who provides and who consumes the version; null where an event concerns all who take part. */
function concernedBy({ providers, consumers }: Record<string, unknown>): string[] | null {
  if (!Array.isArray(providers) || !Array.isArray(consumers)) return null;
  return [
    ...new Set([...(providers as string[]), ...(consumers as { service: string }[]).map(({ service }) => service)]),
  ];
}

export const contextOfStatus = (status: Status): NoticeContext => ({
  owner: status.owner,
  requestedBy: status.requestedBy,
  risk: status.risk,
  services: status.services,
  status,
});
export const contextOfPlan = ({ metadata, spec }: Plan, requestedBy: string): NoticeContext => ({
  owner: metadata.owner,
  requestedBy,
  risk: spec.risk,
  services: Object.keys(spec.services),
  status: null,
});

/** Puts events on record, with what is to be told of them, in one transaction. */
export async function recordEvents(
  { home, notices }: Pick<Deps, 'home' | 'notices'>,
  run: RunRef,
  events: readonly AuditEvent[],
  { status, context }: { status: Status | null; context: NoticeContext | null },
): Promise<void> {
  const told = context === null ? [] : (notices?.of(run, events, context) ?? []);
  await home.record(run, events, status, { notices: told });
  if (told.length > 0) notices?.wake();
}
