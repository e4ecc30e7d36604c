import type { RangeRow } from '../adapters/postgres/range-ledger.ts';
import { MovingRate } from '../analysis/moving-rate.ts';
import type { Progress } from '../messages/index.ts';

type RangeState = Pick<RangeRow, 'id' | 'keysDone' | 'rowsDone' | 'open'>;

/** How far the ranges of a walk are: by the table's statistics first, exact for the ranges that are done. */
export class BackfillProgress {
  readonly #guess: number;
  readonly #ranges = new Map<string, RangeState>();
  readonly #rate = new MovingRate();

  constructor(rowsGuessed: number) {
    this.#guess = rowsGuessed;
  }

  /** What was there at the start, done by an earlier attempt: it is no speed of this one's. */
  begin(ranges: readonly RangeState[], atMs: number): void {
    for (const range of ranges) this.#ranges.set(range.id, { ...range });
    this.#rate.note(atMs, this.#done());
  }

  note(range: RangeState, atMs: number): void {
    this.count(range);
    this.rested(atMs);
  }

  /** Done, but with a rest to come that belongs to its time: `rested` tells when that is over. */
  count(range: RangeState): void {
    this.#ranges.set(range.id, { ...range });
  }

  now(): Progress {
    const ranges = [...this.#ranges.values()];
    const share = this.#guess / Math.max(1, ranges.length);
    const total = ranges.reduce(
      (sum, range) => sum + (range.open ? Math.max(share, range.keysDone) : range.keysDone),
      0,
    );
    const done = this.#done();
    const perSecond = this.#rate.perSecond;
    return {
      done,
      total: Math.max(done, Math.round(total)),
      perSecond: perSecond === null ? null : Math.round(perSecond),
      etaSeconds: this.#rate.etaSeconds(total - done),
    };
  }

  /** Time has passed without anything done: a rest counts for the speed, too. */
  rested(atMs: number): void {
    this.#rate.note(atMs, this.#done());
  }

  /** While nothing may be done: what the last seconds were is no speed of now. */
  standing(): Progress {
    return { ...this.now(), perSecond: 0, etaSeconds: null };
  }

  #done(): number {
    return [...this.#ranges.values()].reduce((sum, range) => sum + range.keysDone, 0);
  }
}
