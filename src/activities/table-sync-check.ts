import { planTableSync, tableSyncNames } from '../adapters/postgres/table-sync.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { Plan, StepOf } from '../plan/index.ts';
import { relationOf } from '../sql/index.ts';
import { DUAL_WRITE_REFUSED } from '../sql/rules/step-rules.ts';
import type { Deps } from './deps.ts';
import { type LiveView, noting, type PlacedStep, placedSteps } from './live-look.ts';
import { stepFinding } from './step-finding.ts';
import { tableSyncWish } from './table-sync.ts';

const LOCK_TIMEOUT_MS = 2_000;

/**
 * Makes the checks of each `dual-write` step between two tables before its turn comes, and tells whose row will bring the
 * other along. Where a step before it may still change one of the tables nothing can be said.
 */
export async function lookAtTableSyncs(deps: Deps, view: LiveView): Promise<void> {
  for (const placed of placedSteps(view.plan)) {
    const { step } = placed;
    if (step.uses !== 'dual-write' || step.from === undefined || step.to === undefined) continue;
    // What keeps the step from its tables is told already.
    if (view.found.findings.some((finding) => finding.step === step.id && finding.refused)) continue;
    const facts = view.databases.get(step.database)?.facts;
    const tables = [step.from.table, step.to.table].map((table) => facts && relationOf(facts, step.schema, table));
    if (tables.includes(undefined) || mayChangeBefore(view.plan, step)) continue;
    const { marker } = namesOf(view.plan, step);
    // Of a migration that is under way: its triggers are there, and were checked when they were made.
    if (tables.some((table) => table?.columns.some(({ name }) => name === marker))) continue;
    await noting(view.found, () => lookAt(deps, view, { ...placed, step }));
  }
}

const namesOf = ({ metadata }: Plan, step: StepOf<'dual-write'>): ReturnType<typeof tableSyncNames> =>
  tableSyncNames({ migration: metadata.name, version: metadata.version }, step.id);

function mayChangeBefore({ spec }: Plan, step: StepOf<'dual-write'>): boolean {
  const steps = spec.phases.flatMap((phase) => phase.steps);
  return steps
    .slice(0, steps.indexOf(step))
    .some((other) => other.uses === 'call' || (other.uses === 'ddl' && other.database === step.database));
}

async function lookAt(deps: Deps, view: LiveView, placed: PlacedStep<StepOf<'dual-write'>>): Promise<void> {
  const { step, phase } = placed;
  try {
    const { note } = await deps.databases.get(step.database).transaction(async (session) => {
      await session.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      return planTableSync(session, tableSyncWish(step), namesOf(view.plan, step));
    });
    view.found.notes.push(`${phase}/${step.id}: ${note}`);
  } catch (error) {
    if (!(error instanceof SwitchbackError)) throw error;
    if (error.retry) {
      view.found.notes.push(`${phase}/${step.id}: could not be looked at: ${error.message}`);
      return;
    }
    view.found.findings.push(stepFinding(placed, step.database, DUAL_WRITE_REFUSED, error));
  }
}
