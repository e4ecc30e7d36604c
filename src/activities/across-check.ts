import { assertRepairable } from '../adapters/postgres/across-repair.ts';
import { type Pair, readPair } from '../adapters/postgres/across-side.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { StepOf } from '../plan/index.ts';
import { relationOf } from '../sql/index.ts';
import type { Deps } from './deps.ts';
import { type LiveView, noting, type PlacedStep, placedSteps } from './live-look.ts';

/** The catalog is read between others' locks: one that is held for longer is told instead of waited for. */
const LOCK_TIMEOUT_MS = 2_000;

/**
 * Sees whether comparisons of two tables can be made: tables, columns, types and keys, as the run will. A table that a
 * step of the plan changes first is not looked at, for it will be another one when its turn comes.
 */
export async function lookAtComparisons(deps: Deps, view: LiveView): Promise<void> {
  for (const placed of placedSteps(view.plan)) {
    const { step } = placed;
    if (step.uses !== 'verify' || step.left === undefined || step.right === undefined) continue;
    if (!isAsItWillBe(view, placed)) continue;
    await noting(view.found, () => lookAt(deps, view, { ...placed, step }));
  }
}

async function lookAt(deps: Deps, { found }: LiveView, { phase, step }: PlacedStep<StepOf<'verify'>>): Promise<void> {
  const { left, right } = step;
  if (left === undefined || right === undefined) return;
  const sides = [deps.databases.get(left.database), deps.databases.get(right.database)] as const;
  let pair: Pair;
  try {
    pair = await sides[0].transaction((onLeft) =>
      sides[1].transaction(async (onRight) => {
        for (const session of [onLeft, onRight]) await onlyReads(session);
        // Expressions are tried on a copy of the table when the run begins: here nothing may be made.
        return readPair({ left: onLeft, right: onRight }, { left, right }, { expressions: false });
      }),
    );
    if (step.onMismatch === 'repair') assertRepairable(pair, step.id);
  } catch (error) {
    if (!(error instanceof SwitchbackError)) throw error;
    throw new SwitchbackError(error.code, `${phase}/${step.id}: ${error.message}`, {
      ...(error.hint !== null && { hint: error.hint }),
      fields: error.fields,
      cause: error,
    });
  }
  if (pair.unsorted === null) return;
  found.notes.push(
    `${phase}/${step.id}: ${pair.unsorted}: both tables are compared in one statement each, without ranges (all or nothing after an interruption)`,
  );
}

const onlyReads = (session: Queryable): Promise<unknown> =>
  session.query(`SET TRANSACTION READ ONLY; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);

/** Both tables are there, and no earlier step of the plan works on them. */
function isAsItWillBe({ plan, databases }: LiveView, { step }: PlacedStep): boolean {
  if (step.uses !== 'verify') return false;
  const earlier = placedSteps(plan).map((placed) => placed.step);
  const before = earlier.slice(
    0,
    earlier.findIndex(({ id }) => id === step.id),
  );
  return [step.left, step.right].every((side) => {
    const facts = side === undefined ? undefined : databases.get(side.database)?.facts;
    if (side === undefined || facts === undefined) return false;
    const changed = before.some((one) => one.uses === 'ddl' && one.database === side.database);
    return !changed && relationOf(facts, side.schema, side.table) !== undefined;
  });
}
