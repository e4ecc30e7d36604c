import { assertRowErrors, retryRowErrors } from '../adapters/postgres/backfill-errors.ts';
import {
  type BackfillPlan,
  changeWhole,
  closeBackfill,
  dropProcedures,
  heapOrdered,
  planBackfill,
  procedureName,
} from '../adapters/postgres/backfill-plan.ts';
import { leftToSweep, writersToWaitFor } from '../adapters/postgres/backfill-sweep.ts';
import type { Database } from '../adapters/postgres/database.ts';
import { cutHeap, HeapWalkOver, heapProcedureName, isHeapRange } from '../adapters/postgres/heap-order.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import { wait } from '../adapters/postgres/lock-ladder.ts';
import { cutTable } from '../adapters/postgres/range-cut.ts';
import { addRanges, listRanges } from '../adapters/postgres/range-ledger.ts';
import { rowsGuessed } from '../adapters/postgres/table-shape.ts';
import { WriteMeter } from '../adapters/postgres/write-cost.ts';
import { counted, SwitchbackError } from '../messages/index.ts';
import { type Job, jobOf, resultOf } from './backfill-job.ts';
import { BackfillProgress } from './backfill-progress.ts';
import { assertRoom, costWords } from './backfill-cost.ts';
import { type Preserved, undoBackfill } from './backfill-undo.ts';
import { walkAll } from './backfill-walk.ts';
import { dualWriteOf, refuseFields, tableSyncOf } from './dual-write-of.ts';
import type { Effect, EffectContext, EffectInput, EffectResult } from './effect.ts';
import { type Pacer, startPacer } from './pacer.ts';
import { giveUpSoon, untilFree } from './until-free.ts';

type Input = EffectInput<'backfill'>;

/** Ranges a table is cut into at least, so that a later change of parallelism finds something to share out. */
const RANGES_MIN = 8;
const RANGES_PER_WORKER = 4;
/** Below this the cut costs more than it gives. */
const CUT_ROWS_MIN = 20_000;
const SWEEPS_MAX = 20;
const LOOK_FOR_WRITERS_EVERY_MS = 200;

/** Changes the rows of a table in chunks, each committed with its cursor; resumes wherever it was left. */
export const backfill: Effect<'backfill'> = {
  async up(input, context) {
    refuseUnsupported(input);
    const job = jobOf(input, context);
    const { run, step } = input;
    const wish = await wishOf(input, context);
    const prepared = await untilFree(context, () =>
      job.database.transaction(async (session) => {
        const record = await job.ledger.enter(session, job.key);
        if (record.state === 'applied') return resultOf(record);
        await giveUpSoon(session);
        const procedure = procedureName(run, step.id);
        const sweeps = (record.detail['sweeps'] as boolean | undefined) ?? null;
        const ranges = await listRanges(session, job.owner);
        const planned = await planBackfill(session, wish, procedure, sweeps);
        const plan = await heapOrdered(session, planned, procedure, ranges);
        if (plan.work === null) {
          const rows = await changeWhole(session, plan, job.owner, input.requestedBy);
          await job.ledger.record(session, job.key, 'intended', { detail: filledBy(wish) });
          return finished(job, session, `${counted(rows, 'row')} changed in one transaction`);
        }
        for (const statement of plan.statements) await session.query(statement);
        await job.ledger.record(session, job.key, 'intended', {
          detail: {
            sweeps: plan.sweeps,
            object: quoteTable(plan.shape.schema, plan.shape.table),
            ...filledBy(wish),
            ...preservedBy(plan),
          },
        });
        if (ranges.length === 0) {
          await assertRoom(session, job.database, plan);
          await cut(session, job, plan, step);
        }
        return plan;
      }),
    );
    if ('note' in prepared) return prepared;
    const { schema, table } = prepared.shape;
    const pacer = await startPacer(input, { database: job.database.name, schema, table }, context);
    try {
      const before = await rowsDone(job);
      const meter = await WriteMeter.start(job.database, prepared.shape);
      await carryOut(job, prepared, { pacer, meter }, input, context);
      const rows = (await rowsDone(job)) - before;
      return await finish(job, prepared, input, await costWords(job.database, prepared, await meter.end(), rows));
    } finally {
      await pacer.close();
    }
  },

  async down(input, context) {
    return undoBackfill(jobOf(input, context), input, context);
  },
};

