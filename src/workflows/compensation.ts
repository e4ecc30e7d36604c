import { inOrderOfNeeds } from './phases.ts';
import type { Run } from './run.ts';
import { undoStep } from './step.ts';

/** Undoes, in reverse order, every step that may have had an effect; goes on where an earlier run left off. */
export async function rollBack(run: Run): Promise<void> {
  for (const phase of run.checked.plan.spec.phases.toReversed()) {
    for (const step of inOrderOfNeeds(phase.steps).toReversed()) await undoStep(run, phase, step);
    const at = run.state.phases[phase.name];
    if (at !== undefined && at.state !== 'pending') at.state = 'undone';
    run.changed();
  }
}
