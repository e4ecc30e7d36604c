import type { Database } from '../adapters/postgres/database.ts';
import { showKey } from '../adapters/postgres/hidden-values.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import { recordLineage } from '../adapters/postgres/lineage.ts';
import { wait } from '../adapters/postgres/lock-ladder.ts';
import { cutTable } from '../adapters/postgres/range-cut.ts';
import {
  addRanges,
  listRanges,
  moveCursor,
  type Place,
  type RangeOwner,
  type RangeRow,
  removeRanges,
} from '../adapters/postgres/range-ledger.ts';
import { StepLedger, type StepKey } from '../adapters/postgres/step-ledger.ts';
import { rowsGuessed } from '../adapters/postgres/table-shape.ts';
import {
  type ChunkFound,
  type Comparison,
  compareChunk,
  compareWithDualWrite,
  compareWithExpressions,
  mismatch,
  SAMPLE_MAX,
} from '../adapters/postgres/verify.ts';
import { SwitchbackError } from '../messages/index.ts';
import { BackfillProgress } from './backfill-progress.ts';
import { dualWriteOf, refuseFields } from './dual-write-of.ts';
import type { Effect, EffectContext, EffectInput, EffectResult } from './effect.ts';
import { giveUpSoon, untilFree } from './until-free.ts';

type Input = EffectInput<'verify'>;
type Session = Parameters<Parameters<Database['transaction']>[0]>[0];

/** So many pieces a table is cut into at most; a piece of a larger table has more rows than `chunk.rows`. */
const CHUNKS_MAX = 10_000;

/** What is kept between passes. */
interface Passes {
  /** The pass under way or the last one; 0 before the first. */
  passes: number;
  /** The last pass whose ranges were taken away: it was judged by whoever did that. */
  judged: number;
  repaired: number;
  repairedInPass: number;
  sample: Place[];
}

