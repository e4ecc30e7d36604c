import type { Queryable } from '../adapters/postgres/database.ts';
import { showKey } from '../adapters/postgres/hidden-values.ts';
import { cutTable } from '../adapters/postgres/range-cut.ts';
import { addRanges, listRanges, removeRanges } from '../adapters/postgres/range-ledger.ts';
import { rowsGuessed } from '../adapters/postgres/table-shape.ts';
import type { Comparison } from '../adapters/postgres/verify.ts';
import { mismatch, type RowsFound, type SampleRow } from '../adapters/postgres/verify-rows.ts';
import type { SwitchbackError } from '../messages/index.ts';
import type { Effect, EffectContext, EffectResult } from './effect.ts';
import { startPacer } from './pacer.ts';
import { passBegins, takeOffProven } from './proven-repairs.ts';
import { giveUpSoon, untilFree } from './until-free.ts';
import { compareAggregates } from './verify-aggregates.ts';
import { type Passes, passesOf, type VerifyInput, verifyJob, type VerifyJob } from './verify-job.ts';
import { verifyAcross } from './verify-across.ts';
import { lookOver, type Pass, walkPass } from './verify-walk.ts';

/** So many pieces a table is cut into at most; a piece of a larger table has more rows than `chunk.rows`. */
const CHUNKS_MAX = 10_000;
/** A capped walk goes by pieces of about a second, down to so many rows. */
const CAPPED_ROWS_MIN = 100;
/** What is told of values at most: it goes through Temporal with the error, and is read by people. */
const VALUES_CHARACTERS_MAX = 8_000;

/** Compares row by row while writes go on; what was repaired is believed only after a whole pass without a difference. */
export const verify: Effect<'verify'> = {
  async up(input, context) {
    if (input.step.left !== undefined) return verifyAcross.up(input, context);
    const job = await verifyJob(input, context);
    const pacer = await startPacer(input, job.table, context);
    try {
      for (;;) {
        const ready = await untilFree(context, () => prepare(job));
        if ('note' in ready) return ready;
        await pacer.untilMoving((note) => context.report({ progress: null, note }));
        const unequal = await compareAggregates(job, ready.comparison, input, context);
        if (unequal !== null) context.report({ progress: null, note: unequal });
        const beganAt = await passBegins(input, context);
        const look = !ready.walking && unequal === null;
        const seen = look ? await lookOver(job, ready.comparison, pacer, input, context) : null;
        const started = await untilFree(context, () =>
          startPass(job, ready.comparison, { seen, beganAt }, input, context),
        );
        if ('note' in started) return started;
        await walkPass(job, started, pacer, input, context);
        const ended = await endPass(job, started, unequal, input, context);
        if (ended instanceof Error) throw ended;
        if (ended !== null) return ended;
      }
    } finally {
      await pacer.close();
    }
  },

  async down(input, context) {
    if (input.step.left !== undefined) return verifyAcross.down(input, context);
    const job = await verifyJob(input, context, { undo: true });
    return job.database.transaction(async (session) => {
      const record = await job.ledger.enter(session, job.key);
      await removeRanges(session, job.owner);
      const repaired = passesOf(record.detail).repaired;
      const note = repaired === 0 ? 'it changed nothing' : `${count(repaired)} had been repaired; nothing to undo`;
      if (record.state !== 'undone') await job.ledger.record(session, job.key, 'undone', { note });
      return { note, progress: null };
    });
  },
};

/** Works out the comparison; `walking`: a pass is under way, whose ranges are there. */
async function prepare(job: VerifyJob): Promise<{ comparison: Comparison; walking: boolean } | EffectResult> {
  return job.database.transaction(async (session) => {
    const record = await job.ledger.enter(session, job.key);
    if (record.state === 'applied') return { note: record.note ?? 'verified before', progress: null };
    await giveUpSoon(session);
    const comparison = await job.compare(session);
    return { comparison, walking: (await listRanges(session, job.owner)).length > 0 };
  });
}

/** Finds the pass under way, or cuts the table for a new one; where a look has found all of it clean, that was the pass. */
async function startPass(
  job: VerifyJob,
  comparison: Comparison,
  { seen, beganAt }: { seen: RowsFound | null; beganAt: string | null },
  input: VerifyInput,
  context: EffectContext,
): Promise<Pass | EffectResult> {
  return job.database.transaction(async (session) => {
    const { step, throttle } = input;
    const record = await job.ledger.enter(session, job.key);
    if (record.state === 'applied') return { note: record.note ?? 'verified before', progress: null };
    const known = passesOf(record.detail);
    // Another worker may have begun a pass meanwhile: then that one is gone on with.
    if ((await listRanges(session, job.owner)).length > 0) return { comparison, pass: known.passes, differs: false };
    if (seen?.differing === 0) {
      await takeOffProven(input, context, beganAt);
      return clean(job, session, { ...known, passes: known.passes + 1 }, seen.checked);
    }
    await giveUpSoon(session);
    const cap = throttle?.rowsPerSecond ?? step.throttle.maxRowsPerSecond ?? null;
    const rows = cap === null ? step.chunk.rows : Math.min(step.chunk.rows, Math.max(CAPPED_ROWS_MIN, Math.ceil(cap)));
    await cut(session, job, comparison, rows);
    await job.ledger.record(session, job.key, 'intended', {
      detail: { verify: { ...known, passes: known.passes + 1, repairedInPass: 0, sample: [], beganAt } },
    });
    return { comparison, pass: known.passes + 1, differs: seen !== null };
  });
}

