import {
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  isCancellation,
  proxyActivities,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import type { NotificationRef } from '../messages/index.ts';

/** For so long a receiver may be away; what it was not told by then is given up. */
const TRIED_FOR = '3 days';

/** The activity itself says when it is tried again; the policy counts where a worker died in mid-attempt. */
const { deliverNotification } = proxyActivities<Pick<Activities, 'deliverNotification'>>({
  scheduleToCloseTimeout: TRIED_FOR,
  startToCloseTimeout: '60s',
  retry: { initialInterval: '1s', backoffCoefficient: 2, maximumInterval: '1 hour' },
});
const { giveUpNotification } = proxyActivities<Pick<Activities, 'giveUpNotification'>>({
  startToCloseTimeout: '30s',
  retry: { initialInterval: '1s', maximumInterval: '1 minute' },
});

/**
 * Tells one webhook of one event, however long that takes. A run of its own, so that a migration never waits for it and
 * may end before it. What is told is in the home ledger's outbox: neither addresses nor texts get into this history.
 * Cancelled, it gives up, on record.
 */
export async function notification(ref: NotificationRef): Promise<string> {
  try {
    return await deliverNotification(ref);
  } catch (thrown) {
    if (!(thrown instanceof ActivityFailure)) throw thrown;
    const reason = reasonOf(thrown);
    await CancellationScope.nonCancellable(() => giveUpNotification({ ref, reason }));
    if (isCancellation(thrown)) throw thrown;
    throw ApplicationFailure.nonRetryable(`given up: ${reason}`, 'WebhookFailed');
  }
}

/** Temporal tells of the last failure where the next try would be too late. */
function reasonOf(failure: ActivityFailure): string {
  const { cause, retryState } = failure;
  if (isCancellation(failure)) return 'cancelled in Temporal';
  const last = cause instanceof ApplicationFailure ? cause.message : null;
  if (last !== null && retryState === 'NON_RETRYABLE_FAILURE') return last;
  return `not delivered in ${TRIED_FOR}${last === null ? '' : `: ${last}`}`;
}
