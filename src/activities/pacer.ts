import type { EffectContext, EffectInput } from './effect.ts';

/** How fast a long step may go right now, and why not faster. */
export interface Pace {
  /** Rest after each piece of work, as a multiple of the time it took; Infinity: stand still. */
  rest: number;
  /** Of all its workers together; null: no cap. */
  rowsPerSecond: number | null;
  parallelism: number;
  /** Why it doesn't go at full speed, in words; null where it does. */
  note: string | null;
}
export interface Pacer {
  /** The pace now: looked at before every chunk or slice. */
  now(): Pace;
  /** Returns at once unless the pace is to stand still; then when that is over. Throws `signal.reason`. */
  untilMoving(): Promise<void>;
  close(): Promise<void>;
}
export interface PacedTable {
  database: string;
  schema: string;
  table: string;
}

/** A gentle step rests as long as it works. */
const GENTLE_REST = 1;

/** Watches what a step's throttle names, from now until `close`. */
export async function startPacer(
  { step, throttle }: EffectInput<'backfill' | 'verify'>,
  _table: PacedTable,
  _context: EffectContext,
): Promise<Pacer> {
  const gentle = throttle?.gentle ?? step.throttle.gentle ?? false;
  const cap = throttle?.rowsPerSecond ?? step.throttle.maxRowsPerSecond ?? null;
  const parallelism = throttle?.parallelism ?? ('parallelism' in step ? step.parallelism : 1);
  const pace: Pace = {
    rest: gentle ? GENTLE_REST : 0,
    rowsPerSecond: cap,
    parallelism: gentle ? 1 : parallelism,
    note: noteOf(cap, gentle),
  };
  return { now: () => pace, untilMoving: async () => undefined, close: async () => undefined };
}

const noteOf = (cap: number | null, gentle: boolean): string | null => {
  if (cap !== null) return `capped at ${cap.toLocaleString('en-US')} rows/s`;
  return gentle ? 'gentle: rests as long as it works' : null;
};
