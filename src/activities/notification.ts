import { Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import { deliver, type Delivery, type WebhookConfig } from '../adapters/notify/webhook.ts';
import {
  beginAttempt,
  giveUp,
  noteDelivered,
  noteFailed,
  withdrawUnfounded,
} from '../adapters/postgres/notifications.ts';
import { eventIdOf, type FailureDetails, type NotificationRef } from '../messages/index.ts';
import type { Deps } from './deps.ts';

/** A receiver that says no is asked again for a good half an hour, in which someone may correct what it dislikes. */
const REFUSALS_MAX = 12;
const BACKOFF_MAX_MS = 3_600_000;
/** At once, in one worker: a receiver that hangs must not keep the worker's places from the steps of migrations. */
const AT_ONCE_MAX = 20;
const AT_ONCE_OF_ONE_MAX = 4;
const BUSY_FOR_MS = 2_000;

/** Delivers what is in the outbox: one attempt, or the record that there will be no other. */
export function createNotification(deps: Deps) {
  const home = deps.home.database;
  const underWay = new Map<string, number>();
  return {
    /**
     * One attempt to tell one webhook of one event. At least once: a worker that dies between the receiver's answer and
     * the record of it has it sent again, under the same ID. When it is tried again is decided here.
     */
    async deliverNotification(ref: NotificationRef): Promise<string> {
      const webhook = deps.notices?.webhooks.find(({ name }) => name === ref.webhook);
      if (webhook === undefined)
        throw failure(`webhook "${ref.webhook}" is not in this worker's configuration`, BACKOFF_MAX_MS / 60);
      const release = enter(underWay, ref.webhook);
      if (release === null) throw failure(`too many deliveries are under way`, BUSY_FOR_MS * (1 + Math.random()));
      try {
        return await attempt(deps, webhook, ref);
      } finally {
        release();
      }
    },

    /** There will be no other attempt: that is on record, where people look for it. */
    async giveUpNotification({ ref, reason }: { ref: NotificationRef; reason: string }): Promise<void> {
      const given = await giveUp(home, ref, reason);
      if (given === null) return;
      deps.log.warn(
        { migration: ref.migration, webhook: ref.webhook, event: given.event, attempts: given.attempts, reason },
        'a notification was given up',
      );
    },
  };
}

async function attempt(deps: Deps, webhook: WebhookConfig, ref: NotificationRef): Promise<string> {
  const home = deps.home.database;
  await withdrawUnfounded(home, ref);
  const now = await beginAttempt(home, ref);
  if (now === null) return 'nothing to tell any more';
  const { cancellationSignal } = Context.current();
  const delivery = await deliver(webhook, { id: eventIdOf(ref), body: now.body }, cancellationSignal);
  if (delivery.kind === 'delivered') {
    await noteDelivered(home, ref);
    return `delivered at attempt ${now.attempts}`;
  }
  const refused = delivery.kind === 'refused';
  await noteFailed(home, ref, { reason: delivery.reason, refused });
  throw failureOf(delivery, { attempts: now.attempts, refusals: now.refusals + (refused ? 1 : 0) });
}

function failureOf(
  delivery: Exclude<Delivery, { kind: 'delivered' }>,
  { attempts, refusals }: { attempts: number; refusals: number },
): ApplicationFailure {
  if (delivery.kind === 'gone') return failure(`${delivery.reason}: the receiver wants nothing more`, null);
  if (delivery.kind === 'refused' && refusals >= REFUSALS_MAX)
    return failure(`${delivery.reason}, ${refusals} times`, null);
  const asked = delivery.kind === 'later' ? (delivery.afterMs ?? 0) : 0;
  return failure(delivery.reason, Math.max(asked, backoffMs(attempts)));
}

/** 1 s, 2 s, 4 s … an hour, each up to a quarter longer, so that what failed together doesn't come back together. */
const backoffMs = (attempts: number): number =>
  Math.min(BACKOFF_MAX_MS, 1_000 * 2 ** Math.min(attempts - 1, 20)) * (1 + Math.random() / 4);

/** `againInMs`: null where it is not tried again. */
function failure(message: string, againInMs: number | null): ApplicationFailure {
  const details: FailureDetails = { hint: null, fields: {} };
  return ApplicationFailure.create({
    type: 'WebhookFailed',
    message,
    details: [details],
    ...(againInMs === null ? { nonRetryable: true } : { nextRetryDelay: Math.ceil(againInMs) }),
  });
}

/** Takes a place for a delivery; null where there is none. */
function enter(underWay: Map<string, number>, webhook: string): (() => void) | null {
  const own = underWay.get(webhook) ?? 0;
  const all = [...underWay.values()].reduce((sum, count) => sum + count, 0);
  if (own >= AT_ONCE_OF_ONE_MAX || all >= AT_ONCE_MAX) return null;
  underWay.set(webhook, own + 1);
  return () => {
    underWay.set(webhook, (underWay.get(webhook) ?? 1) - 1);
  };
}