type Session = Parameters<Parameters<Database['transaction']>[0]>[0];

function refuseUnsupported({ step }: Input): void {
  refuseFields('backfill', step.id, {});
}

/** What is to be set where: from the dual write it is `of`, or from the step itself. */
async function wishOf({ run, step, of }: Input, { deps }: EffectContext): Promise<Parameters<typeof planBackfill>[1]> {
  const key = step.key === undefined ? null : [step.key].flat();
  const where = step.where ?? null;
  const preserve = step.preserve ? { run, step: step.id } : null;
  if (of === null)
    return { schema: step.schema, table: step.table ?? '', set: step.set ?? {}, where, marker: null, key, preserve };
  const pairs = await tableSyncOf(deps, run, of);
  if (pairs !== null) {
    refuseFields('backfill', step.id, { preserve: step.preserve, where: where !== null });
    const { table } = pairs.from;
    return { schema: pairs.schema, table, set: {}, where: null, marker: null, key, preserve: null, pairs };
  }
  const { schema, table, up, marker } = await dualWriteOf(deps, run, of);
  return { schema, table, set: up, where, marker, key, preserve };
}

/** What follows from other columns by these expressions isn't kept when a rollback drops the columns. */
const filledBy = ({ schema, table, set }: Parameters<typeof planBackfill>[1]) => ({ filled: { schema, table, set } });

/** How the rows are found again whose before-images are kept. */
const preservedBy = ({ wish, key }: BackfillPlan): { preserved?: Preserved } =>
  wish.preserve === null || key === null
    ? {}
    : {
        preserved: {
          schema: wish.schema,
          table: wish.table,
          key: key.map(({ name }) => name),
          columns: Object.keys(wish.set),
          marker: wish.marker,
        },
      };

async function cut(
  session: Session,
  { owner }: Job,
  { shape, key, heap }: BackfillPlan,
  step: Input['step'],
): Promise<void> {
  if (key === null) return;
  const wished =
    rowsGuessed(shape) < CUT_ROWS_MIN ? step.parallelism : Math.max(RANGES_MIN, step.parallelism * RANGES_PER_WORKER);
  const uppers = heap === null ? await cutTable(session, shape, key, wished) : await cutHeap(session, shape, wished);
  await addRanges(session, owner, uppers, step.chunk.rows);
}

async function carryOut(
  job: Job,
  plan: BackfillPlan,
  { pacer, meter }: { pacer: Pacer; meter: WriteMeter },
  input: Input,
  context: EffectContext,
): Promise<void> {
  const { database, owner } = job;
  const { work } = plan;
  if (work === null) return;
  const fence = (session: Session) => job.ledger.fence(session, input.run);
  await retryRowErrors(database, owner, work, { requestedBy: input.requestedBy, fence });
  const progress = new BackfillProgress(rowsGuessed(plan.shape));
  const procedure = procedureName(input.run, input.step.id);
  const target = { database, owner, work, meter, procedure };
  if (plan.heap !== null) await walkHeap(job, plan, { ...target, work: plan.heap }, pacer, progress, input, context);
  for (let sweep = 0; ; sweep++) {
    await walkAll(target, pacer, progress, input, context);
    if (!plan.sweeps) return;
    await waitForWriters(job, plan, progress, context);
    const setAside = await assertRowErrors(database, owner, input.step.maxRowErrors);
    const left = await untilFree(context, () => leftToSweep(database, work));
    if (left <= setAside) return;
    if (sweep >= SWEEPS_MAX) throw neverDone(input, left);
    await database.transaction(async (session) => {
      await job.ledger.enter(session, job.key);
      const open = (await listRanges(session, owner)).some((range) => range.open);
      if (!open)
        await addRanges(session, owner, await cutTable(session, work.shape, work.key, 1), input.step.chunk.rows);
    });
  }
}

