import type { Queryable } from '../adapters/postgres/database.ts';
import { dualWriteNames } from '../adapters/postgres/dual-write.ts';
import { type DualWriteWish, planDualWrite } from '../adapters/postgres/dual-write-plan.ts';
import { updateOfTriggers } from '../adapters/postgres/dual-write-refusals.ts';
import { plannedShape } from '../adapters/postgres/planned-shape.ts';
import { type RoundTrip, roundTrip } from '../adapters/postgres/round-trip.ts';
import { readTableShape, type TableShape } from '../adapters/postgres/table-shape.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { StepOf } from '../plan/index.ts';
import { relationOf } from '../sql/index.ts';
import {
  DUAL_WRITE_FAILS,
  DUAL_WRITE_LOSSY,
  DUAL_WRITE_REFUSED,
  DUAL_WRITE_UPDATE_OF,
  type StepRule,
} from '../sql/rules/step-rules.ts';
import type { Deps } from './deps.ts';
import { type LiveView, noting, type PlacedStep, placedSteps } from './live-look.ts';
import { maskForCheck } from './masking.ts';
import { stepFinding } from './step-finding.ts';

const LOCK_TIMEOUT_MS = 2_000;
/** For the rows of one step, and for those of all steps together: an answer is waited for. */
const ROWS_TIMEOUT_MS = 8_000;
const ALL_ROWS_TIMEOUT_MS = 20_000;
/** The plan may make the type, function or schema in a step before; until then nothing can be tried. */
const NOT_THERE_YET = new Set(['42704', '42883', '3F000', '42P01']);

/**
 * Makes the checks of each `dual-write` step over columns of one table before its turn comes, on the table as the steps
 * before will leave it, and sees which of its rows wouldn't come back from `down(up(x))`.
 */
export async function lookAtDualWrites(deps: Deps, view: LiveView): Promise<void> {
  const until = performance.now() + ALL_ROWS_TIMEOUT_MS;
  for (const placed of placedSteps(view.plan)) {
    const { step } = placed;
    if (step.uses !== 'dual-write' || step.table === undefined) continue;
    // What keeps the step from its table is told already.
    if (view.found.findings.some((finding) => finding.step === step.id && finding.refused)) continue;
    await noting(view.found, () => lookAt(deps, view, { placed: { ...placed, step }, until }));
  }
}

interface Asked {
  placed: PlacedStep<StepOf<'dual-write'>>;
  until: number;
}

async function lookAt(deps: Deps, view: LiveView, { placed, until }: Asked): Promise<void> {
  const { step } = placed;
  const known = view.databases.get(step.database);
  const before = known && relationOf(known.facts, step.schema, step.table ?? '');
  const facts = view.beforeSteps.get(step.id);
  const after = facts && relationOf(facts, step.schema, step.table ?? '');
  // A table that the plan itself makes has no rows and no triggers of others.
  if (before === undefined || after === undefined || after.fresh) return;
  await deps.databases.get(step.database).transaction(async (session) => {
    await session.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL jit = off`);
    const shape = plannedShape(await readTableShape(session, step.schema, step.table ?? ''), before, after);
    await lookAtStep({ deps, view, placed, until, session, shape });
  });
}

interface Looking extends Asked {
  deps: Deps;
  view: LiveView;
  session: Queryable;
  shape: TableShape;
}

async function lookAtStep(looking: Looking): Promise<void> {
  const { view, placed, session, shape } = looking;
  const { step } = placed;
  const names = dualWriteNames({ migration: view.plan.metadata.name, version: view.plan.metadata.version }, step.id);
  // Of a migration that is under way: its triggers are there, and were checked when they were made.
  if (shape.columns.has(names.marker)) return;
  const wish: DualWriteWish = {
    schema: step.schema,
    table: step.table ?? '',
    up: step.up,
    down: step.down ?? null,
    bothWritten: step.bothWritten,
  };
  try {
    const { detail } = await planDualWrite(session, wish, names, shape);
    // From here on only rows are read, whatever the plan's expressions call.
    await session.query('SET LOCAL transaction_read_only = on');
    const blind = await updateOfTriggers(session, detail, shape);
    for (const { name, columns } of blind) {
      tell(looking, DUAL_WRITE_UPDATE_OF, `trigger ${name} is for UPDATE OF ${columns}, which the step derives`);
    }
    const timeoutMs = Math.min(ROWS_TIMEOUT_MS, looking.until - performance.now());
    if (timeoutMs > 0) await tellRows(looking, await roundTrip(session, detail, shape, timeoutMs));
    else note(looking, 'no time was left to look at its rows');
  } catch (error) {
    if (!(error instanceof SwitchbackError)) throw error;
    const sqlState = String(error.fields['sqlState'] ?? '');
    if (error.retry || (NOT_THERE_YET.has(sqlState) && shape.planned !== undefined && madeBefore(looking)))
      return note(looking, `can't be tried before the steps before it have run: ${error.message}`);
    tell(looking, DUAL_WRITE_REFUSED, error.message, error.hint);
  }
}

/** Whether a `ddl` step of this database comes before: it may make what is missing. */
function madeBefore({ view, placed }: Looking): boolean {
  const steps = placedSteps(view.plan).map(({ step }) => step);
  return steps
    .slice(0, steps.indexOf(placed.step))
    .some((step) => step.uses === 'call' || (step.uses === 'ddl' && step.database === placed.step.database));
}

async function tellRows(looking: Looking, found: Awaited<ReturnType<typeof roundTrip>>): Promise<void> {
  const { deps, view, placed } = looking;
  if (found === null) return note(looking, 'looking at its rows would have taken too long');
  const { database, schema, table = '' } = placed.step;
  const mask = await maskForCheck(deps, view.plan, { database, schema, table });
  if ('sqlState' in found)
    return tell(
      looking,
      DUAL_WRITE_FAILS,
      `on a row of ${schema}.${table}: ${mask.message(found.message, found.sqlState)}`,
    );
  if (found.differing === 0) return;
  const shown = found.shown.map(({ key, column, before, after }) => {
    const values = mask.hides ? column : `${column} ${quoted(before)} comes back as ${quoted(after)}`;
    return key === null ? values : `key ${mask.key(key)} (${values})`;
  });
  const more = found.differing > shown.length ? ', …' : '';
  tell(
    looking,
    DUAL_WRITE_LOSSY,
    `${howMany(found, `${schema}.${table}`)} come back changed: ${shown.join(', ')}${more}`,
  );
}

const number = (value: number): string => value.toLocaleString('en-US');
const quoted = (text: string | null): string => (text === null ? 'NULL' : JSON.stringify(text));

function howMany({ rows, differing, sampledOf }: RoundTrip, table: string): string {
  if (sampledOf === null) return `${number(differing)} of ${number(rows)} rows of ${table}`;
  const about = Math.round((differing / rows) * sampledOf);
  return `about ${number(about)} of ${number(sampledOf)} rows of ${table} (${number(differing)} in a sample of ${number(rows)})`;
}

const note = ({ view, placed }: Looking, text: string): void => {
  view.found.notes.push(`${placed.phase}/${placed.step.id}: ${text}`);
};

function tell({ view, placed }: Looking, rule: StepRule, message: string, hint: string | null = null): void {
  view.found.findings.push(stepFinding(placed, placed.step.database, rule, { message, hint }));
}
