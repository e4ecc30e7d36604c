import { type LiveCheck, problemOf } from '../messages/index.ts';
import { checkPlan, PlanError } from '../plan/file/index.ts';
import type { Plan } from '../plan/index.ts';
import { lookAtComparisons } from './across-check.ts';
import { lookAtApprovers } from './approver-check.ts';
import { lookAtDatabases } from './database-check.ts';
import { lookAtSteps } from './ddl-check.ts';
import type { Deps } from './deps.ts';
import { lookAtDualWrites } from './dual-write-check.ts';
import { lookAtExpressions } from './expression-check.ts';
import { lookAtFlags } from './flag-check.ts';
import { lookAtGates } from './gate-check.ts';
import { lookAtSchemas } from './live-check-schemas.ts';
import { type LiveView, type Look, noting, placedSteps } from './live-look.ts';
import { hidingCheck } from './masking.ts';
import { asFailure } from './run-effect.ts';
import { lookAtStages } from './stage-check.ts';
import { lookAtTableSyncs } from './table-sync-check.ts';
import { lookAtThrottles } from './throttle-check.ts';

/** The looks of a live check, in the order in which they tell; the first finds the databases that the others look at. */
const LOOKS: readonly Look[] = [
  lookAtDatabases,
  lookAtSteps,
  lookAtDualWrites,
  lookAtTableSyncs,
  lookAtComparisons,
  lookAtExpressions,
  lookAtSchemas,
  lookAtApprovers,
  lookAtFlags,
  lookAtStages,
  lookAtThrottles,
  lookAtGates,
];

/** Temporal takes 2 MiB in one answer; a finding has up to two kilobytes. */
const FINDINGS_MAX = 400;

export function createLiveCheck(deps: Deps) {
  return {
    /**
     * Looks at the live databases, Unleash and the approvers. Changes nothing, the ledger's schema included; the home
     * ledger, where there is one, keeps the schemas that were seen.
     */
    async checkLive({ plan: given }: { plan: unknown }): Promise<LiveCheck> {
      const checked = await checkPlan(given);
      if (!checked.ok) throw asFailure(new PlanError(checked.problems));
      const { plan, claims, digest } = checked;
      const found: LiveCheck = { digest, problems: [], notes: [], databases: [], findings: [], schemas: {} };
      const view: LiveView = { plan, claims, found, databases: new Map(), beforeSteps: new Map() };
      await hidingCheck(deps, plan, async () => {
        for (const look of LOOKS) await noting(found, () => look(deps, view));
      });
      return inOrder(found, plan);
    },
  };
}

/** Findings in the order of the plan, those that refuse it among the problems, and no more than an answer can hold. */
function inOrder(found: LiveCheck, plan: Plan): LiveCheck {
  const place = new Map(placedSteps(plan).map(({ step }, i) => [step.id, i]));
  const sorted = found.findings.toSorted(
    (a, b) => (place.get(a.step) ?? 0) - (place.get(b.step) ?? 0) || (a.statement ?? 0) - (b.statement ?? 0),
  );
  // What refuses the plan counts more than what is only told.
  const kept = new Set(sorted.toSorted((a, b) => Number(b.refused) - Number(a.refused)).slice(0, FINDINGS_MAX));
  const findings = sorted.filter((finding) => kept.has(finding));
  const left = sorted.length - findings.length;
  return {
    ...found,
    problems: [...found.problems, ...findings.filter(({ refused }) => refused).map(problemOf)],
    notes: left === 0 ? found.notes : [...found.notes, `${left} more findings are left out`],
    findings,
  };
}
