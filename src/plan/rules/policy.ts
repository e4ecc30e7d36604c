import type { Draft, DraftPhase } from '../draft.ts';
import { type Finding, invalid } from '../finding.ts';
import { approvalRuleFor } from '../gates.ts';
import { riskFrom } from '../risk.ts';

/** Who may open a gate must be known before it is reached: above low risk, a rule must match. */
export function policyFindings(draft: Draft): Finding[] {
  return draft.phases.flatMap((phase) => phasePolicy(draft, phase));
}

function phasePolicy(draft: Draft, phase: DraftPhase): Finding[] {
  const kinds = phase.steps.flatMap(({ uses }) => (uses === null ? [] : [uses]));
  const risk = riskFrom(draft.risk, phase.risk, kinds);
  if (risk === 'low' || draft.approvals === null) return [];
  if (approvalRuleFor(draft.approvals, risk) !== undefined) return [];
  const missing = `no rule of spec.policies.approvals is for ${risk} risk: nobody could approve`;
  if (phase.approval !== null) return [invalid([...phase.path, 'approval'], missing)];
  const gate = phase.steps.find((step) => step.uses === 'approval' && step.raw['roles'] === undefined);
  if (gate !== undefined) return [invalid([...gate.path, 'uses'], `${missing}; write \`roles\` or a rule`)];
  if (risk !== 'high') return [];
  return [
    invalid(
      phase.path,
      `the phase is of high risk and no rule of spec.policies.approvals is: nobody could skip or retry a step of it`,
    ),
  ];
}
