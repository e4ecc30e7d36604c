/** A rate over the last few seconds, for progress and the time left: a mean since the start would hide a slowdown. */
const WINDOW_MS = 5_000;

export class MovingRate {
  #points: { at: number; done: number }[] = [];

  /** Notes how much is done at a time, in milliseconds of any monotonic clock. */
  note(at: number, done: number): void {
    this.#points.push({ at, done });
    while (this.#points.length > 2 && at - (this.#points[1]?.at ?? at) > WINDOW_MS) this.#points.shift();
  }

  /** Per second; null until two points in time are known. */
  get perSecond(): number | null {
    const first = this.#points[0];
    const last = this.#points.at(-1);
    if (first === undefined || last === undefined || last.at <= first.at) return null;
    return ((last.done - first.done) * 1000) / (last.at - first.at);
  }

  etaSeconds(left: number): number | null {
    const rate = this.perSecond;
    if (left <= 0) return 0;
    return rate === null || rate <= 0 ? null : Math.ceil(left / rate);
  }
}
