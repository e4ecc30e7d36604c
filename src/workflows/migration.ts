import {
  allHandlersFinished,
  ActivityFailure,
  ApplicationFailure,
  CancellationScope,
  CancelledFailure,
  condition,
  continueAsNew,
  defineQuery,
  patched,
  setHandler,
} from '@temporalio/workflow';
import type { CheckedPlan, Turned } from '../activities/lifecycle.ts';
import {
  type EndStatus,
  type FailureDetails,
  type MigrationInput,
  type MigrationResult,
  NAME_LENGTH_MAX,
  type Status,
  STATUS_QUERY,
} from '../messages/index.ts';
import { local, remote } from './activities.ts';
import { holdBreach, whileLowering } from './breach.ts';
import { cancelDecided, cancelRun } from './cancel.ts';
import { claimTables } from './claims.ts';
import { rollBack } from './compensation.ts';
import { isFenced, Stop } from './failure.ts';
import { listen, refuse, type RunSlot } from './messages.ts';
import { runPhases } from './phases.ts';
import { Publisher } from './publisher.ts';
import { Run } from './run.ts';
import { statusOf } from './run-status.ts';
import { initialState, layOut, type MigrationState, type StepProgress } from './state.ts';
import { maybeIrreversible, pointOfNoReturn } from './steps/index.ts';

/** What continue-as-new carries over. The plan is then the checked one, so that it is not checked by other rules. */
interface Carried {
  state: MigrationState;
  checked: Omit<CheckedPlan, 'plan'>;
}
const statusQuery = defineQuery<Status>(STATUS_QUERY);

/**
 * One migration, from a plan to its end. Answers a `MigrationResult` when it completed; fails with `RolledBack` or
 * `MigrationFailed`, or as Canceled where Temporal's Cancel asked for the rollback; a bad plan fails it at once.
 */
export async function migration(input: MigrationInput & { carried?: Carried }): Promise<MigrationResult> {
  const given = readInput(input);
  const state = given.carried?.state ?? initialState(given.requestedBy, Date.now());
  const slot: RunSlot = { run: null };
  // Before the first await: signals that came with the start must find their handlers.
  setHandler(statusQuery, () => statusOf(state, slot.run?.checked ?? null, Date.now()), {
    description: 'Where the migration stands.',
  });
  listen(state, slot);
  const canceled = CancellationScope.current().cancelRequested.catch(() => {
    state.canceled = true;
    if (slot.run !== null) cancelRun(slot.run);
  });
  void canceled;

  return CancellationScope.nonCancellable(async () => {
    const checked = await beginning(state, checkedPlan(given));
    layOut(state, checked);
    const run = new Run(state, checked);
    await beginning(state, run.register());
    if (state.ended !== null) return nothingToDo(checked);
    slot.run = run;
    if (state.canceled) cancelRun(run);
    return conduct(run);
  });
}

function readInput(input: unknown): { plan: unknown; requestedBy: string; carried: Carried | null } {
  const {
    plan = input,
    requestedBy,
    carried,
  } = (typeof input === 'object' && input !== null ? input : {}) as Partial<MigrationInput & { carried: Carried }>;
  return {
    plan: plan ?? null,
    requestedBy: typeof requestedBy === 'string' ? requestedBy.slice(0, NAME_LENGTH_MAX) : 'unknown',
    carried: carried ?? null,
  };
}

async function checkedPlan(given: { plan: unknown; carried: Carried | null }): Promise<CheckedPlan> {
  if (given.carried !== null) return { ...given.carried.checked, plan: given.plan as CheckedPlan['plan'] };
  return local.checkPlan(given.plan);
}

/** A migration that can't begin fails with what its activity raised, and refuses what is sent to it meanwhile. */
async function beginning<T>(state: MigrationState, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    state.ended = 'failed';
    if (thrown instanceof ActivityFailure && thrown.cause instanceof ApplicationFailure) throw thrown.cause;
    throw thrown;
  }
}

/** Goes up; turns round when that is decided; continues as new when that is asked for; ends. */
async function conduct(run: Run): Promise<MigrationResult> {
  const publisher = new Publisher(run);
  const loops = [publisher.start(), publisher.refresh()];
  run.event('run', run.state.requestedBy, { generation: run.ref.generation, direction: run.state.direction });
  for (;;) {
    try {
      if (run.state.direction === 'up' && run.state.turning === null) {
        await claimTables(run);
        await runPhases(run);
        await cancelDecided(run);
        return await finish(run, publisher, loops, 'completed');
      }
      if (run.state.direction === 'up' && !(await turnRound(run))) continue;
      if (Object.values(run.state.steps).some((step) => step.touched)) await claimTables(run);
      await whileLowering(run, () => rollBack(run));
      return await finish(run, publisher, loops, run.state.notUndone.length === 0 ? 'rolled-back' : 'failed');
    } catch (thrown) {
      if (!(thrown instanceof Stop)) throw thrown;
      if (run.state.ended !== null) return nothingToDo(run.checked);
      run.restarting = false;
      if (run.renewing) await renew(run, publisher);
    }
  }
}

