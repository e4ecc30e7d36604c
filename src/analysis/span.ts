/** How many rows the next statement takes, so that it lasts about as long as it should. */
export interface SpanOptions {
  /** Rows of the first statement, before anything is known. */
  firstRows: number;
  targetMs: number;
}

/** A statement is made at most so many times longer at once: the rows that follow may cost more. */
const GROWTH_MAX = 4;
/** So much shorter is the one after a statement that took longer than it may. */
const TOO_LONG = 8;

export class Span {
  readonly #targetMs: number;
  #rows: number;

  constructor({ firstRows, targetMs }: SpanOptions) {
    this.#rows = firstRows;
    this.#targetMs = targetMs;
  }

  get rows(): number {
    return this.#rows;
  }

  /** A statement over so many rows took so long. */
  took(rows: number, ms: number): void {
    if (rows === 0) return;
    this.#rows = Math.max(1, Math.round(Math.min(rows * GROWTH_MAX, (rows * this.#targetMs) / Math.max(1, ms))));
  }

  /** A statement over so many rows was ended before it was done. */
  tooLong(rows: number): void {
    this.#rows = Math.max(1, Math.floor(rows / TOO_LONG));
  }
}
