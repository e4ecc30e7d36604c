import {
  ActivityCancellationType,
  ActivityFailure,
  ApplicationFailure,
  proxyActivities,
  proxyLocalActivities,
  scheduleActivity,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import { summaryOf } from './summary.ts';

/**
 * How the workflow calls its activities. `maximumAttempts` is never set: Temporal's own pause, reset and shutdown count
 * as attempts too, so real failures are counted in the ledger.
 */
export const HEARTBEAT_TIMEOUT_MS = 10_000;
const LONG_ACTIVITY_MAX = '365 days';

type LocalActivities = Pick<
  Activities,
  'checkPlan' | 'claim' | 'judge' | 'record' | 'readProgress' | 'end' | 'forgive' | 'nextOpening' | 'countFailure'
>;
const anyOrder = proxyLocalActivities<LocalActivities>({
  scheduleToCloseTimeout: '5s',
  retry: { initialInterval: '200ms', maximumInterval: '2s' },
});
/**
 * The same on the server's account, where the ledger is away for longer: however often that is tried again, it costs
 * no events. A local one costs six for each try, and a day of that would end the run (Temporal's limit of a history).
 */
const patient = proxyActivities<LocalActivities>({
  startToCloseTimeout: '30s',
  retry: { initialInterval: '500ms', maximumInterval: '10s' },
});

/**
 * Questions and records: a few milliseconds, in the workflow's own task. One at a time: two that run side by side end
 * in two activations, but a replay resolves both in one, and their fibers' commands then come in another order (seen:
 * a completed run that no query could read any more).
 */
export const local = new Proxy(anyOrder, {
  get: (target, name, receiver) => {
    const activity = Reflect.get(target, name, receiver) as Activity;
    const again = Reflect.get(patient, name) as Activity;
    return (...given: unknown[]) =>
      inTurn(async () => {
        try {
          return await activity(...given);
        } catch (thrown) {
          if (isFinal(thrown)) throw thrown;
          return again(...given);
        }
      });
  },
});
type Activity = (...given: unknown[]) => Promise<unknown>;
/** A replay raises the failure of a local activity without the `ActivityFailure` round it (seen with a timeout). */
function isFinal(thrown: unknown): boolean {
  const cause = thrown instanceof ActivityFailure ? thrown.cause : thrown;
  return !(cause instanceof TimeoutFailure) && !(cause instanceof ApplicationFailure && cause.nonRetryable !== true);
}
let last: Promise<unknown> = Promise.resolve();
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work);
  last = result.catch(() => undefined);
  return result;
}

/** What talks to all databases of a plan: may wait long for one that is away. */
export const remote = proxyActivities<Pick<Activities, 'begin' | 'turn' | 'recordStep' | 'dropDue'>>({
  startToCloseTimeout: '60s',
  retry: { initialInterval: '500ms', maximumInterval: '10s' },
});

/** A heartbeating activity that may take days, is interrupted by cancelling, and has ended when its call returns. */
export function longActivity<T>(
  name: string,
  input: unknown,
  options: {
    activityId: string;
    summary: string;
    retry?: { initialInterval: number; maximumInterval: number };
  },
): Promise<T> {
  return scheduleActivity<T>(name, [input], {
    activityId: options.activityId,
    summary: summaryOf(options.summary),
    startToCloseTimeout: LONG_ACTIVITY_MAX,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { backoffCoefficient: 2, ...(options.retry ?? { initialInterval: 1_000, maximumInterval: 30_000 }) },
  });
}
