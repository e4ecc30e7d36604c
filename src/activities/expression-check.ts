import { assertSettable } from '../adapters/postgres/backfill-plan.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import { plannedShape } from '../adapters/postgres/planned-shape.ts';
import { findKey } from '../adapters/postgres/range-key.ts';
import { referencedColumns } from '../adapters/postgres/table-expressions.ts';
import { columnOfTable, readTableShape, type TableShape } from '../adapters/postgres/table-shape.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { StepOf } from '../plan/index.ts';
import { relationOf } from '../sql/index.ts';
import type { Deps } from './deps.ts';
import { type LiveView, placedSteps } from './live-look.ts';
import { maskForCheck } from './masking.ts';

const LOCK_TIMEOUT_MS = 2_000;
/** A type, function or schema that a step before may make; what it makes of columns is known. */
const NOT_THERE_YET = new Set(['42704', '42883', '3F000', '42P01']);

/**
 * Tries the columns and expressions of each `backfill` with `set` and each `verify` with `expect`, as the step will, on
 * the table as the steps before will leave it. A table that isn't there yet is left to its turn.
 */
export async function lookAtExpressions(deps: Deps, view: LiveView): Promise<void> {
  for (const { phase, step } of placedSteps(view.plan)) {
    if (step.uses !== 'backfill' && step.uses !== 'verify') continue;
    if (step.database === undefined || step.table === undefined) continue;
    // What keeps the step from its table is told already.
    if (view.found.findings.some((finding) => finding.step === step.id && finding.refused)) continue;
    try {
      await lookAt(deps, view, step);
    } catch (error) {
      if (!(error instanceof SwitchbackError)) throw error;
      const hint = error.hint === null ? '' : ` (${error.hint})`;
      const missing = NOT_THERE_YET.has(String(error.fields['sqlState'] ?? ''));
      const open = error.retry || (missing && madeBefore(view, step));
      const words = `${phase}/${step.id}: ${await said(deps, view, step, error)}${hint}`;
      if (open) view.found.notes.push(`${words}: looked at again when its turn comes`);
      else view.found.problems.push(words);
    }
  }
}

type Looked = StepOf<'backfill'> | StepOf<'verify'>;

async function lookAt({ databases }: Deps, view: LiveView, step: Looked): Promise<void> {
  const { database = '', schema, table = '' } = step;
  const known = view.databases.get(database);
  const before = known && relationOf(known.facts, schema, table);
  const facts = view.beforeSteps.get(step.id);
  const after = facts && relationOf(facts, schema, table);
  if (before === undefined || after === undefined || after.fresh) return;
  await databases.get(database).transaction(async (session) => {
    await session.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL jit = off`);
    const shape = plannedShape(await readTableShape(session, schema, table), before, after);
    const where = step.where ?? null;
    if (step.uses === 'verify') return assertComparable(session, shape, { expect: step.expect ?? {}, where });
    const key = await findKey(session, shape, step.key === undefined ? null : [step.key].flat());
    await assertSettable(session, shape, { set: step.set ?? {}, where, key });
  });
}

async function assertComparable(
  session: Queryable,
  shape: TableShape,
  { expect, where }: { expect: Readonly<Record<string, string>>; where: string | null },
): Promise<void> {
  for (const [name, expression] of Object.entries(expect)) {
    columnOfTable(shape, name);
    await referencedColumns(session, shape, expression, `expect.${name}`);
  }
  if (where !== null) await referencedColumns(session, shape, where, 'where');
}

/** Only a `ddl` or `call` step before can make what is missing. */
function madeBefore({ plan }: LiveView, step: Looked): boolean {
  const steps = placedSteps(plan).map((placed) => placed.step);
  const earlier = steps.slice(0, steps.indexOf(step));
  return earlier.some((one) => one.uses === 'call' || (one.uses === 'ddl' && one.database === step.database));
}

/** An expression that is tried runs on no row, but a function that it calls may say anything. */
async function said(deps: Deps, { plan }: LiveView, step: Looked, error: SwitchbackError): Promise<string> {
  const { database = '', schema, table = '' } = step;
  const sqlState = error.fields['sqlState'];
  if (typeof sqlState !== 'string') return error.message;
  return (await maskForCheck(deps, plan, { database, schema, table })).message(error.message, sqlState);
}
