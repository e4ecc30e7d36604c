import type { Step } from '../plan/index.ts';
import { durationMs } from './duration.ts';
import { failWith } from './failure.ts';
import type { Limit, Run } from './run.ts';

/** What a step's `timeout` leaves for this go, and what happens when it is reached. */
export function timeLimit(run: Run, step: Step): { limit: () => Limit | null; check(): void; spent(): void } {
  const at = run.state.steps[step.id];
  let since = Date.now();
  let reached = false;
  return {
    limit() {
      if (step.timeout === undefined || at === undefined) return null;
      at.remainingMs ??= durationMs(step.timeout);
      since = Date.now();
      return {
        ms: Math.max(1, at.remainingMs),
        words: `timeout of ${step.timeout}`,
        reached: () => {
          reached = true;
        },
      };
    },
    spent() {
      if (at?.remainingMs != null) at.remainingMs = Math.max(0, at.remainingMs - (Date.now() - since));
    },
    check() {
      if (!reached) return;
      if (at !== undefined) at.remainingMs = null;
      throw failWith(
        'StepTimeout',
        `${step.id} took longer than its timeout of ${step.timeout}`,
        'raise `timeout`, or find out what slows it down',
      );
    },
  };
}
