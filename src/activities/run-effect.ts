import { CancelledFailure, Context } from '@temporalio/activity';
import { ApplicationFailure } from '@temporalio/common';
import {
  type ErrorCode,
  type FailureDetails,
  type Heartbeat,
  type RunRef,
  STEP_BLOCKED_SIGNAL,
  type StepBlocked,
  SwitchbackError,
} from '../messages/index.ts';
import { upgradeOlderLedger } from '../adapters/postgres/ledger-schema.ts';
import type { Kind } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import { assertNoDrift } from './drift.ts';
import type { Effect, EffectContext, EffectInput, EffectResult } from './effect.ts';
import { hidingStep } from './masking.ts';

/** Well below the heartbeat timeout (10 s), so that a busy event loop doesn't look like a dead worker. */
const HEARTBEAT_EVERY_MS = 1_000;
/** How often the newest heartbeat is kept in the home ledger for status and board. */
const SAVE_PROGRESS_EVERY_MS = 5_000;
/** By then the regular refreshes of the current details have taken over. */
const TELL_BLOCKED_EVERY_MS = 30 * 60_000;

/** Makes an effect's Temporal activity: fencing, heartbeats, the count of real failures, failures with a code. */
export const runEffect =
  <K extends Kind>(effect: Effect<K>, deps: Deps) =>
  (input: EffectInput<K>): Promise<EffectResult> =>
    asActivity(deps, { run: input.run, phase: input.phase, step: input.step.id }, async (context) => {
      try {
        return await hidingStep(deps, input, async () => {
          for (const name of databasesOf(input)) await upgradeOlderLedger(deps.databases.get(name));
          if (input.direction === 'up') await assertNoDrift(input, context);
          return effect[input.direction](input, context);
        });
      } catch (error) {
        if (context.signal.aborted) throw error;
        throw await counted(deps, input, error);
      }
    });

/** Where the step's ledgers are. */
const databasesOf = ({ step, of }: EffectInput): string[] => {
  const { database, left, right } = step as Partial<Record<'database' | 'left' | 'right', unknown>>;
  const named = [database, of?.database, ...[left, right].map((side) => (side as { database?: unknown })?.database)];
  return [...new Set(named.filter((name) => typeof name === 'string'))];
};

/** What every long activity of ours is wrapped in. `step` names it in heartbeats; the phase is null before the first. */
export async function asActivity<T>(
  deps: Deps,
  of: { run: RunRef; phase: string | null; step: string },
  work: (context: EffectContext) => Promise<T>,
): Promise<T> {
  const activity = Context.current();
  const { workflowExecution, attempt, activityType } = activity.info;
  const runId = workflowExecution?.runId ?? '';
  const log = deps.log.child({
    migration: of.run.migration,
    phase: of.phase,
    step: of.step,
    workflowId: workflowExecution?.workflowId,
    runId,
    attempt,
    activity: activityType,
  });
  let latest: Heartbeat = { step: of.step, progress: null, note: null };
  let saved = Date.now();
  const tell = tellsBlocked(of, log);
  let degradation: NonNullable<Heartbeat['degraded']> | null = null;
  const degraded = (words: string | null): void => {
    degradation = words === null ? null : { since: degradation?.since ?? new Date().toISOString(), words };
  };
  const report: EffectContext['report'] = ({ blocked, ...details }) => {
    latest = { step: of.step, ...details, ...(degradation !== null && { degraded: degradation }) };
    activity.heartbeat(latest);
    if (blocked === true) tell(latest);
    if (Date.now() - saved < SAVE_PROGRESS_EVERY_MS) return;
    saved = Date.now();
    deps.home.saveProgress(of.run, latest).catch((error: unknown) => log.warn({ err: error }, 'progress not saved'));
  };
  const ticker = setInterval(() => activity.heartbeat(latest), HEARTBEAT_EVERY_MS);
  try {
    await deps.home.assertRun(of.run, runId);
    return await work({ deps, log, signal: activity.cancellationSignal, report, degraded });
  } catch (error) {
    if (activity.cancellationSignal.aborted) {
      log.info({ reason: String(activity.cancellationSignal.reason) }, 'interrupted');
      throw error instanceof CancelledFailure ? error : new CancelledFailure('interrupted', [latest]);
    }
    log.warn({ err: error }, 'activity failed');
    throw asFailure(error);
  } finally {
    clearInterval(ticker);
  }
}

/**
 * Tells the run itself that someone is in the way, so that its current details show it at once. It costs the history a
 * handful of events: so once, and again after a long while.
 */
function tellsBlocked({ run, step }: { run: RunRef; step: string }, log: EffectContext['log']) {
  const activity = Context.current();
  let toldAt = Number.NEGATIVE_INFINITY;
  return ({ note }: Heartbeat): void => {
    const workflowId = activity.info.workflowExecution?.workflowId;
    if (workflowId === undefined || note === null || Date.now() - toldAt < TELL_BLOCKED_EVERY_MS) return;
    toldAt = Date.now();
    const blocked: StepBlocked = { step, note, generation: run.generation };
    activity.client.workflow
      .getHandle(workflowId)
      .signal(STEP_BLOCKED_SIGNAL, blocked)
      .catch((error: unknown) => log.warn({ err: error }, 'the run was not told who is in the way'));
  };
}

/** Counts the failure; as often as `retry.attempts` allow it is tried again. An unreachable server doesn't count. */
async function counted(deps: Deps, { run, step, direction }: EffectInput, error: unknown): Promise<unknown> {
  const failure = asSwitchbackError(error);
  if (!failure.retry || UNREACHABLE.includes(failure.code)) return failure;
  const failures = await deps.home.countFailure(run, step.id, direction, failure.message);
  if (failures < step.retry.attempts) return failure;
  return new SwitchbackError(
    'RetriesExhausted',
    `${failure.message} (failed ${failures} times, as often as retry.attempts allows)`,
    {
      ...(failure.hint !== null && { hint: failure.hint }),
      fields: { ...failure.fields, code: failure.code, failures },
      cause: error,
    },
  );
}
const UNREACHABLE: readonly ErrorCode[] = ['DatabaseUnreachable', 'UnleashUnreachable'];

const asSwitchbackError = (error: unknown): SwitchbackError =>
  error instanceof SwitchbackError
    ? error
    : new SwitchbackError(
        'StatementFailed',
        error instanceof Error ? `${error.name}: ${error.message}` : String(error),
        {
          retry: true,
          cause: error,
        },
      );

/** The failure that leaves an activity: type, details and whether Temporal tries again come from our error. */
export function asFailure(error: unknown): Error {
  if (error instanceof ApplicationFailure || error instanceof CancelledFailure) return error;
  const { code, message, retry, hint, fields } = asSwitchbackError(error);
  const details: FailureDetails = { hint, fields };
  return ApplicationFailure.create({ message, type: code, nonRetryable: !retry, details: [details] });
}
