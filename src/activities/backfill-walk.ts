import { type SlicePace, type Walk, walkRange } from '../adapters/postgres/backfill.ts';
import { isHeapRange } from '../adapters/postgres/heap-order.ts';
import { listRanges, openRanges, type RangeRow, stopRanges } from '../adapters/postgres/range-ledger.ts';
import type { WriteMeter } from '../adapters/postgres/write-cost.ts';
import { ChunkServo } from '../analysis/servo.ts';
import { durationMs } from '../plan/index.ts';
import type { BackfillProgress } from './backfill-progress.ts';
import type { EffectContext, EffectInput } from './effect.ts';
import type { Pace, Pacer } from './pacer.ts';

type Input = EffectInput<'backfill'>;
/** `meter` counts what the sessions of the walk write. */
type Target = Pick<Walk, 'database' | 'owner' | 'work' | 'procedure'> & { meter: WriteMeter };

/** Walks all open ranges, as many side by side as the pace allows. */
export async function walkAll(
  target: Target,
  pacer: Pacer,
  progress: BackfillProgress,
  input: Input,
  context: EffectContext,
): Promise<void> {
  const { step } = input;
  const ranges = await listRanges(target.database, target.owner);
  progress.begin(ranges, performance.now());
  const inHeap = target.work.rowsPerPage !== undefined;
  const open = ranges.filter((range) => range.open && isHeapRange(range) === inHeap);
  const workers = Math.min(Math.max(1, pacer.now().parallelism), open.length);
  const report = (note: string | null, blocked = false): void =>
    context.report({
      progress: pacer.now().rest === Number.POSITIVE_INFINITY ? progress.standing() : progress.now(),
      note,
      ...(blocked && { blocked }),
    });
  const paced = new PacedRanges(target, pacer, Math.max(1, workers));
  await paced.open();
  const over = new AbortController();
  pacer.onChange((pace, slower) => {
    if (over.signal.aborted) return;
    report(pace.note);
    if (slower) paced.fall().catch((error: unknown) => context.log.warn({ err: error }, 'pace not put into force'));
  });

  const failed = new AbortController();
  const signal = AbortSignal.any([context.signal, failed.signal]);
  const walk: Walk & Target = {
    ...target,
    requestedBy: input.requestedBy,
    maxRowErrors: step.maxRowErrors,
    signal,
    pace: () => paced.beforeSlice((note) => report(note, true), signal),
    chunkSize: () =>
      new ChunkServo({
        startRows: step.chunk.rows,
        targetMs: durationMs(step.chunk.targetTime),
        fixed: step.chunk.fixed,
      }),
    onSlice: (range, note) => {
      progress.note(range, performance.now());
      report(note ?? pacer.now().note);
    },
  };
  report(pacer.now().note);
  await sideBySide(open, workers, walk, failed, context).finally(() => over.abort());
}

/** The pace, in the rows of the ranges (cap and stop, read before every chunk) and in each slice (rest, size). */
class PacedRanges {
  readonly #target: Target;
  readonly #pacer: Pacer;
  readonly #workers: number;
  #inForce: number | null = null;

  constructor(target: Target, pacer: Pacer, workers: number) {
    this.#target = target;
    this.#pacer = pacer;
    this.#workers = workers;
  }

  open(): Promise<void> {
    return this.#put(false);
  }

  /** Less is allowed than before: slices under way end with the chunk that they are at. */
  fall(): Promise<void> {
    return this.#put(true);
  }

  async beforeSlice(onStanding: (note: string) => void, signal: AbortSignal): Promise<SlicePace> {
    let pace: Pace;
    for (;;) {
      pace = this.#pacer.now();
      if (pace.rest !== Number.POSITIVE_INFINITY) break;
      await this.#pacer.untilMoving(onStanding, signal);
    }
    if (this.#cap() !== this.#inForce) await this.#put(null);
    return pace;
  }

  /** Each worker keeps to its part of the cap. */
  #cap(): number | null {
    const { rowsPerSecond } = this.#pacer.now();
    return rowsPerSecond === null ? null : rowsPerSecond / this.#workers;
  }

  async #put(stop: boolean | null): Promise<void> {
    const cap = this.#cap();
    await openRanges(this.#target.database, this.#target.owner, { rowsPerSecond: cap, stop });
    this.#inForce = cap;
  }
}

/** When one worker fails the others stop too; the error that was first counts. */
async function sideBySide(
  open: RangeRow[],
  workers: number,
  walk: Walk & Target,
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
      .session((session) =>
        walk.meter.count(session, async () => {
          for (let range = queue.shift(); range !== undefined; range = queue.shift())
            await walkRange(session, range, walk);
        }),
      )
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