/** Records that a whole pass has found no difference. */
async function clean(
  job: VerifyJob,
  session: Queryable,
  { passes, repaired }: Passes,
  checked: number,
): Promise<EffectResult> {
  const how = `${passes} ${passes === 1 ? 'pass' : 'passes'}${repaired === 0 ? '' : `, ${repaired.toLocaleString('en-US')} repaired`}`;
  const note = `0 of ${count(checked)} differ (${how})`;
  await job.ledger.record(session, job.key, 'applied', { note });
  return { note, progress: { done: checked, total: checked, perSecond: null, etaSeconds: 0 } };
}

async function cut(
  session: Queryable,
  job: VerifyJob,
  { shape, key, uppers: ends }: Comparison,
  rows: number,
): Promise<void> {
  const pieces = Math.min(CHUNKS_MAX, Math.ceil(rowsGuessed(shape) / rows));
  // Without a key the table is one range, which ends nowhere.
  const uppers = key === null ? [[]] : await cutTable(session, shape, key, Math.max(1, pieces));
  await addRanges(session, job.owner, ends === undefined ? uppers : await ends(session, uppers), rows);
}

/** The result of a clean pass, the error of one that can't become clean, or null: another pass has to follow. */
async function endPass(
  job: VerifyJob,
  { comparison, pass }: Pass,
  unequal: string | null,
  input: VerifyInput,
  context: EffectContext,
): Promise<EffectResult | SwitchbackError | null> {
  const { step } = input;
  return job.database.transaction(async (session) => {
    const record = await job.ledger.enter(session, job.key);
    if (record.state === 'applied') return { note: record.note ?? 'verified before', progress: null };
    const ranges = await listRanges(session, job.owner);
    const known = passesOf(record.detail);
    // Another worker may have judged this pass already: then there is only its verdict to follow.
    if (ranges.some(({ open }) => open) || known.passes !== pass || known.judged === pass) return null;
    const checked = ranges.reduce((sum, range) => sum + range.keysDone, 0);
    const differing = ranges.reduce((sum, range) => sum + range.rowsDone, 0);
    const { repaired, repairedInPass, sample } = known;
    await removeRanges(session, job.owner);
    if (differing === 0) {
      await takeOffProven(input, context, known.beganAt);
      return clean(job, session, known, checked);
    }
    const again = step.onMismatch === 'repair' && pass <= step.maxRounds && repairedInPass > 0;
    // Whoever retries after a failure wants to know how it is then: the count of passes starts anew.
    const kept: Passes = again
      ? { ...known, judged: pass }
      : { passes: 0, judged: 0, repaired, repairedInPass: 0, sample };
    await job.ledger.record(session, job.key, 'intended', { detail: { verify: kept } });
    if (again) return null;
    const mask = await job.mask();
    return mismatch(step.id, {
      differing,
      checked,
      keys: sample.flatMap(({ key }) => (key.length === 0 ? [] : [mask.key(key)])).join(', '),
      values: [valuesOf(step, job.showValues, sample), unequal ?? ''].filter((words) => words !== '').join('; '),
      hint: hintFor(step, pass, comparison),
      hold: step.onMismatch === 'hold',
    });
  });
}

function valuesOf(step: VerifyInput['step'], showValues: boolean, sample: readonly SampleRow[]): string {
  if (!step.showValues) return '';
  if (!showValues) return 'values are not shown: the table is labelled pii';
  const words = sample
    .filter(({ values }) => values.length > 0)
    .map(({ key, values }) => `${key.length === 0 ? '' : `${showKey(key)}: `}${values.join(', ')}`)
    .join('; ');
  return words.length > VALUES_CHARACTERS_MAX ? `${words.slice(0, VALUES_CHARACTERS_MAX)}…` : words;
}

const hintFor = ({ onMismatch, maxRounds }: VerifyInput['step'], pass: number, { unrepaired }: Comparison): string =>
  onMismatch === 'repair'
    ? `repairs did not get rid of them (${pass} of at most ${maxRounds + 1} passes): ${unrepaired}; mend them, then retry`
    : 'look at the rows; mend them, or let the step repair them (onMismatch: repair), then retry';

const count = (rows: number): string => `${rows.toLocaleString('en-US')} ${rows === 1 ? 'row' : 'rows'}`;
