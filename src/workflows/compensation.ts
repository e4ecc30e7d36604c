import type { Step } from '../plan/index.ts';
import { inOrderOfNeeds } from './order.ts';
import type { Run } from './run.ts';
import { undoStep } from './step.ts';
import { orchestrationOf } from './steps/index.ts';

/**
 * Undoes, in reverse order, every step that may have had an effect; goes on where an earlier run left off. It stops at
 * a step that took the way back: what came before it stands on what is gone.
 */
export async function rollBack(run: Run): Promise<void> {
  for (const phase of run.checked.plan.spec.phases.toReversed()) {
    for (const step of inOrderOfNeeds(phase.steps).toReversed()) {
      if (!tookTheWayBack(run, step)) await undoStep(run, phase, step);
      if (tookTheWayBack(run, step)) return stopAt(run, step);
    }
    const at = run.state.phases[phase.name];
    if (at !== undefined && at.state !== 'pending') at.state = 'undone';
    run.changed();
  }
}

const tookTheWayBack = ({ state }: Run, { id, uses }: Step): boolean => {
  const at = state.steps[id]?.state;
  return orchestrationOf(uses).pointOfNoReturn && (at === 'done' || at === 'failed');
};

function stopAt(run: Run, step: Step): void {
  const { steps } = run.state;
  const left = Object.keys(steps).filter((id) => steps[id]?.touched === true && steps[id]?.state === 'done');
  run.state.notUndone = [...new Set([...run.state.notUndone, step.id, ...left])];
  run.state.error = {
    code: 'NotReversible',
    message: `${step.id} can't be undone, so the rollback stopped there; not undone: ${run.state.notUndone.join(', ')}`,
    hint: 'these steps stay as they are; restore what is needed from a backup',
    step: step.id,
  };
  run.changed();
}
