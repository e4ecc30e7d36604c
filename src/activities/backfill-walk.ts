import { type Walk, walkRange } from '../adapters/postgres/backfill.ts';
import { listRanges, openRanges, type RangeRow, stopRanges } from '../adapters/postgres/range-ledger.ts';
import { ChunkServo } from '../analysis/servo.ts';
import { durationMs } from '../plan/index.ts';
import type { BackfillProgress } from './backfill-progress.ts';
import type { EffectContext, EffectInput } from './effect.ts';

type Input = EffectInput<'backfill'>;
type Target = Pick<Walk, 'database' | 'owner' | 'work' | 'procedure'>;

/** A gentle walk rests as long as it works. */
const GENTLE_REST = 1;

/** Walks all open ranges, as many side by side as the plan or `throttle` says. */
export async function walkAll(
  target: Target,
  progress: BackfillProgress,
  input: Input,
  context: EffectContext,
): Promise<void> {
  const { step, throttle } = input;
  const { database, owner } = target;
  const gentle = throttle?.gentle ?? step.throttle.gentle ?? false;
  const wished = gentle ? 1 : (throttle?.parallelism ?? step.parallelism);
  const cap = throttle?.rowsPerSecond ?? step.throttle.maxRowsPerSecond ?? null;
  const ranges = await listRanges(database, owner);
  for (const range of ranges) progress.note(range, performance.now());
  const open = ranges.filter((range) => range.open);
  const workers = Math.min(Math.max(1, wished), open.length);
  const rowsPerSecond = cap === null ? null : cap / Math.max(1, workers);
  await openRanges(database, owner, rowsPerSecond);

  const failed = new AbortController();
  const walk: Walk = {
    ...target,
    requestedBy: input.requestedBy,
    rowsPerSecond,
    rest: gentle ? GENTLE_REST : 0,
    maxRowErrors: step.maxRowErrors,
    signal: AbortSignal.any([context.signal, failed.signal]),
    chunkSize: () =>
      new ChunkServo({
        startRows: step.chunk.rows,
        targetMs: durationMs(step.chunk.targetTime),
        fixed: step.chunk.fixed,
      }),
    onSlice: (range, note) => {
      progress.note(range, performance.now());
      context.report({ progress: progress.now(), note: note ?? pace(cap, gentle) });
    },
  };
  context.report({ progress: progress.now(), note: pace(cap, gentle) });
  await sideBySide(open, workers, walk, failed, context);
}

const pace = (cap: number | null, gentle: boolean): string | null =>
  cap === null
    ? gentle
      ? 'gentle: rests as long as it works'
      : null
    : `capped at ${cap.toLocaleString('en-US')} rows/s`;

/** When one worker fails the others stop too; the error that was first counts. */
async function sideBySide(
  open: RangeRow[],
  workers: number,
  walk: Walk,
  failed: AbortController,
  { signal, log }: EffectContext,
): Promise<void> {
  const queue = [...open];
  // The chunk under way is finished; the flag spares waiting for the rest of the slice.
  const stop = (): void => {
    stopRanges(walk.database, walk.owner).catch((error: unknown) => log.warn({ err: error }, 'stop flag not set'));
  };
  walk.signal.addEventListener('abort', stop, { once: true });
  const running = Array.from({ length: workers }, () =>
    walk.database
      .session(async (session) => {
        for (let range = queue.shift(); range !== undefined; range = queue.shift())
          await walkRange(session, range, walk);
      })
      .catch((error: unknown) => {
        failed.abort(error);
        throw error;
      }),
  );
  await Promise.allSettled(running);
  walk.signal.removeEventListener('abort', stop);
  signal.throwIfAborted();
  failed.signal.throwIfAborted();
}
