import type { Risk } from '../plan/index.ts';
import type { CheckedPlan } from '../activities/lifecycle.ts';
import type { Gate } from './state.ts';

/** What an approval needs: the first policy rule that matches the risk; none for a low risk: anyone, once. */
export interface GatePolicy {
  roles: string[];
  min: number;
  notRequester: boolean;
  expiresAfter: string | null;
}
export function policyOf({ plan }: CheckedPlan, risk: Risk): GatePolicy {
  const rule = plan.spec.policies.approvals.find(
    (candidate) => candidate.risk === undefined || candidate.risk === risk,
  );
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
