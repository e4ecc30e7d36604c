import { addLogRatios, logSpaced, logSumExp, ratiosOf, type Telling, tellingOf, type Window } from './gate-window.ts';

/** How many times as often the new path fails as the old one. */
export interface RatioEstimate {
  /**
   * The most likely ratio, window by window, so that a ramp under a drifting error rate doesn't mislead it as it does the
   * totals. 0: the new path never failed. Null: only the new path did, or nothing can be said.
   */
  estimate: number | null;
  /** With the confidence asked for, the ratio is between `low` and `high` at all looks at once. Null: no bound. */
  low: number;
  high: number | null;
}

/** Ratios that the interval is looked for in, as logarithms; and the mixture behind it, on both sides of 1. */
const LOG_MAX = Math.log(1e4);
const MIXTURE = ratiosOf(logSpaced(1 / 16, 16, 48));
const BISECTIONS = 40;
const NEWTON_STEPS_MAX = 60;
const NEWTON_ENOUGH = 1e-9;

/**
 * The ratio of error rates with a confidence sequence: the ψ₀ that the two-sided mixture e-process against ψ₀ (that of
 * gate-process.ts with θ(ψ₀) in place of p₀) has not refuted at 1/α. The true ratio, if it stays the same, is in all of
 * them with a probability of at least 1−α, because E against it is a supermartingale (the proof is that of
 * gate-process.ts; equality p = ψ₀q serves alternatives on both sides). Takes a few dozen passes over the windows.
 */
export function ratioOf(windows: readonly Window[], alpha: number): RatioEstimate {
  const told = windows.map(tellingOf).filter((telling) => telling !== null);
  const newBad = told.reduce((sum, telling) => sum + telling.newBad, 0);
  const oldBad = told.reduce((sum, telling) => sum + telling.bad, 0) - newBad;
  if (told.length === 0) return { estimate: null, low: 0, high: null };
  const sums = told.reduce<number[]>(
    (all, telling) => addLogRatios(all, telling, MIXTURE),
    MIXTURE.psi.map(() => 0),
  );
  // ψ₀ is refuted where its own likelihood is below this.
  const floor = logSumExp(sums) - Math.log(MIXTURE.psi.length) - Math.log(1 / alpha);
  return {
    estimate: newBad === 0 ? 0 : oldBad === 0 ? null : Math.exp(mostLikely(told)),
    low: likelihood(told, -LOG_MAX) > floor ? 0 : Math.exp(edge(told, -LOG_MAX, floor)),
    high: likelihood(told, LOG_MAX) > floor ? null : Math.exp(edge(told, LOG_MAX, floor)),
  };
}

/** The log likelihood of a ratio against that of 1; it is concave in ln ψ. */
function likelihood(told: readonly Telling[], logPsi: number): number {
  const gain = Math.expm1(logPsi);
  let log = 0;
  for (const { newBad, bad, share } of told) log += newBad * logPsi - bad * Math.log1p(gain * share);
  return log;
}

/** Its slope, `Σ x − (x+y)θ`: bad requests on the new path, less what ψ makes one expect there. */
function slope(told: readonly Telling[], logPsi: number): number {
  const psi = Math.exp(logPsi);
  let excess = 0;
  for (const { newBad, bad, share } of told) excess += newBad - (bad * psi * share) / (1 + (psi - 1) * share);
  return excess;
}

/** Where the slope of the likelihood, which falls as ψ rises, is zero. */
function mostLikely(told: readonly Telling[]): number {
  let [low, high] = [-LOG_MAX, LOG_MAX];
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (low + high) / 2;
    if (slope(told, middle) > 0) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** Where the likelihood rises to `floor`, on the way inwards: a concave function lets Newton's steps never go too far. */
function edge(told: readonly Telling[], from: number, floor: number): number {
  let at = from;
  for (let i = 0; i < NEWTON_STEPS_MAX; i++) {
    const step = (floor - likelihood(told, at)) / slope(told, at);
    at += step;
    if (Math.abs(step) < NEWTON_ENOUGH) break;
  }
  return at;
}
