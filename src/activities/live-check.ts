import { type LiveCheck } from '../messages/index.ts';
import { checkPlan, PlanError } from '../plan/file/index.ts';
import { lookAtApprovers } from './approver-check.ts';
import { lookAtDatabases } from './database-check.ts';
import type { Deps } from './deps.ts';
import { lookAtFlags } from './flag-check.ts';
import { lookAtSchemas } from './live-check-schemas.ts';
import { type LiveView, type Look, noting } from './live-look.ts';
import { asFailure } from './run-effect.ts';

/** The looks of a live check, in the order in which they tell; the first finds the databases that the others look at. */
const LOOKS: readonly Look[] = [lookAtDatabases, lookAtSchemas, lookAtApprovers, lookAtFlags];

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
      const view: LiveView = { plan, claims, found, databases: new Map() };
      for (const look of LOOKS) await noting(found, () => look(deps, view));
      return found;
    },
  };
}
