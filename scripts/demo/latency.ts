/** How long each request took, in ms, by the part of the demo in which it was due. */
export class Latencies {
  readonly #byPart = new Map<string, number[]>();

  add(part: string, ms: number): void {
    const list = this.#byPart.get(part);
    if (list === undefined) this.#byPart.set(part, [ms]);
    else list.push(ms);
  }

  count(part: string): number {
    return this.#byPart.get(part)?.length ?? 0;
  }

  /** The nearest-rank percentile (`p` from 0 to 100), or null where nothing was measured. */
  percentile(part: string, p: number): number | null {
    const sorted = [...(this.#byPart.get(part) ?? [])].sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)] ?? null;
  }
}
