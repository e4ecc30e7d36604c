import { durationMs } from '../duration.ts';
import { soak } from '../soak.ts';
import type { Orchestration } from './orchestration.ts';

/** Waits a time of running, or until an instant. What is left of it is in the run's state. */
export const wait: Orchestration = {
  async up(run, phase, step) {
    if (step.uses !== 'wait') throw new Error(`not a wait: ${step.uses}`);
    const at = run.state.steps[step.id];
    if (at === undefined) throw new Error(`no place for ${step.id}`);
    const record = { phase: phase.name, step: step.id, kind: step.uses };
    if (step.until !== undefined) {
      // An instant doesn't move: neither a pause nor a restart changes it.
      const until = Date.parse(step.until);
      await run.waitSaying(
        step.id,
        `waits until ${new Date(until).toISOString()}`,
        () => false,
        Math.max(1, until - Date.now()),
      );
    } else {
      if (at.remainingMs === null) {
        // First come, first kept: a run that was terminated and started again goes on with the same deadline.
        const full = durationMs(step.for ?? '0s');
        const kept = await run.recordStep({
          ...record,
          state: 'intended',
          note: null,
          detail: { untilMs: Date.now() + full },
        });
        at.remainingMs = Math.min(full, Math.max(0, Number(kept['untilMs']) - Date.now()));
      }
      await soak(run, step.id, 'waits', at.remainingMs, (ms) => {
        at.remainingMs = ms;
      });
    }
    const note = step.until === undefined ? `waited ${step.for}` : `waited until ${step.until}`;
    await run.recordStep({ ...record, state: 'applied', note, detail: {} });
    return note;
  },
  down: null,
  watchesGuards: false,
  pointOfNoReturn: false,
};
