import {
  ActivityCancellationType,
  proxyActivities,
  proxyLocalActivities,
  scheduleActivity,
} from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';

/**
 * How the workflow calls its activities. `maximumAttempts` is never set: Temporal's own pause, reset and shutdown count
 * as attempts too, so real failures are counted in the ledger.
 */
export const HEARTBEAT_TIMEOUT_MS = 10_000;
const LONG_ACTIVITY_MAX = '365 days';

/** Questions and records: a few milliseconds, in the workflow's own task. */
export const local = proxyLocalActivities<
  Pick<
    Activities,
    'checkPlan' | 'claim' | 'judge' | 'record' | 'readProgress' | 'end' | 'forgive' | 'nextOpening' | 'countFailure'
  >
>({
  startToCloseTimeout: '10s',
  localRetryThreshold: '5s',
  retry: { initialInterval: '200ms', maximumInterval: '10s' },
});

/** What talks to all databases of a plan: may wait long for one that is away. */
export const remote = proxyActivities<Pick<Activities, 'begin' | 'turn' | 'recordStep'>>({
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
    summary: options.summary.slice(0, 200),
    startToCloseTimeout: LONG_ACTIVITY_MAX,
    heartbeatTimeout: HEARTBEAT_TIMEOUT_MS,
    cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    retry: { backoffCoefficient: 2, ...(options.retry ?? { initialInterval: 1_000, maximumInterval: 30_000 }) },
  });
}
