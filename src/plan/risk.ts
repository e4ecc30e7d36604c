import type { Phase, Plan } from './plan.ts';
import { higherRisk, type Risk } from './values.ts';

/** Kinds after which there is no way back: a phase that has one is of high risk, whatever the plan says. */
export const HIGH_RISK_KINDS: readonly string[] = ['drop'];

/** The risk that counts: the phase's or else the plan's, raised (never lowered) by what the steps do. */
export function riskFrom(plan: Risk, phase: Risk | undefined, kinds: readonly string[]): Risk {
  const stated = phase ?? plan;
  return kinds.some((kind) => HIGH_RISK_KINDS.includes(kind)) ? higherRisk(stated, 'high') : stated;
}

export const effectiveRisk = (plan: Plan, phase: Phase): Risk =>
  riskFrom(
    plan.spec.risk,
    phase.risk,
    phase.steps.map((step) => step.uses),
  );

/** The risk of each phase, by its name. */
export const risksOf = (plan: Plan): Record<string, Risk> =>
  Object.fromEntries(plan.spec.phases.map((phase) => [phase.name, effectiveRisk(plan, phase)]));
