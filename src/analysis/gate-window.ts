/** What one path answered in a window: how many requests, and how many of them were bad (failed, or over the SLO). */
export interface PathCounts {
  total: number;
  bad: number;
}

/**
 * What both paths answered in one window, counted by one metric. A window lies within one stop of the ramp: where the
 * exposure changes in the middle of a window and the error rate drifts with it, a difference appears that there isn't,
 * so that such a window is left out.
 *
 * Counts are those of requests, or of distinct units (users) where bad answers come in bursts. They are meant to be
 * whole; fractions, as Prometheus's `increase` makes them, are taken as they are.
 */
export interface Window {
  old: PathCounts;
  new: PathCounts;
}

/** Throws a `RangeError` where counts can't be counts: negative, not finite, or more bad answers than answers. */
export function assertWindow(window: Window): void {
  for (const path of ['old', 'new'] as const) {
    const { total, bad } = window[path];
    if (!isCount(total) || !isCount(bad)) {
      throw new RangeError(
        `the ${path} path: ${bad} bad of ${total} are not counts; both must be 0 or more and finite`,
      );
    }
    if (bad > total)
      throw new RangeError(`the ${path} path: ${bad} bad of ${total} in all: more bad ones than there are`);
  }
}
const isCount = (value: number): boolean => Number.isFinite(value) && value >= 0;

/** What a window holds of evidence: bad requests on the new path, on both, and the new path's share of all requests. */
export interface Telling {
  newBad: number;
  bad: number;
  share: number;
}

/**
 * What a window tells; null where it tells nothing, because no request was bad or only one path was used.
 * Throws a `RangeError` where counts can't be counts.
 */
export function tellingOf(window: Window): Telling | null {
  assertWindow(window);
  const bad = window.new.bad + window.old.bad;
  if (bad === 0 || window.new.total === 0 || window.old.total === 0) return null;
  return { newBad: window.new.bad, bad, share: window.new.total / (window.new.total + window.old.total) };
}

/** Ratios ψ with their logarithms, worked out once: each window of a fortnight goes through all of them. */
export interface Ratios {
  psi: readonly number[];
  log: readonly number[];
}
export const ratiosOf = (psi: readonly number[]): Ratios => ({ psi, log: psi.map((one) => Math.log(one)) });

/**
 * Adds to each sum what a window says for the error rate of the new path being ψ times that of the old one, against it
 * being the same: `x ln(θ/p₀) + y ln((1−θ)/(1−p₀))` for n new and m old requests with x and y bad ones, p₀ = n/(n+m),
 * θ = ψn/(ψn+m). It is worked out as `x ln ψ − (x+y) ln(1 + (ψ−1)p₀)`, which is the same, and stable.
 */
export function addLogRatios(sums: readonly number[], { newBad, bad, share }: Telling, { psi, log }: Ratios): number[] {
  return sums.map((sum, j) => sum + (newBad * (log[j] as number) - bad * Math.log1p(((psi[j] as number) - 1) * share)));
}

/** `count` points from `from` to `to`, both included, evenly spaced on a logarithmic scale. */
export function logSpaced(from: number, to: number, count: number): number[] {
  const step = Math.log(to / from) / (count - 1);
  return Array.from({ length: count }, (_, i) => from * Math.exp(i * step));
}

/** `ln Σ exp(value)` that neither overflows nor loses the small ones. */
export function logSumExp(values: readonly number[]): number {
  const max = values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  if (max === Number.NEGATIVE_INFINITY) return max;
  return max + Math.log(values.reduce((sum, value) => sum + Math.exp(value - max), 0));
}
