import type { ApprovalRule, Plan, Risk } from '../plan/index.ts';
import type { CheckedPlan } from '../activities/lifecycle.ts';
import type { Gate } from './state.ts';

/** What an approval needs: the first policy rule that matches the risk; none for a low risk: anyone, once. */
export interface GatePolicy {
  roles: string[];
  min: number;
  notRequester: boolean;
  expiresAfter: string | null;
}
export const policyOf = ({ plan }: CheckedPlan, risk: Risk): GatePolicy => policyBy(ruleFor(plan, risk));

/** What an emergency override needs: the rule for high risk; where there is none, that of the phase's risk. */
export function overridePolicyOf({ plan }: CheckedPlan, risk: Risk): Omit<GatePolicy, 'expiresAfter'> {
  const { roles, min, notRequester } = policyBy(ruleFor(plan, 'high') ?? ruleFor(plan, risk));
  return { roles, min, notRequester };
}

const ruleFor = ({ spec }: Plan, risk: Risk): ApprovalRule | undefined =>
  spec.policies.approvals.find((rule) => rule.risk === undefined || rule.risk === risk);

function policyBy(rule: ApprovalRule | undefined): GatePolicy {
  return {
    roles: rule?.roles ?? [],
    min: rule?.min ?? 1,
    notRequester: rule?.notRequester ?? false,
    expiresAfter: rule?.expiresAfter ?? null,
  };
}

/** The id to send with the next decision: new with every opening and after every approval. */
export const decisionIdOf = (gate: Pick<Gate, 'gate' | 'opening' | 'approvals'>): string =>
  `${gate.gate}-${gate.opening}-${gate.approvals.length + 1}`;
