import type { Place } from './place.ts';

/** One measurement of ours and one of the reference, taken one after the other. */
export interface Turn {
  ours: number;
  reference: number;
}
export interface Target {
  /** `≤ 2.0`, as the table shows it. */
  words: string;
  met(ratio: number): boolean;
}
export const atLeast = (ratio: number): Target => ({ words: `≥ ${ratio}`, met: (measured) => measured >= ratio });
export const atMost = (ratio: number): Target => ({ words: `≤ ${ratio}`, met: (measured) => measured <= ratio });

/** What is measured, against what, and how good it has to be. */
export interface Benchmark {
  name: string;
  ours: string;
  reference: string;
  /** Of both figures: `rows/s`, `ms`, `µs`. */
  unit: string;
  /** Null where the figure is only reported. */
  target: Target | null;
  /** How many turns are taken where nothing else is asked for. */
  turns: number;
  /** Makes what the turns need; called once. The answer takes one turn each time it is called. */
  prepare(place: Place): Promise<{ turn(number: number): Promise<Turn>; close?(): Promise<void> }>;
}

/** A line of `--json`: figures are medians, `ratio` is the median of the turns' ratios, `spread` its least and greatest. */
export interface Result {
  name: string;
  ours: number;
  reference: number;
  unit: string;
  ratio: number;
  spread: [number, number];
  target: string | null;
  met: boolean | null;
}

export function resultOf({ name, unit, target }: Benchmark, turns: readonly Turn[]): Result {
  const ratios = turns.map(({ ours, reference }) => ours / reference);
  const ratio = median(ratios);
  return {
    name,
    ours: median(turns.map(({ ours }) => ours)),
    reference: median(turns.map(({ reference }) => reference)),
    unit,
    ratio,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    target: target?.words ?? null,
    met: target?.met(ratio) ?? null,
  };
}

/** The middle value; of an even number, the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low, high] = [sorted[middle - 1] ?? Number.NaN, sorted[middle] ?? Number.NaN];
  return sorted.length % 2 === 1 ? high : (low + high) / 2;
}

/** The value that a share `quantile` of the values does not exceed (nearest rank). */
export function percentile(values: readonly number[], quantile: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? Number.NaN;
}

export async function timedMs(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return performance.now() - began;
}
