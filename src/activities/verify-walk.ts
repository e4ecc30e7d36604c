import { isRowError } from '../adapters/postgres/backfill-errors.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import { recordLineage } from '../adapters/postgres/lineage.ts';
import { wait } from '../adapters/postgres/lock-ladder.ts';
import { listRanges, moveCursor, type RangeRow } from '../adapters/postgres/range-ledger.ts';
import { rowsGuessed } from '../adapters/postgres/table-shape.ts';
import type { Comparison } from '../adapters/postgres/verify.ts';
import {
  type Between,
  type ChunkFound,
  compareChunk,
  countDiffering,
  endRanges,
  isTimeout,
  type RowsFound,
  SAMPLE_MAX,
  type StatementLimits,
} from '../adapters/postgres/verify-rows.ts';
import { Span } from '../analysis/span.ts';
import { SwitchbackError } from '../messages/index.ts';
import { BackfillProgress } from './backfill-progress.ts';
import type { EffectContext } from './effect.ts';
import type { Pace, Pacer } from './pacer.ts';
import { untilFree } from './until-free.ts';
import { passesOf, type VerifyInput, type VerifyJob } from './verify-job.ts';

/** A statement lasts about this long, and never over `STATEMENT_MAX_MS`: so long it holds a snapshot. */
const STATEMENT_TARGET_MS = 1_000;
const STATEMENT_MAX_MS = 2_000;
/** The same of a step that gives way to others. */
const GENTLE_TARGET_MS = 200;
/** The first statement reads so much of the table: many a server does that in the time above, and no other loses more. */
const FIRST_BYTES = 4_000_000_000;
/** Under a cap a statement takes the rows of this time, so that it never runs far ahead of the cap. */
const CAPPED_SECONDS = 0.5;

export interface Pass {
  comparison: Comparison;
  pass: number;
  /** A look over the whole table has found a difference. */
  differs: boolean;
}

/**
 * Looks over the whole table in one statement, which is the cheapest way to find it clean: it is read in the order of the
 * heap, by as many processes as the server gives, and nothing of it can move meanwhile. Null where it
 * couldn't be had: the table is too large, the pace wants smaller pieces, or the comparison fails on a row.
 */
export async function lookOver(
  job: VerifyJob,
  { shape, ...comparison }: Comparison,
  pacer: Pacer,
  input: VerifyInput,
  context: EffectContext,
): Promise<RowsFound | null> {
  const pace = pacer.now();
  if (shape.bytes > FIRST_BYTES || rowsAllowed(pace) < rowsGuessed(shape) || pace.rest > 0) return null;
  const progress = { done: 0, total: rowsGuessed(shape), perSecond: null, etaSeconds: null };
  context.report({ progress, note: pace.note });
  const whole: Between = { lower: null, upper: null };
  try {
    const found = await untilFree(context, () =>
      job.database.transaction((session) =>
        countDiffering(session, { shape, ...comparison }, whole, limitsOf(pace, input)),
      ),
    );
    return found;
  } catch (error) {
    // A row on which the comparison fails is found, and named, by the walk.
    if (isTimeout(error) || isRowError(error)) return null;
    throw error;
  }
}

const rowsAllowed = ({ rowsPerSecond, chunkRows }: Pace): number =>
  Math.min(rowsPerSecond === null ? Infinity : rowsPerSecond * CAPPED_SECONDS, chunkRows ?? Infinity);

function limitsOf(pace: Pace, { throttle }: VerifyInput): StatementLimits {
  const asked = throttle?.parallelism;
  const workers = typeof asked === 'number' ? Math.max(0, asked - 1) : null;
  return { timeoutMs: STATEMENT_MAX_MS, workers: pace.rest > 0 ? 0 : workers };
}

/**
 * Compares every range that is still open. As long as nothing differs many ranges go into one statement; where something
 * does, its ranges are compared one by one.
 */
