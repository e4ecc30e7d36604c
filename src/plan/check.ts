import { type Draft, draftOf } from './draft.ts';
import type { Finding } from './finding.ts';
import { contractFindings } from './rules/contract.ts';
import { metricFindings } from './rules/metrics.ts';
import { nameFindings } from './rules/names.ts';
import { orderFindings } from './rules/order.ts';
import { policyFindings } from './rules/policy.ts';
import { serviceFindings } from './rules/services.ts';
import { stageFindings } from './rules/stages.ts';
import { valueFindings } from './rules/values.ts';
import { unsupportedIn } from './support.ts';

/** What a plan of the right shape can still get wrong. Each rule sees the parts that could be read, so all are told. */
const RULES: readonly ((draft: Draft) => Finding[])[] = [
  nameFindings,
  orderFindings,
  policyFindings,
  serviceFindings,
  contractFindings,
  stageFindings,
  valueFindings,
  metricFindings,
  unsupportedIn,
];

/** All that is wrong with the meaning of a plan (as JSON, of any shape), except its SQL and its calendars. */
export function meaningFindings(raw: unknown): { draft: Draft; findings: Finding[] } {
  const draft = draftOf(raw);
  return { draft, findings: RULES.flatMap((rule) => rule(draft)) };
}
