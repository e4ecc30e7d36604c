import type { Step } from '../plan/index.ts';

/** The plan's order, each step after those it needs. The graph has no cycle: the check saw to it. */
export function inOrderOfNeeds(steps: readonly Step[]): Step[] {
  const placed = new Set<string>();
  const ordered: Step[] = [];
  const place = (step: Step): void => {
    if (placed.has(step.id)) return;
    placed.add(step.id);
    for (const id of step.needs) {
      const needed = steps.find((candidate) => candidate.id === id);
      if (needed !== undefined) place(needed);
    }
    ordered.push(step);
  };
  for (const step of steps) place(step);
  return ordered;
}
