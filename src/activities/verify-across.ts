import { type Both, sameDigest } from '../adapters/postgres/across-read.ts';
import { assertRepairable } from '../adapters/postgres/across-repair.ts';
import type { Bounds, Pair } from '../adapters/postgres/across-side.ts';
import { addSuspects, removeSuspects, wakeHot } from '../adapters/postgres/across-suspects.ts';
import { cutTable } from '../adapters/postgres/range-cut.ts';
import {
  addRanges,
  listRanges,
  moveCursor,
  type Place,
  type RangeRow,
  removeRanges,
} from '../adapters/postgres/range-ledger.ts';
import { wait } from '../adapters/postgres/lock-ladder.ts';
import { rowsGuessed } from '../adapters/postgres/table-shape.ts';
import { count, counted } from '../messages/counted.ts';
import { SwitchbackError } from '../messages/index.ts';
import { compareAggregatesAcross } from './across-aggregates.ts';
import { endPass } from './across-end.ts';
import { type Input, type Job, jobOf, NO_PASSES, pairOf, passesOf } from './across-job.ts';
import { settleAll } from './across-settle.ts';
import { compareByBuckets, cut, digests, narrow, piecesOf, rowsOf } from './across-walk.ts';
import { BackfillProgress } from './backfill-progress.ts';
import type { Effect, EffectContext, EffectResult } from './effect.ts';
import { maskOf } from './masking.ts';
import { type Pace, type Pacer, startPacer, wishOf } from './pacer.ts';
import { passBegins } from './proven-repairs.ts';
import { giveUpSoon, untilFree } from './until-free.ts';

/** So many pieces a table is cut into at most; a piece of a larger table has more rows than `chunk.rows`. */
const CHUNKS_MAX = 10_000;
/**
 * A table of so many rows is first compared as a whole: one scan in the order of the heap, which may use several
 * processes, takes two thirds of the time of the same rows by the key's index. It is cut only where it differs.
 */
const WHOLE_ROWS_MAX = 2_000_000;
/** Suspects that wait for the end of the pass at most; more are judged under way. */
const SUSPECTS_MAX = 10_000;
/** Tables that can't be cut into ranges are compared in one statement, up to so many rows. */
const UNSORTED_ROWS_MAX = 10_000_000;

/** Compares two tables, of one or two databases, while writes go on; the right one is made like the left one. */
export const verifyAcross: Effect<'verify'> = {
  async up(input, context) {
    const job = jobOf(input, context);
    for (;;) {
      const started = await untilFree(context, () => startPass(job, input, context));
      if ('note' in started) return started;
      await walkPass(job, started, input, context);
      await settleAll(job, started.pair, input, context);
      const unequal = await unequalAggregates(job, started.pair, input, context);
      const ended = await untilFree(context, () => endPass(job, { ...started, unequal }, input, context));
      if (ended instanceof SwitchbackError) throw ended;
      if (ended !== null) return ended;
    }
  },

  async down(input, context) {
    const job = jobOf(input, context);
    return job.databases.right.transaction(async (session) => {
      const record = await job.ledgers.right.enter(session, job.key);
      await removeRanges(session, job.owner);
      await removeSuspects(session, job.owner, null);
      const { repaired } = passesOf(record.detail);
      const note =
        repaired === 0 ? 'it changed nothing' : `${counted(repaired, 'row')} had been repaired; nothing to undo`;
      if (record.state !== 'undone') await job.ledgers.right.record(session, job.key, 'undone', { note });
      return { note, progress: null };
    });
  },
};

async function unequalAggregates(job: Job, pair: Pair, input: Input, context: EffectContext): Promise<string | null> {
  if (input.step.aggregates.length === 0) return null;
  const mask = await maskOf(context.deps, input.run, [job.wishes.left, job.wishes.right]);
  const showValues = input.step.showValues && !mask.hides;
  return compareAggregatesAcross(job, pair, input, { showValues, mask }, context);
}

/** Finds the pass under way, or cuts the table for a new one. */
async function startPass(
  job: Job,
  input: Input,
  context: EffectContext,
): Promise<{ pair: Pair; pass: number } | EffectResult> {
  const { step } = input;
  const beganAt = await passBegins(input, context);
  const pair = await pairOf(job);
  if (pair.unsorted !== null && pair.rowsGuessed > UNSORTED_ROWS_MAX) throw unwalkable(step.id, pair.unsorted);
  if (step.onMismatch === 'repair') assertRepairable(pair, step.id);
  return job.databases.right.transaction(async (session) => {
    const record = await job.ledgers.right.enter(session, job.key);
    if (record.state === 'applied') return { note: record.note ?? 'verified before', progress: null };
    await giveUpSoon(session);
    const known = passesOf(record.detail);
    if ((await listRanges(session, job.owner)).length > 0) return { pair, pass: known.passes };
    const places = asWhole(pair, input) ? [] : await cutLeft(job, pair, step.chunk.rows);
    // The last range has no end, and the first no beginning: keys beyond either end of the left side count too.
    await addRanges(session, job.owner, [...places.slice(0, -1), []], step.chunk.rows);
    await wakeHot(session, job.owner);
    const pass = known.passes + 1;
    const across = { ...NO_PASSES, passes: pass, judged: known.judged, repaired: known.repaired, beganAt };
    await job.ledgers.right.record(session, job.key, 'intended', { detail: { across } });
    return { pair, pass };
  });
}

