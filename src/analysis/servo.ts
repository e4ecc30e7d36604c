/**
 * Steers the size of a chunk so that it takes about `targetMs`: a foreground write waits no longer than that for a
 * row of ours. Database-rules.md, 'Backfill', has the figures and what was measured.
 */
export const CHUNK_ROWS_MIN = 100;
export const CHUNK_ROWS_MAX = 5_000;
const WINDOW = 10;
const QUANTILE = 0.9;
const GROWTH_MAX = 1.5;
/** A chunk that takes this many targets shows that the size is far off: it is cut to a tenth at once. */
const FAR_OFF = 5;
const CUT = 10;
/** Below this change the size stays, so that it doesn't chase noise. */
const DEAD_BAND = 0.1;

export interface ServoOptions {
  startRows: number;
  targetMs: number;
  /** Keeps `startRows` whatever the chunks take. */
  fixed: boolean;
}

export class ChunkServo {
  readonly #options: ServoOptions;
  #rows: number;
  #window: number[] = [];
  #settled = false;

  constructor(options: ServoOptions) {
    this.#options = options;
    this.#rows = options.startRows;
  }

  get rows(): number {
    return this.#rows;
  }

  /** How many chunks to do before the next look: few as long as the size is being found, else as many as fit. */
  get chunksMax(): number {
    return this.#options.fixed || this.#settled ? 1_000_000 : WINDOW;
  }

  /** Takes the times of chunks of the current size that were not held up by locks, in milliseconds. */
  observe(chunkMs: readonly number[]): void {
    if (this.#options.fixed) return;
    if (chunkMs.some((ms) => ms > FAR_OFF * this.#options.targetMs)) {
      this.#change(Math.max(Math.min(CHUNK_ROWS_MIN, this.#rows), Math.floor(this.#rows / CUT)));
      return;
    }
    this.#window = [...this.#window, ...chunkMs].slice(-WINDOW);
    if (this.#window.length < WINDOW) return;
    const sorted = this.#window.toSorted((a, b) => a - b);
    const slow = sorted[Math.ceil(QUANTILE * WINDOW) - 1] ?? this.#options.targetMs;
    const wished = (this.#rows * this.#options.targetMs) / Math.max(slow, 0.01);
    const rows = Math.round(
      Math.min(CHUNK_ROWS_MAX, Math.max(CHUNK_ROWS_MIN, Math.min(wished, this.#rows * GROWTH_MAX))),
    );
    this.#settled = Math.abs(rows - this.#rows) <= DEAD_BAND * this.#rows;
    if (!this.#settled) this.#change(rows);
  }

  #change(rows: number): void {
    this.#rows = rows;
    this.#window = [];
    this.#settled = false;
  }
}
