import type { ApprovalRule, Phase, Plan } from './plan.ts';
import { effectiveRisk } from './risk.ts';
import type { Risk } from './values.ts';

/** A gate that people open, with the policy that counts there already worked out. */
export interface Gate {
  /** `<phase>/before`, `<phase>/after`, or `<phase>/<gate of an approval step>`. */
  gate: string;
  phase: string;
  /** The `approval` step that it belongs to; null for the gates round a phase. */
  step: string | null;
  risk: Risk;
  /** Roles of which an approver must hold one; empty: anyone. */
  roles: string[];
  min: number;
  notRequester: boolean;
  verified: boolean;
  /** A duration; null: never. */
  expiresAfter: string | null;
  /** Markdown for the approver. */
  details: string | null;
}

/** The first rule that matches: one for this risk, or one that names no risk. */
export const approvalRuleFor = (rules: readonly ApprovalRule[], risk: Risk): ApprovalRule | undefined =>
  rules.find((rule) => rule.risk === undefined || rule.risk === risk);

export const gateName = (phase: string, gate: string): string => `${phase}/${gate}`;

/** All gates of a plan, in the order in which a run comes to them. */
export const gatesOf = (plan: Plan): Gate[] => plan.spec.phases.flatMap((phase) => phaseGates(plan, phase));

function phaseGates(plan: Plan, phase: Phase): Gate[] {
  const risk = effectiveRisk(plan, phase);
  const rule = approvalRuleFor(plan.spec.policies.approvals, risk);
  const policy = {
    phase: phase.name,
    risk,
    roles: rule?.roles ?? [],
    min: rule?.min ?? 1,
    notRequester: rule?.notRequester ?? false,
    verified: rule?.verified ?? false,
    expiresAfter: rule?.expiresAfter ?? null,
    details: null,
  };
  const round = (side: 'before' | 'after'): Gate[] =>
    phase.approval === side ? [{ ...policy, gate: gateName(phase.name, side), step: null }] : [];
  const inside = phase.steps.flatMap((step): Gate[] =>
    step.uses === 'approval'
      ? [
          {
            ...policy,
            gate: gateName(phase.name, step.gate ?? step.id),
            step: step.id,
            roles: step.roles ?? policy.roles,
            min: step.min ?? policy.min,
            notRequester: step.notRequester ?? policy.notRequester,
            verified: step.verified ?? policy.verified,
            expiresAfter: step.expiresAfter ?? policy.expiresAfter,
            details: step.details ?? null,
          },
        ]
      : [],
  );
  return [...round('before'), ...inside, ...round('after')];
}
