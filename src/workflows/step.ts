import type { Phase, Step } from '../plan/index.ts';
import { remote } from './activities.ts';
import { holdsNow } from './conditions.ts';
import { type StepFailure, Stop, stepFailure } from './failure.ts';
import { watchGuards } from './guards.ts';
import { hold } from './holds.ts';
import type { Run } from './run.ts';
import { NOTE_LENGTH_MAX, type StepProgress } from './state.ts';
import { orchestrationOf, pointOfNoReturn } from './steps/index.ts';

/** A step goes up: until it is done or skipped, or the run turns round. What fails for good is held or rolls back. */
export async function runStep(run: Run, phase: Phase, step: Step): Promise<void> {
  const at = run.state.steps[step.id];
  if (at === undefined || at.state === 'done' || at.state === 'skipped') return;
  for (;;) {
    try {
      return await attempt(run, phase, step, at);
    } catch (thrown) {
      const failure = stepFailure(thrown, step.id);
      if (thrown instanceof Stop || failure === null) throw thrown;
      at.state = 'held';
      at.note = noted(failure.error.message);
      if (!holds(run, step, failure)) {
        at.state = 'failed';
        run.turn({ reason: `${step.id} failed: ${failure.error.message}`, by: null, error: failure.error });
        throw new Stop();
      }
      if ((await hold(run, step.id, phase.name, failure.error)) === 'skip') {
        return skip(run, phase, step, at, 'skipped by a person');
      }
    }
  }
}

/** After the point of no return nothing rolls back by itself; a step can ask to be held whatever the plan says. */
const holds = (run: Run, step: Step, failure: StepFailure): boolean =>
  failure.fields['hold'] === true ||
  (step.onFailure ?? (pointOfNoReturn(run) === null ? 'rollback' : 'hold')) === 'hold';

async function attempt(run: Run, phase: Phase, step: Step, at: StepProgress): Promise<void> {
  const orchestration = orchestrationOf(step.uses);
  if (step.when !== undefined && !at.touched) {
    const { holds: due, reason } = await holdsNow(run, step.id, step.when);
    if (!due) return skip(run, phase, step, at, `not needed: ${reason}`);
  }
  at.state = 'running';
  at.touched = true;
  run.changed();
  // A rollout watches its guards itself: its exposure depends on them.
  const guards = watchGuards(run, `${step.id}/guards`, phase.name, orchestration.watchesGuards ? [] : step.guards);
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
  await remote.recordStep({
    run: run.ref,
    phase: phase.name,
    step: id,
    kind: uses,
    state: 'skipped',
    note,
    detail: {},
  });
  at.state = 'skipped';
  at.note = noted(note);
  run.event('step-skipped', null, { step: id, note });
}

/** A step goes down: until it is undone, or a person skips that. A compensation that fails for good is never dropped. */
export async function undoStep(run: Run, phase: Phase, step: Step): Promise<void> {
  const at = run.state.steps[step.id];
  const orchestration = orchestrationOf(step.uses);
  if (at === undefined || at.state === 'undone' || !at.touched) return;
  for (;;) {
    try {
      at.state = 'undoing';
      run.changed();
      at.note = orchestration.down === null ? at.note : noted(await orchestration.down(run, phase, step));
      at.state = 'undone';
      run.event('step-undone', null, { step: step.id, note: at.note });
      return;
    } catch (thrown) {
      const failure = stepFailure(thrown, step.id);
      if (thrown instanceof Stop || failure === null) throw thrown;
      at.state = 'held';
      at.note = noted(failure.error.message);
      if ((await hold(run, step.id, phase.name, failure.error)) === 'skip') {
        at.state = 'failed';
        run.state.notUndone.push(step.id);
        return;
      }
    }
  }
}

const noted = (note: string): string => note.slice(0, NOTE_LENGTH_MAX);