/**
 * From here on the run goes down, whatever happens: the ledgers say so, and nothing of the way up can act any more.
 * False where the ledgers show that the way back is taken: then the run goes on up.
 */
async function turnRound(run: Run): Promise<boolean> {
  const { turning } = run.state;
  const done = pointOfNoReturn(run);
  // It answered after the decision to turn: an activity whose worker is new to it is told of its cancellation too late.
  if (done !== null && turning?.recorded !== true && patched('turn-after-drop')) {
    goOn(run, { step: done, note: run.state.steps[done]?.note ?? null });
    return false;
  }
  const irreversible = maybeIrreversible(run);
  for (;;) {
    try {
      const { passed, ...ref } = await remote.turn({
        run: run.ref,
        databases: run.databases,
        event: {
          key: `turned/${run.ref.epoch}`,
          type: 'turned',
          by: turning?.by ?? null,
          data: { reason: turning?.reason ?? '' },
        },
        ...(irreversible.length > 0 && { irreversible }),
      });
      run.state.run = ref;
      if (passed === undefined) break;
      goOn(run, passed);
      return false;
    } catch (thrown) {
      if (!isFenced(thrown)) throw thrown;
      await run.register();
      if (run.restarting || run.state.ended !== null) throw new Stop();
    }
  }
  run.state.direction = 'down';
  run.changed();
  return true;
}

/** The step took effect before it could be stopped: who wanted to turn is told, and the run goes on. */
function goOn(run: Run, { step, note }: NonNullable<Turned['passed']>): void {
  const { state } = run;
  const reason = state.turning?.reason ?? '';
  holdBreach(run);
  Object.assign(state, { turning: null, error: null } satisfies Partial<MigrationState>);
  const at = state.steps[step];
  if (at?.state !== 'done') run.event('point-of-no-return', null, { step });
  if (at !== undefined) Object.assign(at, { state: 'done', note } satisfies Partial<StepProgress>);
  run.event('turn-refused', null, { step, reason });
  refuse(state, { run }, 'rollback', reason, `the point of no return (${step}) was passed before it could stop`);
  if (state.canceled) cancelRun(run);
}

async function renew(run: Run, publisher: Publisher): Promise<never> {
  // What comes while the last events are written is handled here too: the next run would not know of it.
  do {
    await condition(allHandlersFinished);
    await publisher.flush();
  } while (!allHandlersFinished());
  publisher.close();
  const { plan, ...checked } = run.checked;
  return continueAsNew<typeof migration>({
    plan,
    requestedBy: run.state.requestedBy,
    carried: { state: run.state, checked },
  });
}

async function finish(
  run: Run,
  publisher: Publisher,
  loops: Promise<void>[],
  end: EndStatus,
): Promise<MigrationResult> {
  const { state } = run;
  await publisher.flush();
  // What was accepted meanwhile counts: an abort, or a fresh history.
  if (run.stopping) throw new Stop();
  run.event(end, null, {});
  publisher.close();
  state.ended = end;
  state.waiting = {};
  await local.end({
    run: run.ref,
    state: end,
    status: statusOf(state, run.checked, Date.now()),
    events: run.outbox.splice(0),
    databases: run.databases,
  });
  await publisher.publish();
  await Promise.all(loops);
  await condition(allHandlersFinished);
  if (end === 'completed') return completed(run.checked);
  const { reason, error } = statusOf(state, run.checked, Date.now());
  if (state.canceled) throw new CancelledFailure(reason);
  const details: FailureDetails = {
    hint: error?.hint ?? null,
    fields: { code: error?.code ?? null, step: error?.step ?? null },
  };
  throw ApplicationFailure.nonRetryable(reason, end === 'failed' ? 'MigrationFailed' : 'RolledBack', details);
}

const resultOf = (
  { plan, digest }: CheckedPlan,
  outcome: MigrationResult['outcome'],
  message: string,
): MigrationResult => ({
  name: plan.metadata.name,
  version: plan.metadata.version,
  digest,
  outcome,
  message,
});
const completed = (checked: CheckedPlan) => resultOf(checked, 'completed', 'every phase is done');
const nothingToDo = (checked: CheckedPlan) =>
  resultOf(
    checked,
    'nothing-to-do',
    `version ${checked.plan.metadata.version} has completed already: there is nothing to do`,
  );