export async function walkPass(
  job: VerifyJob,
  pass: Pass,
  pacer: Pacer,
  input: VerifyInput,
  context: EffectContext,
): Promise<void> {
  const walk = await Walk.over(job, pass, input, context);
  while (walk.open.length > 0) {
    walk.rested();
    walk.report(pacer.now());
    await pacer.untilMoving((note) => walk.report({ ...pacer.now(), note }));
    context.signal.throwIfAborted();
    const pace = pacer.now();
    const began = performance.now();
    const checked = await walk.step(pace);
    const tookMs = performance.now() - began;
    walk.report(pace);
    const dueMs = pace.rowsPerSecond === null ? 0 : (1000 * checked) / pace.rowsPerSecond - tookMs;
    const restMs = Math.max(dueMs, Number.isFinite(pace.rest) ? pace.rest * tookMs : 0);
    if (restMs > 0) await wait(restMs, context.signal);
  }
}

class Walk {
  readonly open: RangeRow[];
  readonly #job: VerifyJob;
  readonly #pass: number;
  readonly #input: VerifyInput;
  readonly #context: EffectContext;
  readonly #progress: BackfillProgress;
  readonly #span: Span;
  readonly #rowsPerRange: number;
  readonly #comparison: Comparison;
  #differing: number;
  /** So many ranges are compared one by one: it is known that something in them differs. */
  #singly: number;

  static async over(job: VerifyJob, pass: Pass, input: VerifyInput, context: EffectContext): Promise<Walk> {
    return new Walk(job, pass, input, context, await listRanges(job.database, job.owner));
  }

  private constructor(
    job: VerifyJob,
    { comparison, pass, differs }: Pass,
    input: VerifyInput,
    context: EffectContext,
    ranges: readonly RangeRow[],
  ) {
    this.#job = job;
    this.#pass = pass;
    this.#input = input;
    this.#context = context;
    this.#comparison = comparison;
    this.open = ranges.filter(({ open }) => open);
    this.#singly = differs ? this.open.length : 0;
    this.#differing = ranges.reduce((sum, range) => sum + range.rowsDone, 0);
    const rows = rowsGuessed(comparison.shape);
    this.#rowsPerRange = Math.max(1, rows / Math.max(1, ranges.length));
    this.#progress = new BackfillProgress(rows);
    this.#progress.begin(ranges, performance.now());
    const share = Math.min(1, FIRST_BYTES / Math.max(1, comparison.shape.bytes));
    this.#span = new Span({ firstRows: Math.max(1, Math.ceil(rows * share)), targetMs: STATEMENT_TARGET_MS });
  }

  /** The speed is told from statement to statement, the rest between them included. */
  rested(): void {
    this.#progress.rested(performance.now());
  }

  report(pace: Pace): void {
    const note = `pass ${this.#pass}: ${this.#differing} differ${pace.note === null ? '' : `, ${pace.note}`}`;
    const stands = pace.rest === Number.POSITIVE_INFINITY;
    this.#context.report({ progress: stands ? this.#progress.standing() : this.#progress.now(), note });
  }

