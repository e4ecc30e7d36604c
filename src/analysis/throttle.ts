/**
 * How fast a long step may go, by what its probes found: a share of full speed between 0 and 1.
 *
 * The method is additive increase, multiplicative decrease (Chiu & Jain, 'Analysis of the Increase and Decrease
 * Algorithms for Congestion Avoidance in Computer Networks', 1989: of the linear controls the one that converges to a
 * fair share for several who don't know of each other). What is watched, and that a source which doesn't answer
 * counts as bad, is that of gh-ost's throttler (doc/throttle.md) and of Vitess's tablet throttler; both know only go
 * and stop. Here the share is halved at once by every bad round and rises by `RISE` after `GOOD_ROUNDS` good ones in a
 * row: a source that goes to and fro about its limit holds the share down instead of tossing it about.
 */
export interface Reading {
  /** `no answer` counts as bad: what can't be known is not health. */
  verdict: 'ok' | 'bad' | 'no answer';
  /** What was found and what is allowed: `replica 1 is 3.2 s behind, 2 s allowed`. */
  words: string;
  /** Not `ok`: reason enough to stand still at once. */
  hard?: boolean;
  /** Not `ok`: it slows down to this share and never below. For what standing still wouldn't mend. */
  lowest?: number;
  /** Something people should know, whatever the verdict. */
  warning?: string;
}

/** The smallest share at which anything moves: half of it is standing still. */
export const SHARE_MIN = 1 / 16;
export const RISE = 1 / 8;
/** Good rounds in a row before each rise. */
export const GOOD_ROUNDS = 3;

export class ThrottleLadder {
  #share = 1;
  #good = 0;
  #reasons: readonly string[] = [];
  #bad = false;

  /** The share of full speed, 0 to 1; 0 stands still. */
  get share(): number {
    return this.#share;
  }

  /** Why it isn't 1: what the last bad round found. */
  get reasons(): readonly string[] {
    return this.#reasons;
  }

  /** Whether all was well in the last round, and only the way back is not yet done. */
  get recovering(): boolean {
    return this.#share < 1 && !this.#bad;
  }

  /** Takes one round: a reading of each probe, all of about the same moment. */
  observe(round: readonly Reading[]): void {
    const bad = round.filter(({ verdict }) => verdict !== 'ok');
    this.#bad = bad.length > 0;
    if (!this.#bad) {
      this.#rise(1);
      if (this.#share === 1) this.#reasons = [];
      return;
    }
    this.#reasons = [...new Set(bad.map(({ words }) => words))];
    const lowest = Math.min(...bad.map((reading) => (reading.hard === true ? 0 : (reading.lowest ?? 0))));
    // What slows down without stopping lets it come back up to there.
    if (this.#share < lowest) return this.#rise(lowest);
    this.#good = 0;
    const half = this.#share / 2;
    const stands = half < SHARE_MIN || bad.some(({ hard }) => hard === true);
    this.#share = Math.max(lowest, stands ? 0 : half);
  }

  #rise(top: number): void {
    if (this.#share >= top) return;
    this.#good += 1;
    if (this.#good < GOOD_ROUNDS) return;
    this.#good = 0;
    this.#share = Math.min(top, this.#share + RISE);
  }
}
