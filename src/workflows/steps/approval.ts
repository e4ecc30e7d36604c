import { passGate } from '../gates.ts';
import type { Orchestration } from './orchestration.ts';

/** A gate inside a phase: what the step doesn't say comes from the policy of the phase's risk. */
export const approval: Orchestration = {
  async up(run, phase, step) {
    if (step.uses !== 'approval') throw new Error(`not an approval: ${step.uses}`);
    const { roles, min, notRequester, expiresAfter, details } = step;
    const at = run.state.steps[step.id];
    // Waiting for a person is no work: nothing is refreshed meanwhile.
    if (at !== undefined) at.state = 'waiting';
    const gate = await passGate(run, {
      gate: `${phase.name}/${step.gate ?? step.id}`,
      phase: phase.name,
      policy: {
        ...(roles !== undefined && { roles }),
        ...(min !== undefined && { min }),
        ...(notRequester !== undefined && { notRequester }),
        ...(expiresAfter !== undefined && { expiresAfter }),
      },
      details: details ?? null,
    });
    const by = gate.approvals.map((one) => one.by).join(', ');
    const note = by === '' ? 'approved' : `approved by ${by}`;
    await run.recordStep({
      phase: phase.name,
      step: step.id,
      kind: step.uses,
      state: 'applied',
      note,
      detail: {},
    });
    return note;
  },
  down: null,
  watchesGuards: false,
  pointOfNoReturn: false,
};