const asWhole = (pair: Pair, input: Input): boolean => {
  const { rowsPerSecond, gentle } = wishOf(input);
  const inPieces = rowsPerSecond !== null || gentle || input.step.chunk.fixed;
  return pair.unsorted !== null || (pair.rowsGuessed <= WHOLE_ROWS_MAX && !inPieces);
};

function cutLeft(job: Job, { left }: Pair, rows: number): Promise<Place[]> {
  const pieces = Math.max(1, Math.min(CHUNKS_MAX, Math.ceil(rowsGuessed(left.shape) / rows)));
  return job.databases.left.transaction((session) => cutTable(session, left.shape, left.key, pieces));
}

const unwalkable = (step: string, why: string): SwitchbackError =>
  new SwitchbackError(
    'KeyMissing',
    `step "${step}" can't cut tables of more than ${count(UNSORTED_ROWS_MAX)} rows into ranges: ${why}`,
    {
      hint: 'give both keys the same type and collation, or name another key of both sides with `key`',
      fields: { step },
    },
  );

interface PassWalk {
  job: Job;
  pair: Pair;
  input: Input;
  context: EffectContext;
  pacers: Both<Pacer>;
  progress: BackfillProgress;
  /** Suspects of this pass that are not judged yet, as far as this worker knows. */
  suspects: number;
  note: string;
}

async function walkPass(
  job: Job,
  { pair, pass }: { pair: Pair; pass: number },
  input: Input,
  context: EffectContext,
): Promise<void> {
  const progress = new BackfillProgress(pair.rowsGuessed);
  const ranges = await listRanges(job.databases.right, job.owner);
  progress.begin(ranges, performance.now());
  const pacers = await startPacers(job, input, context);
  const walk: PassWalk = {
    ...{ job, pair, input, context, progress, note: `pass ${pass}` },
    pacers,
    suspects: 0,
  };
  let recorded: Promise<void> = Promise.resolve();
  try {
    for (const range of ranges.filter(({ open }) => open)) {
      // What was found is written down while the next range is read.
      const doRecord = await walkRange(walk, range, () => recorded);
      await recorded;
      recorded = doRecord();
      recorded.catch(() => undefined);
    }
    await recorded;
  } finally {
    await recorded.catch(() => undefined);
    await Promise.all([pacers.left.close(), pacers.right.close()]);
  }
}

/** One for each side, which has its own load; where one can't start the other ends. */
async function startPacers({ wishes }: Job, input: Input, context: EffectContext): Promise<Both<Pacer>> {
  const both = [startPacer(input, wishes.left, context), startPacer(input, wishes.right, context)] as const;
  const started = await Promise.allSettled(both);
  if (started.some(({ status }) => status === 'rejected'))
    for (const one of started) if (one.status === 'fulfilled') await one.value.close();
  const [left, right] = await Promise.all(both);
  return { left, right };
}

/** Compares what is left of a range. Answers with what writes its last piece down. */
async function walkRange(walk: PassWalk, range: RangeRow, before: () => Promise<void>): Promise<() => Promise<void>> {
  const { job, pair, input, context } = walk;
  const upper = range.upper === null || range.upper.length === 0 ? null : range.upper;
  const bounds: Bounds = { lower: range.cursor, upper };
  if (pair.unsorted !== null) {
    await paced(walk);
    const { rows } = await compareByBuckets(job, pair, context.signal, async (suspects) => {
      await noteSuspects(walk, suspects);
      await settleMany(walk);
    });
    return () => writeDown(walk, range, { to: upper, rows, suspects: [], done: true });
  }
  const found = await pacedDigests(walk, bounds);
  if (sameDigest(found))
    return () => writeDown(walk, range, { to: upper, rows: rowsOf(found), suspects: [], done: true });
  await before();
  const places =
    rowsOf(found) > 2 * input.step.chunk.rows ? await cut(job, pair, bounds, found, input.step.chunk.rows) : [];
  const pieces = piecesOf(bounds, places);
  for (const [index, piece] of pieces.entries()) {
    const inside = pieces.length === 1 ? found : await pacedDigests(walk, piece);
    const suspects = sameDigest(inside)
      ? []
      : await untilFree(context, () => narrow(job, pair, piece, inside, context.signal));
    const done = index === pieces.length - 1;
    const write = () => writeDown(walk, range, { to: piece.upper, rows: rowsOf(inside), suspects, done });
    if (done) return () => write().then(() => settleMany(walk));
    await write();
    await settleMany(walk);
  }
  throw new Error('a range has at least one piece');
}

