import type { Condition } from './condition.ts';
import type { Phase, Plan } from './plan.ts';

/** Says in every condition on a flag's usage in which environment: who reads it gets the condition and not the plan. */
export function fillFlagEnvironments(plan: Plan): Plan {
  const environmentOf = (flag: string): string => plan.spec.flags[flag]?.environment ?? 'development';
  for (const { flagUsage } of plan.spec.phases.flatMap(conditionsOfPhase)) {
    if (flagUsage !== undefined) flagUsage.environment ??= environmentOf(flagUsage.flag);
  }
  return plan;
}

const conditionsOfPhase = (phase: Phase): Pick<Condition, 'flagUsage'>[] => [
  ...phase.preconditions,
  ...phase.exitCriteria,
  ...phase.guards,
  ...phase.steps.flatMap((step) => [
    ...step.guards,
    ...(step.when === undefined ? [] : [step.when]),
    ...(step.uses === 'check' ? [step] : []),
  ]),
];
