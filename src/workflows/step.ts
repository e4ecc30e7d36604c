import type { Phase, Step } from '../plan/index.ts';
import { stopExposure } from './breach.ts';
import { holdsNow } from './conditions.ts';
import { type StepFailure, Stop, stepFailure } from './failure.ts';
import { watchGuards } from './guards.ts';
import { isHeld, placeHold, resolution } from './holds.ts';
import type { Run } from './run.ts';
import { NOTE_LENGTH_MAX, type StepProgress } from './state.ts';
import { orchestrationOf, pointOfNoReturn } from './steps/index.ts';

/** A step goes up: until it is done or skipped, or the run turns round. What fails for good is held or rolls back. */
export async function runStep(run: Run, phase: Phase, step: Step): Promise<void> {
  const at = run.state.steps[step.id];
  if (at === undefined || at.state === 'done' || at.state === 'skipped') return;
  for (;;) {
    if (!isHeld(run, step.id) && (await attempted(run, phase, step, at))) return;
    if ((await resolution(run, step.id)) === 'skip') return skip(run, phase, step, at, 'skipped by a person');
    at.retried = (at.retried ?? 0) + 1;
  }
}

/** True when it is done; false when it failed for good and is held. Throws `Stop` when the run turns round. */
async function attempted(run: Run, phase: Phase, step: Step, at: StepProgress): Promise<boolean> {
  try {
    await attempt(run, phase, step, at);
    return true;
  } catch (thrown) {
    const failure = stepFailure(thrown, step.id);
    if (thrown instanceof Stop || failure === null) throw thrown;
    at.note = noted(failure.error.message);
    if (holds(run, step, failure)) {
      at.state = 'held';
      placeHold(run, step.id, phase.name, failure.error, acceptable(failure));
      return false;
    }
    at.state = 'failed';
    run.turn({ reason: `${step.id} failed: ${failure.error.message}`, by: null, error: failure.error });
    if (BREACHES.includes(failure.error.code)) await stopExposure(run, step.id, failure, { hold: false });
    throw new Stop();
  }
}

/** What a person may accept as it is shown, by its digest. */
const acceptable = ({ fields: { accept } }: StepFailure): { drift?: string } =>
  typeof accept === 'string' ? { drift: accept } : {};
/** A rollout watches its guards and gates itself: what they say counts for all that exposes users. */
const BREACHES: readonly string[] = ['GuardTripped', 'MetricsUnreachable', 'GateFailed', 'GateNoData'];

/**
 * After the point of no return nothing rolls back, whatever the plan says. What would take the way back and is refused
 * has lost nothing yet: a person decides, unless the plan does. A step can ask to be held.
 */
const holds = (run: Run, step: Step, failure: StepFailure): boolean =>
  failure.fields['hold'] === true ||
  pointOfNoReturn(run) !== null ||
  (step.onFailure ?? (orchestrationOf(step.uses).pointOfNoReturn ? 'hold' : 'rollback')) === 'hold';

async function attempt(run: Run, phase: Phase, step: Step, at: StepProgress): Promise<void> {
  const orchestration = orchestrationOf(step.uses);
  if (step.when !== undefined && !at.touched) {
    const { holds: due, reason } = await holdsNow(run, step.id, phase.name, step.when);
    if (!due) return skip(run, phase, step, at, `not needed: ${reason}`);
  }
  at.state = 'running';
  at.touched = true;
  run.changed();
  // A rollout watches its guards itself: its exposure depends on them.
  const guards = watchGuards(run, {
    key: `${step.id}/guards`,
    phase: phase.name,
    guards: orchestration.watchesGuards ? [] : step.guards,
  });
  try {
    at.note = noted(await orchestration.up(run, phase, step));
  } finally {
    await guards.end();
  }
  if (at.progress !== null && at.progress.total !== null)
    at.progress = { ...at.progress, done: at.progress.total, etaSeconds: 0 };
  at.state = 'done';
  run.event('step-done', null, { step: step.id, note: at.note });
}

async function skip(run: Run, phase: Phase, step: Step, at: StepProgress, note: string): Promise<void> {
  const { id, uses } = step;
  await run.recordStep({
    phase: phase.name,
    step: id,
    kind: uses,
    state: 'skipped',
    note,
    detail: { touched: at.touched ? 'yes' : 'no' },
  });
  at.state = 'skipped';
  at.note = noted(note);
  run.event('step-skipped', null, { step: id, note });
}

/** A step goes down: until it is undone, or a person skips that. A compensation that fails for good is never dropped. */
export async function undoStep(run: Run, phase: Phase, step: Step): Promise<void> {
  const at = run.state.steps[step.id];
  // A skipped compensation is not tried again by a continue-as-new.
  if (at === undefined || at.state === 'undone' || !at.touched || run.state.notUndone.includes(step.id)) return;
  for (;;) {
    if (!isHeld(run, step.id)) {
      const failure = await undoOnce(run, phase, step, at);
      if (failure === null) return;
      at.note = noted(failure.error.message);
      // It took effect after all: there is nothing that a person could decide.
      if (orchestrationOf(step.uses).pointOfNoReturn && failure.error.code === 'NotReversible') {
        at.state = 'failed';
        return;
      }
      at.state = 'held';
      placeHold(run, step.id, phase.name, failure.error, acceptable(failure));
    }
    if ((await resolution(run, step.id)) === 'retry') continue;
    at.state = 'failed';
    run.state.notUndone.push(step.id);
    return;
  }
}

async function undoOnce(run: Run, phase: Phase, step: Step, at: StepProgress): Promise<StepFailure | null> {
  const { down } = orchestrationOf(step.uses);
  try {
    at.state = 'undoing';
    run.changed();
    if (down !== null) at.note = noted(await down(run, phase, step));
    at.state = 'undone';
    run.event('step-undone', null, { step: step.id, note: at.note });
    return null;
  } catch (thrown) {
    const failure = stepFailure(thrown, step.id);
    if (thrown instanceof Stop || failure === null) throw thrown;
    return failure;
  }
}

const noted = (note: string): string => note.slice(0, NOTE_LENGTH_MAX);
