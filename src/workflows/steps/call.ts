import {
  ActivityCancellationType,
  ActivityFailure,
  isCancellation,
  patched,
  scheduleActivity,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { Direction } from '../../messages/index.ts';
import type { Phase, Step, StepOf } from '../../plan/index.ts';
import { local } from '../activities.ts';
import { durationMs } from '../duration.ts';
import { cut, failWith, stepFailure } from '../failure.ts';
import type { Run } from '../run.ts';
import { soak } from '../soak.ts';
import { summaryOf } from '../summary.ts';
import { openWindow } from '../windows.ts';
import type { Orchestration } from './orchestration.ts';

/** What the other team's activity gets. Its own idempotency is keyed by `idempotencyKey`. */
export interface CallInput {
  input: unknown;
  idempotencyKey: string;
  migration: string;
  step: string;
  direction: Direction;
}
/** How long a worker of the other team may be away before a person is asked. */
const NO_WORKER_AFTER_MS = 5 * 60_000;

/** Runs an activity on another team's task queue; undone by its own compensating activity, also where the outcome is unknown. */
export const call: Orchestration = {
  async up(run, phase, step) {
    const of = asCall(step);
    if (run.checked.plan.spec.policies.windows.length > 0 && patched('call-window'))
      await openWindow(run, step.id, 'call');
    await record(run, phase, of, 'intended', null);
    const note = await tryAgain(run, of, 'up', of.activity, of.input);
    await record(run, phase, of, 'applied', note);
    return note;
  },
  async down(run, phase, step) {
    const of = asCall(step);
    if (of.compensate === undefined) return 'nothing to compensate';
    const note = await tryAgain(run, of, 'down', of.compensate.activity, of.compensate.input);
    await record(run, phase, of, 'undone', note);
    return note;
  },
  watchesGuards: false,
  pointOfNoReturn: false,
};

function asCall(step: Step): StepOf<'call'> {
  if (step.uses !== 'call') throw new Error(`not a call: ${step.uses}`);
  return step;
}

const record = (
  run: Run,
  phase: Phase,
  step: StepOf<'call'>,
  state: 'intended' | 'applied' | 'undone',
  note: string | null,
) => run.recordStep({ phase: phase.name, step: step.id, kind: step.uses, state, note, detail: {} });

/**
 * Each try is an activity of its own, so that the failures of foreign code are counted in the ledger and a restart of
 * its worker isn't one.
 */
async function tryAgain(
  run: Run,
  step: StepOf<'call'>,
  direction: Direction,
  activity: string,
  input: unknown,
): Promise<string> {
  let waitMs = durationMs(step.retry.initialInterval);
  for (;;) {
    const { answer, failure } = await run.perform(step.id, () =>
      outcomeOf(once(run, step, direction, activity, input)),
    );
    if (failure === null) return answer == null ? `${activity} done` : cut(`${activity}: ${JSON.stringify(answer)}`);
    await countTry(run, step, direction, activity, failure);
    await soak(run, step.id, `${activity} is tried again`, waitMs, () => undefined);
    waitMs = Math.min(waitMs * 2, durationMs(step.retry.maximumInterval));
  }
}

/** Their failure is an outcome, not one of ours, whatever type it has. */
async function outcomeOf(of: Promise<unknown>): Promise<{ answer: unknown; failure: ActivityFailure | null }> {
  try {
    return { answer: await of, failure: null };
  } catch (thrown) {
    if (isCancellation(thrown) || !(thrown instanceof ActivityFailure)) throw thrown;
    return { answer: null, failure: thrown };
  }
}

const once = (
  run: Run,
  step: StepOf<'call'>,
  direction: Direction,
  activity: string,
  input: unknown,
): Promise<unknown> => {
  const { migration, version, epoch } = run.ref;
  return scheduleActivity(
    activity,
    [
      {
        input,
        idempotencyKey: [migration, version, epoch, step.id, direction].join('/'),
        migration,
        step: step.id,
        direction,
      } satisfies CallInput,
    ],
    {
      activityId: step.id,
      summary: summaryOf(`${activity} on ${step.taskQueue}`),
      taskQueue: step.taskQueue,
      scheduleToStartTimeout: Math.min(
        NO_WORKER_AFTER_MS,
        step.timeout === undefined ? Infinity : durationMs(step.timeout),
      ),
      // Without heartbeats a dead worker shows only here.
      startToCloseTimeout: step.timeout === undefined ? '1 hour' : durationMs(step.timeout),
      ...(step.heartbeatTimeout !== undefined && { heartbeatTimeout: durationMs(step.heartbeatTimeout) }),
      cancellationType: ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
      retry: { maximumAttempts: 1 },
    },
  );
};

async function countTry(
  run: Run,
  step: StepOf<'call'>,
  direction: Direction,
  activity: string,
  thrown: ActivityFailure,
): Promise<void> {
  if (thrown.cause instanceof TimeoutFailure) {
    if (thrown.cause.timeoutType === 'SCHEDULE_TO_START') {
      throw failWith('NoWorker', `no worker polls ${step.taskQueue}`, 'start that worker, then retry', { hold: true });
    }
    if (thrown.cause.timeoutType === 'HEARTBEAT') return;
  }
  const message = stepFailure(thrown, step.id)?.error.message ?? thrown.cause?.message ?? thrown.message;
  const failures = await local.countFailure({ run: run.ref, step: step.id, direction, message });
  const nonRetryable = thrown.retryState === 'NON_RETRYABLE_FAILURE';
  if (nonRetryable || failures >= step.retry.attempts) {
    throw failWith(
      'CallFailed',
      `${activity} on ${step.taskQueue} failed ${failures} times: ${message}`,
      'ask the team that owns it',
    );
  }
}