/** In heap order first; then along the key, where rows are left. */
async function walkHeap(
  job: Job,
  { work }: BackfillPlan,
  target: Parameters<typeof walkAll>[0],
  ...walking: [Pacer, BackfillProgress, Input, EffectContext]
): Promise<void> {
  const [, , input, context] = walking;
  const { database, owner } = job;
  if (work === null) return;
  let over = false;
  await walkAll({ ...target, procedure: heapProcedureName(target.procedure) }, ...walking).catch((error: unknown) => {
    if (!(error instanceof HeapWalkOver)) throw error;
    over = true;
  });
  const left = await untilFree(context, () => leftToSweep(database, work));
  await database.transaction(async (session) => {
    await job.ledger.enter(session, job.key);
    if (over) await closeBackfill(session, owner, input.requestedBy, false);
    const ranges = await listRanges(session, owner);
    if (left === 0 || ranges.some((range) => range.open || !isHeapRange(range))) return;
    await addRanges(session, owner, await cutTable(session, work.shape, work.key, 1), input.step.chunk.rows);
  });
}

const neverDone = ({ step }: Input, left: number): SwitchbackError =>
  new SwitchbackError(
    'ConditionUnmet',
    `after ${SWEEPS_MAX} sweeps ${counted(left, 'row')} still match \`where\` of step "${step.id}"`,
    {
      hint: 'put a dual write before the backfill, so that clients stop writing such rows',
      fields: { step: step.id, rows: left },
    },
  );

/** Rows that a transaction has written but not yet committed can't be seen: those writers are waited for. */
async function waitForWriters(
  { database }: Job,
  { shape }: BackfillPlan,
  progress: BackfillProgress,
  { signal, report }: EffectContext,
): Promise<void> {
  const before = await writersToWaitFor(database, shape);
  for (let now = before; now.some((writer) => before.includes(writer)); now = await writersToWaitFor(database, shape)) {
    report({ progress: progress.now(), note: `waits for ${now.length} transactions that write the table to end` });
    await wait(LOOK_FOR_WRITERS_EVERY_MS, signal);
  }
}

const rowsDone = async ({ database, owner }: Job): Promise<number> =>
  (await listRanges(database, owner)).reduce((sum, range) => sum + range.rowsDone, 0);

async function finish(
  job: Job,
  plan: BackfillPlan,
  { step, run }: Input,
  cost: readonly string[],
): Promise<EffectResult> {
  const setAside = await assertRowErrors(job.database, job.owner, step.maxRowErrors);
  return job.database.transaction(async (session) => {
    const record = await job.ledger.enter(session, job.key);
    if (record.state === 'applied') return resultOf(record);
    const ranges = await listRanges(session, job.owner);
    const rows = ranges.reduce((sum, range) => sum + range.rowsDone, 0);
    for (const drop of dropProcedures(procedureName(run, step.id))) await session.query(drop);
    const aside = setAside === 0 ? '' : `; ${counted(setAside, 'row')} set aside (switchback.row_errors)`;
    const unswept =
      plan.work?.marker === null && plan.wish.pairs === undefined && !plan.sweeps
        ? '; rows written meanwhile were not looked for again'
        : '';
    return finished(
      job,
      session,
      [`${counted(rows, 'row')} changed${aside}${unswept}`, ...cost].join('; '),
      ranges.reduce((sum, range) => sum + range.keysDone, 0),
    );
  });
}

async function finished(job: Job, session: Session, note: string, keys?: number): Promise<EffectResult> {
  const progress = keys === undefined ? null : { done: keys, total: keys, perSecond: null, etaSeconds: 0 };
  await job.ledger.record(session, job.key, 'applied', { note, detail: { keys: keys ?? null } });
  return { note, progress };
}
