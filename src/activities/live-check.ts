import { SwitchbackError } from '../messages/index.ts';
import { checkPlan, PlanError } from '../plan/file/index.ts';
import type { Plan } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import { lookAtSchema } from './live-check-schemas.ts';
import { asFailure } from './run-effect.ts';

/** What `switchback check` finds on the worker: what would keep the plan from running, and what is good to know. */
export interface LiveCheck {
  digest: string;
  problems: string[];
  notes: string[];
  /** The digest of each database's schema, for `spec.baseState`. */
  schemas: Record<string, string>;
}

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
      const found: LiveCheck = { digest, problems: [], notes: [], schemas: {} };
      for (const database of new Set(claims.map((claim) => claim.database))) {
        const tables = claims.filter((claim) => claim.database === database);
        await noting(found, () => lookAtDatabase(deps, database, tables, found));
      }
      const { baseState } = plan.spec;
      const databases = new Set([...claims.map((claim) => claim.database), ...Object.keys(baseState ?? {})]);
      for (const database of databases) await noting(found, () => lookAtSchema(deps, { database, baseState }, found));
      lookAtApprovers(deps, plan, found);
      await noting(found, () => lookAtFlags(deps, plan, found));
      return found;
    },
  };
}

async function noting(found: LiveCheck, look: () => Promise<void>): Promise<void> {
  try {
    await look();
  } catch (error) {
    if (!(error instanceof SwitchbackError)) throw error;
    found.problems.push(error.hint === null ? error.message : `${error.message} (${error.hint})`);
  }
}

async function lookAtDatabase(
  deps: Deps,
  name: string,
  tables: readonly { schema: string; table: string }[],
  found: LiveCheck,
): Promise<void> {
  const [facts] = await deps.databases.get(name).query(
    `SELECT current_setting('server_version') AS version, pg_is_in_recovery() AS recovery,
       has_database_privilege(current_database(), 'CREATE') AS may_create`,
  );
  if (facts?.['recovery'] === 't') found.problems.push(`database "${name}" is in recovery: it takes no writes`);
  if (facts?.['may_create'] !== 't')
    found.problems.push(`the worker's role may not create the ledger's schema in database "${name}"`);
  const tableRows = await deps.databases.get(name).query(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name, c.reltuples::bigint AS rows, pg_total_relation_size(c.oid) AS bytes
     FROM unnest($1::text[], $2::text[]) AS wanted (schema, "table")
     JOIN pg_namespace n ON n.nspname = wanted.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted."table"`,
    [tables.map((table) => table.schema), tables.map((table) => table.table)],
  );
  found.notes.push(`${name}: Postgres ${facts?.['version']}`);
  for (const row of tableRows) {
    const size = Math.ceil(Number(row['bytes']) / 1024 / 1024);
    // Postgres says -1 of a table that was never analyzed.
    const rows =
      Number(row['rows']) < 0 ? 'rows not counted yet' : `about ${Number(row['rows']).toLocaleString('en')} rows`;
    found.notes.push(`${name}: ${row['name']} has ${size} MiB, ${rows}`);
  }
}

function lookAtApprovers(deps: Deps, plan: Plan, found: LiveCheck): void {
  for (const rule of plan.spec.policies.approvals) {
    const people = new Set(rule.roles.flatMap((role) => deps.approvers[role] ?? []));
    if (people.size < rule.min) {
      found.problems.push(
        `a policy asks for ${rule.min} of ${rule.roles.join(', ')}, and the configuration's \`approvers\` name ${people.size}`,
      );
    }
  }
}

async function lookAtFlags(deps: Deps, plan: Plan, found: LiveCheck): Promise<void> {
  const steps = plan.spec.phases.flatMap((phase) => phase.steps);
  const flags = new Set(steps.flatMap((step) => ('flag' in step ? [step.flag] : [])));
  if (flags.size === 0) return;
  if (deps.unleash === null) found.problems.push('the plan changes flags, and the configuration has no `unleash:`');
  else found.notes.push(`flags: ${[...flags].join(', ')}`);
}
