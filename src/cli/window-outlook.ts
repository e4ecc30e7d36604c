import { nextOpening } from '../activities/window.ts';
import type { Plan } from '../plan/index.ts';

/** What windows mean for the steps of a plan if it started now. */
export interface WindowOutlook {
  steps: string[];
  open: boolean;
  /** When that changes (ISO 8601, UTC); null: never. */
  changesAt: string | null;
  why: string;
}

/** Steps to which a window applies, those of which the same is said together, in the order of the plan. */
export function windowOutlook({ spec }: Plan, now: Date): WindowOutlook[] {
  const { windows } = spec.policies;
  const applying = spec.phases
    .flatMap((phase) => phase.steps)
    .filter(({ uses }) => windows.some(({ applies }) => applies === undefined || applies.includes(uses)));
  const told = new Map<string, WindowOutlook>();
  for (const { id, uses } of applying) {
    const { open, changesAt, why } = nextOpening(windows, uses, now);
    const same = told.get(why);
    if (same === undefined) told.set(why, { steps: [id], open, changesAt, why });
    else same.steps.push(id);
  }
  return [...told.values()];
}
