import type { Path } from './stage.ts';
import { type UnitCounts, Units } from './units.ts';

/** What the instance has counted since it began, as the ledger and the switch's endpoint show it; whole numbers. */
export interface PathCounts extends UnitCounts {
  calls: number;
  errors: number;
  /** Calls that took `slowMs` or longer. */
  slow: number;
}
export interface SwitchCounts {
  old: PathCounts;
  new: PathCounts;
  compared: number;
  mismatches: number;
  repairsQueued: number;
}

export type Operation = 'read' | 'write';
/** Upper bounds in milliseconds; the last bucket has none. */
export const BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000] as const;

/** Calls of one side's function, whoever waited for the answer: a shadow read counts as a call of its side too. */
export class CallCounter {
  calls = 0;
  errors = 0;
  slow = 0;
  sumMs = 0;
  /** Calls by bucket, not yet added up. */
  readonly buckets = new Float64Array(BUCKETS_MS.length + 1);
  readonly #slowMs: number;

  constructor(slowMs: number) {
    this.#slowMs = slowMs;
  }

  add(tookMs: number, failed: boolean): void {
    this.calls += 1;
    if (failed) this.errors += 1;
    if (tookMs >= this.#slowMs) this.slow += 1;
    this.sumMs += tookMs;
    let bucket = 0;
    while (bucket < BUCKETS_MS.length && tookMs > (BUCKETS_MS[bucket] as number)) bucket += 1;
    this.buckets[bucket] = (this.buckets[bucket] as number) + 1;
  }
}

export class Counters {
  readonly calls: Readonly<Record<Path, Readonly<Record<Operation, CallCounter>>>>;
  readonly #units: Units | null;
  compared = 0;
  mismatches = 0;
  ignored = 0;
  /** Comparisons that threw: `clean`, `compare` or `ignore` did. */
  comparisonErrors = 0;
  shadowTimeouts = 0;
  /** Shadow reads that answered after their time-out, either way. */
  shadowLate = 0;
  repairsQueued = 0;
  repairsDone = 0;
  repairsFailed = 0;
  /** Calls that the switch itself refused. */
  refused = 0;
  fenced = 0;

  /** Without `units` each call is a unit of its own. */
  constructor(options: { slowMs: number; units: boolean }) {
    const counter = (): CallCounter => new CallCounter(options.slowMs);
    this.calls = { old: { read: counter(), write: counter() }, new: { read: counter(), write: counter() } };
    this.#units = options.units ? new Units() : null;
  }

  /** A call that began at `began` has ended at `now`. */
  ended(path: Path, operation: Operation, began: number, now: number, failed: boolean, unit: string | null): void {
    this.calls[path][operation].add(now - began, failed);
    if (unit !== null) this.#units?.note(unit, path, failed, now);
  }

  get counts(): SwitchCounts {
    const { compared, mismatches, repairsQueued } = this;
    return { old: this.#of('old'), new: this.#of('new'), compared, mismatches, repairsQueued };
  }

  #of(path: Path): PathCounts {
    const { read, write } = this.calls[path];
    const [calls, errors] = [read.calls + write.calls, read.errors + write.errors];
    const units = this.#units === null ? { units: calls, unitsFailed: errors } : { ...this.#units.counts[path] };
    return { calls, errors, slow: read.slow + write.slow, ...units };
  }
}