  /** Compares the next ranges; answers with the rows that it looked at. */
  async step(pace: Pace): Promise<number> {
    const ranges = this.open.slice(0, this.#singly > 0 ? 1 : this.#rangesAtOnce(pace));
    if (ranges.length === 1 && ranges[0] !== undefined) {
      this.#singly = Math.max(0, this.#singly - 1);
      return this.#alone(ranges[0]);
    }
    const began = performance.now();
    const rows = ranges.length * this.#rowsPerRange;
    const found = await this.#together(ranges, pace);
    if (found === null) {
      this.#span.tooLong(rows);
      return 0;
    }
    this.#span.took(rows, performance.now() - began);
    if (found.differing === 0) this.#ended(ranges, found);
    else this.#singly = ranges.length;
    return found.checked;
  }

  /** Neighbours only: nothing that lies between two of them has been left out. */
  #rangesAtOnce(pace: Pace): number {
    const gently = pace.rest > 0 ? GENTLE_TARGET_MS / STATEMENT_TARGET_MS : 1;
    const rows = Math.min(this.#span.rows * gently, rowsAllowed(pace));
    const wanted = Math.max(1, Math.floor(rows / this.#rowsPerRange));
    const gap = this.open.findIndex((range, index) => range.ordinal !== (this.open[0]?.ordinal ?? 0) + index);
    return gap === -1 ? wanted : Math.min(wanted, gap);
  }

  /** One statement over several ranges, in a transaction of its own; null where it took too long. */
  async #together(ranges: readonly RangeRow[], pace: Pace): Promise<RowsFound | null> {
    const between: Between = { lower: ranges[0]?.lower ?? null, upper: ranges.at(-1)?.upper ?? null };
    try {
      const found = await untilFree(this.#context, () =>
        this.#job.database.transaction((session) =>
          countDiffering(session, this.#comparison, between, limitsOf(pace, this.#input)),
        ),
      );
      if (found.differing === 0) await this.#end(ranges, found.checked);
      return found;
    } catch (error) {
      if (isTimeout(error)) return null;
      throw error;
    }
  }

  async #end(ranges: readonly RangeRow[], checked: number): Promise<void> {
    await untilFree(this.#context, () =>
      this.#job.database.transaction(async (session) => {
        await this.#job.ledger.fence(session, this.#job.owner.run);
        if (!(await endRanges(session, this.#job.owner, ranges, checked))) throw doneByAnother(this.#job, ranges[0]);
      }),
    );
  }

  async #alone(range: RangeRow): Promise<number> {
    const found = await untilFree(this.#context, () => chunk(this.#job, this.#comparison, range, this.#input));
    this.#differing += found.differing;
    this.#ended([range], found);
    return found.checked;
  }

  #ended(ranges: readonly RangeRow[], { checked, differing }: RowsFound): void {
    const ids = new Set(ranges.map(({ id }) => id));
    for (const [index, { id }] of ranges.entries()) {
      const mine = index === 0 ? { keysDone: checked, rowsDone: differing } : { keysDone: 0, rowsDone: 0 };
      this.#progress.count({ id, ...mine, open: false });
    }
    this.open.splice(0, this.open.length, ...this.open.filter(({ id }) => !ids.has(id)));
  }
}

/** One range: compared, repaired and recorded in one transaction, in which nobody can take the range over. */
async function chunk(
  job: VerifyJob,
  comparison: Comparison,
  range: RangeRow,
  { step, requestedBy }: VerifyInput,
): Promise<ChunkFound> {
  return job.database.transaction(async (session) => {
    await job.ledger.fence(session, job.owner.run);
    const between = { lower: range.lower, upper: comparison.key === null ? null : range.upper };
    const how = { repair: step.onMismatch === 'repair', showValues: job.showValues };
    const found = await compareChunk(session, comparison, between, how);
    const moved = await moveCursor(session, job.owner, range, {
      cursor: range.upper ?? [],
      keys: found.checked,
      rows: found.differing,
      done: true,
    });
    // Another worker of the same generation was here: what it found counts, and what this one did is taken back.
    if (!moved) throw doneByAnother(job, range);
    if (found.differing === 0) return found;
    await noteFound(session, job, found);
    if (found.repaired.rows > 0) {
      const object = quoteTable(comparison.shape.schema, comparison.shape.table);
      await recordLineage(session, {
        ...job.owner,
        direction: 'up',
        kind: 'repair',
        object,
        lower: range.lower,
        upper: range.upper,
        rows: found.repaired.rows,
        digests: found.repaired.digests,
        requestedBy,
      });
    }
    return found;
  });
}

const doneByAnother = (job: VerifyJob, range: RangeRow | undefined): SwitchbackError =>
  new SwitchbackError('Fenced', `another worker has done range ${range?.ordinal} of step "${job.owner.step}"`, {
    retry: true,
    fields: { step: job.owner.step },
  });

async function noteFound(session: Queryable, job: VerifyJob, found: ChunkFound): Promise<void> {
  const { detail } = await job.ledger.enter(session, job.key);
  const before = passesOf(detail);
  const sample = [...before.sample, ...found.sample].slice(0, SAMPLE_MAX);
  const repaired = found.repaired.rows;
  const verify = {
    ...before,
    repaired: before.repaired + repaired,
    repairedInPass: before.repairedInPass + repaired,
    sample,
  };
  await job.ledger.record(session, job.key, 'intended', { detail: { verify } });
}
