import type { Plan } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import { flagRefOf } from './flag-change.ts';
import { type LiveView, noting } from './live-look.ts';

/** An address that swallows requests is told after this long; the client waits for the whole check not much longer. */
const ANSWER_MS = 6_000;

/** Asks Unleash for every flag that the plan changes: whether it answers, takes the token and has the environment. */
export async function lookAtFlags(deps: Deps, { plan, found }: LiveView): Promise<void> {
  const flags = flagsOf(plan);
  if (flags.length === 0) return;
  const { unleash } = deps;
  if (unleash === null) {
    found.problems.push('the plan changes flags, and the configuration has no `unleash:`');
    return;
  }
  await noting(found, async () => {
    const signal = AbortSignal.timeout(ANSWER_MS);
    for (const flag of flags) {
      const { exists, archived, enabled } = await unleash.read(
        flagRefOf(flag, plan.spec.flags[flag], plan.metadata.name),
        signal,
      );
      const state = !exists ? 'does not exist yet' : archived ? 'is archived' : `is ${enabled ? 'on' : 'off'}`;
      found.notes.push(`flag ${flag} ${state}`);
    }
  });
}

const flagsOf = (plan: Plan): string[] => {
  const steps = plan.spec.phases.flatMap((phase) => phase.steps);
  return [...new Set(steps.flatMap((step) => ('flag' in step ? [step.flag] : [])))];
};