async function pacedDigests(walk: PassWalk, bounds: Bounds): ReturnType<typeof digests> {
  const { job, pair, context } = walk;
  const began = await paced(walk);
  const found = await untilFree(context, () => digests(job, pair, bounds, context.signal));
  await rest(walk, began, rowsOf(found));
  return found;
}

/** Waits while either side wants us to stand still, and tells why. Answers with the time at which the work begins. */
async function paced(walk: PassWalk): Promise<number> {
  const { pacers, context } = walk;
  do {
    for (const pacer of [pacers.left, pacers.right]) await pacer.untilMoving(() => tell(walk, { blocked: true }));
    context.signal.throwIfAborted();
    // While one was waited for the other one may have come to a stand.
  } while (!Number.isFinite(paceOf(walk).rest));
  return performance.now();
}

/** The slower pace of both sides. */
function paceOf({ pacers }: PassWalk): Pick<Pace, 'rest' | 'rowsPerSecond' | 'note'> {
  const [left, right] = [pacers.left.now(), pacers.right.now()];
  const caps = [left.rowsPerSecond, right.rowsPerSecond].filter((cap) => cap !== null);
  return {
    rest: Math.max(left.rest, right.rest),
    rowsPerSecond: caps.length === 0 ? null : Math.min(...caps),
    // Of two notes the one of the slower side says why it takes so long.
    note: (right.rest > left.rest ? right.note : left.note) ?? left.note ?? right.note,
  };
}

async function rest(walk: PassWalk, began: number, rows: number): Promise<void> {
  const { rest: share, rowsPerSecond } = paceOf(walk);
  const workedMs = performance.now() - began;
  const capMs = rowsPerSecond === null ? 0 : (1_000 * rows) / rowsPerSecond - workedMs;
  // A pace of standing still is waited for before the next range.
  const dueMs = Math.max(capMs, Number.isFinite(share) ? share * workedMs : 0);
  if (dueMs > 0) await wait(dueMs, walk.context.signal);
}

async function writeDown(
  walk: PassWalk,
  range: RangeRow,
  found: { to: Place | null; rows: number; suspects: readonly Place[]; done: boolean },
): Promise<void> {
  const { job, context, progress } = walk;
  await untilFree(context, () =>
    job.databases.right.transaction(async (session) => {
      await job.ledgers.right.fence(session, job.owner.run);
      const moved = await moveCursor(session, job.owner, range, {
        cursor: found.to ?? [],
        keys: found.rows,
        rows: found.suspects.length,
        done: found.done,
      });
      // Another worker of the same generation was here: what it found counts, and what this one did is taken back.
      if (!moved)
        throw new SwitchbackError(
          'Fenced',
          `another worker has done range ${range.ordinal} of step "${job.owner.step}"`,
          {
            retry: true,
            fields: { step: job.owner.step },
          },
        );
      await addSuspects(session, job.owner, found.suspects);
    }),
  );
  walk.suspects += found.suspects.length;
  range.keysDone += found.rows;
  range.cursor = found.to;
  progress.note({ id: range.id, keysDone: range.keysDone, rowsDone: 0, open: !found.done }, performance.now());
  tell(walk);
}

function tell(walk: PassWalk, how: { blocked?: true } = {}): void {
  const pace = paceOf(walk).note;
  const suspects = walk.suspects === 0 ? '' : `: ${counted(walk.suspects, 'row')} to look at again`;
  walk.context.report({
    progress: how.blocked === true ? walk.progress.standing() : walk.progress.now(),
    note: `${walk.note}${suspects}${pace === null ? '' : `, ${pace}`}`,
    ...how,
  });
}

async function noteSuspects(walk: PassWalk, suspects: readonly Place[]): Promise<void> {
  const { job } = walk;
  await untilFree(walk.context, () =>
    job.databases.right.transaction(async (session) => {
      await job.ledgers.right.fence(session, job.owner.run);
      await addSuspects(session, job.owner, suspects);
    }),
  );
  walk.suspects += suspects.length;
}

/** Judges under way what would grow too much by the end. */
async function settleMany(walk: PassWalk): Promise<void> {
  if (walk.suspects <= SUSPECTS_MAX) return;
  await settleAll(walk.job, walk.pair, walk.input, walk.context);
  walk.suspects = 0;
}