/** Compares row by row while writes go on; what was repaired is believed only after a whole pass without a difference. */
export const verify: Effect<'verify'> = {
  async up(input, context) {
    refuseUnsupported(input);
    const job = await jobOf(input, context);
    for (;;) {
      const started = await untilFree(context, () => startPass(job, input));
      if ('note' in started) return started;
      await walkPass(job, started, input, context);
      const ended = await endPass(job, started, input);
      if (ended instanceof SwitchbackError) throw ended;
      if (ended !== null) return ended;
    }
  },

  async down(input, context) {
    const job = await jobOf(input, context, { undo: true });
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

interface Job {
  database: Database;
  ledger: StepLedger;
  key: StepKey;
  owner: RangeOwner;
  compare(session: Session): Promise<Comparison>;
}

async function jobOf({ run, phase, step, of }: Input, { deps }: EffectContext, { undo = false } = {}): Promise<Job> {
  const database = deps.databases.get(of?.database ?? step.database ?? step.left?.database ?? '');
  const detail = of === null || undo ? null : await dualWriteOf(deps, run, of);
  const where = step.where ?? null;
  return {
    database,
    ledger: new StepLedger(database),
    key: { run, phase, step: step.id, kind: step.uses },
    owner: { run, step: step.id },
    compare: (session) =>
      detail === null
        ? compareWithExpressions(session, {
            schema: step.schema,
            table: step.table ?? '',
            expect: step.expect ?? {},
            where,
          })
        : compareWithDualWrite(session, detail, where),
  };
}

function refuseUnsupported({ step }: Input): void {
  const { gentle, maxReplicaLag, maxLockWaits, maxActiveConnections, sql, http } = step.throttle;
  refuseFields('verify', step.id, {
    left: step.left !== undefined,
    right: step.right !== undefined,
    aggregates: step.aggregates.length > 0,
    showValues: step.showValues,
    'throttle.gentle': gentle === true,
    'throttle.maxReplicaLag': maxReplicaLag !== undefined,
    'throttle.maxLockWaits': maxLockWaits !== undefined,
    'throttle.maxActiveConnections': maxActiveConnections !== undefined,
    'throttle.sql': sql !== undefined,
    'throttle.http': http !== undefined,
  });
}

const passesOf = (detail: Record<string, unknown>): Passes => ({
  passes: 0,
  judged: 0,
  repaired: 0,
  repairedInPass: 0,
  sample: [],
  ...(detail['verify'] as Partial<Passes> | undefined),
});

/** Finds the pass under way, or cuts the table for a new one. */
async function startPass(job: Job, { step }: Input): Promise<{ comparison: Comparison; pass: number } | EffectResult> {
  return job.database.transaction(async (session) => {
    const record = await job.ledger.enter(session, job.key);
    if (record.state === 'applied') return { note: record.note ?? 'verified before', progress: null };
    await giveUpSoon(session);
    const comparison = await job.compare(session);
    const { passes } = passesOf(record.detail);
    if ((await listRanges(session, job.owner)).length > 0) return { comparison, pass: passes };
    const { shape, key } = comparison;
    const chunks = Math.min(CHUNKS_MAX, Math.ceil(rowsGuessed(shape) / step.chunk.rows));
    // Without a key the table is one range, which ends nowhere.
    const uppers = key === null ? [[]] : await cutTable(session, shape, key, Math.max(1, chunks));
    await addRanges(session, job.owner, uppers, step.chunk.rows);
    await job.ledger.record(session, job.key, 'intended', {
      detail: { verify: { ...passesOf(record.detail), passes: passes + 1, repairedInPass: 0, sample: [] } },
    });
    return { comparison, pass: passes + 1 };
  });
}

async function walkPass(
  job: Job,
  { comparison, pass }: { comparison: Comparison; pass: number },
  input: Input,
  context: EffectContext,
): Promise<void> {
  const progress = new BackfillProgress(rowsGuessed(comparison.shape));
  const ranges = await listRanges(job.database, job.owner);
  for (const range of ranges) progress.note(range, performance.now());
  const perSecond = input.throttle?.rowsPerSecond ?? input.step.throttle.maxRowsPerSecond ?? null;
  let differing = ranges.reduce((sum, range) => sum + range.rowsDone, 0);
  const report = (): void => {
    const capped = perSecond === null ? '' : `, capped at ${perSecond.toLocaleString('en-US')} rows/s`;
    context.report({ progress: progress.now(), note: `pass ${pass}: ${differing} differ${capped}` });
  };
  report();
  for (const range of ranges.filter(({ open }) => open)) {
    const began = performance.now();
    const found = await untilFree(context, () => chunk(job, comparison, range, input));
    differing += found.differing;
    progress.note({ id: range.id, keysDone: found.checked, rowsDone: found.differing, open: false }, performance.now());
    report();
    const dueMs = perSecond === null ? 0 : (1000 * found.checked) / perSecond - (performance.now() - began);
    if (dueMs > 0) await wait(dueMs, context.signal);
  }
}

/** One range: compared, repaired and recorded in one transaction, in which nobody can take the range over. */
async function chunk(
  job: Job,
  comparison: Comparison,
  range: RangeRow,
  { step, requestedBy }: Input,
): Promise<ChunkFound> {
  return job.database.transaction(async (session) => {
    await job.ledger.fence(session, job.owner.run);
    const upper = comparison.key === null ? null : range.upper;
    const found = await compareChunk(session, comparison, { lower: range.lower, upper }, step.onMismatch === 'repair');
    const moved = await moveCursor(session, job.owner, range, {
      cursor: range.upper ?? [],
      keys: found.checked,
      rows: found.differing,
      done: true,
    });
    // Another worker of the same generation was here: what it found counts, and what this one did is taken back.
    if (!moved)
      throw new SwitchbackError('Fenced', `another worker has done range ${range.ordinal} of step "${step.id}"`, {
        retry: true,
        fields: { step: step.id },
      });
    if (found.differing === 0) return found;
    await noteFound(session, job, found);
    if (found.repaired > 0) {
      const object = quoteTable(comparison.shape.schema, comparison.shape.table);
      await recordLineage(session, {
        run: job.owner.run,
        step: step.id,
        direction: 'up',
        kind: 'repair',
        object,
        lower: range.lower,
        upper: range.upper,
        rows: found.repaired,
        requestedBy,
      });
    }
    return found;
  });
}

async function noteFound(session: Session, job: Job, found: ChunkFound): Promise<void> {
  const { detail } = await job.ledger.enter(session, job.key);
  const before = passesOf(detail);
  const sample = [...before.sample, ...found.sample].slice(0, SAMPLE_MAX);
  await job.ledger.record(session, job.key, 'intended', {
    detail: {
      verify: {
        ...before,
        repaired: before.repaired + found.repaired,
        repairedInPass: before.repairedInPass + found.repaired,
        sample,
      },
    },
  });
}

/** The result of a clean pass, the error of one that can't become clean, or null: another pass has to follow. */
async function endPass(
  job: Job,
  { pass }: { pass: number },
  { step }: Input,
): Promise<EffectResult | SwitchbackError | null> {
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
      const how = `${pass} ${pass === 1 ? 'pass' : 'passes'}${repaired === 0 ? '' : `, ${repaired.toLocaleString('en-US')} repaired`}`;
      const note = `0 of ${count(checked)} differ (${how})`;
      await job.ledger.record(session, job.key, 'applied', { note });
      return { note, progress: { done: checked, total: checked, perSecond: null, etaSeconds: 0 } };
    }
    const again = step.onMismatch === 'repair' && pass <= step.maxRounds && repairedInPass > 0;
    // Whoever retries after a failure wants to know how it is then: the count of passes starts anew.
    const kept = again ? { ...known, judged: pass } : { passes: 0, judged: 0, repaired, repairedInPass: 0, sample };
    await job.ledger.record(session, job.key, 'intended', { detail: { verify: kept } });
    if (again) return null;
    return mismatch(step.id, {
      differing,
      checked,
      keys: sample.map(showKey).join(', '),
      hint: hintFor(step, pass),
      hold: step.onMismatch === 'hold',
    });
  });
}

const hintFor = (step: Input['step'], pass: number): string =>
  step.onMismatch === 'repair'
    ? `repairs did not get rid of them (${pass} of at most ${step.maxRounds + 1} passes): rows whose new side a client wrote, or that a dual write keeps in step, are not repaired here; mend them, then retry`
    : 'look at the rows; mend them, or let the step repair them (onMismatch: repair), then retry';

const count = (rows: number): string => `${rows.toLocaleString('en-US')} ${rows === 1 ? 'row' : 'rows'}`;
