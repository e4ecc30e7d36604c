import { logRatio, logSpaced, logSumExp, type Window } from './gate-window.ts';

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

/** Ratios that the interval is looked for in; and the mixture behind it, on both sides of 1. */
const LOG_MAX = Math.log(1e4);
const MIXTURE = logSpaced(1 / 16, 16, 48);
const BISECTIONS = 40;

/**
 * The ratio of error rates with a confidence sequence: the ψ₀ that the two-sided mixture e-process against ψ₀ (that of
 * gate-process.ts with θ(ψ₀) in place of p₀) has not refuted at 1/α. The true ratio, if it stays the same, is in all of
 * them with a probability of at least 1−α, because E against it is a supermartingale (the proof is that of
 * gate-process.ts; equality p = ψ₀q serves alternatives on both sides).
 */
export function ratioOf(windows: readonly Window[], alpha: number): RatioEstimate {
  const telling = windows.filter((window) => window.new.total > 0 && window.old.total > 0);
  const likelihood = (logPsi: number): number => {
    const psi = Math.exp(logPsi);
    return telling.reduce((sum, window) => sum + logRatio(window, psi), 0);
  };
  const newBad = telling.reduce((sum, window) => sum + window.new.bad, 0);
  const oldBad = telling.reduce((sum, window) => sum + window.old.bad, 0);
  if (newBad + oldBad === 0) return { estimate: null, low: 0, high: null };
  const peak = newBad === 0 ? -LOG_MAX : oldBad === 0 ? LOG_MAX : mostLikely(telling, newBad);
  const mixture = logSumExp(MIXTURE.map((psi) => likelihood(Math.log(psi)) - Math.log(MIXTURE.length)));
  const refuted = (logPsi: number): boolean => mixture - likelihood(logPsi) >= Math.log(1 / alpha);
  return {
    estimate: newBad === 0 ? 0 : oldBad === 0 ? null : Math.exp(peak),
    low: refuted(-LOG_MAX) ? Math.exp(edge(-LOG_MAX, peak, refuted)) : 0,
    high: refuted(LOG_MAX) ? Math.exp(edge(LOG_MAX, peak, refuted)) : null,
  };
}

/** Where the slope of the likelihood, `Σ x − (x+y)θ(ψ)`, which falls as ψ rises, is zero. */
function mostLikely(windows: readonly Window[], newBad: number): number {
  const expectedNewBad = (psi: number): number =>
    windows.reduce((sum, { old, new: fresh }) => {
      return sum + ((fresh.bad + old.bad) * psi * fresh.total) / (psi * fresh.total + old.total);
    }, 0);
  return bisect(-LOG_MAX, LOG_MAX, (logPsi) => expectedNewBad(Math.exp(logPsi)) < newBad);
}

/** The last ratio, on the way from one that is refuted to the most likely one, that still is. */
const edge = (from: number, peak: number, refuted: (logPsi: number) => boolean): number => bisect(from, peak, refuted);

/** The point between `from`, where `holds` does, and `to`, where it doesn't, at which that changes. */
function bisect(from: number, to: number, holds: (at: number) => boolean): number {
  let [inside, outside] = [from, to];
  for (let i = 0; i < BISECTIONS; i++) {
    const middle = (inside + outside) / 2;
    if (holds(middle)) inside = middle;
    else outside = middle;
  }
  return inside;
}
