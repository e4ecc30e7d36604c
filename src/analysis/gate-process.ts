import { addLogRatios, logSpaced, logSumExp, ratiosOf, tellingOf, type Window } from './gate-window.ts';

/**
 * The test that may roll back: a one-sided, window-stratified mixture e-process after Lindon and Malek, "Anytime-valid
 * inference for multinomial count data" (arXiv 2011.03567). It may be looked at as often as anybody likes.
 *
 * For window k with n new and m old requests and x, y bad ones: p₀ = n/(n+m), θⱼ = ψⱼn/(ψⱼn+m),
 *
 *     log E = logsumexpⱼ( log wⱼ + Σₖ x·ln(θⱼ/p₀) + y·ln((1−θⱼ)/(1−p₀)) )
 *
 * with 24 alternatives ψⱼ ("the new path fails ψⱼ times as often"), log-spaced in [1.05, 16], each of weight 1/24.
 *
 * **What is proven.** While the new path is no worse, E reaches 1/α with a probability of at most α, over all windows
 * together, whatever the error rate is and however it drifts. Take one window, given n, m and the past; let outcomes
 * be independent, of probability pᵢ for new and qᵢ for old requests, with the means p and q. With a = θⱼ/p₀ ≥ 1 and
 * c = (1−θⱼ)/(1−p₀), the expectation of what the window multiplies component j with is
 *
 *     E[aˣ cʸ] = Πᵢ(1 + pᵢ(a−1)) · Πᵢ(1 + qᵢ(c−1)) ≤ exp( n·p·(a−1) + m·q·(c−1) ) = exp( n(a−1)(p−q) )
 *
 * because 1+u ≤ eᵘ, and because p₀a + (1−p₀)c = 1 makes m(c−1) = −n(a−1). It is at most 1 where p ≤ q. So each
 * component is a non-negative supermartingale that begins at 1, so is their mean, and Ville's inequality is the bound.
 * Nothing here asks for small error rates: with Poisson counts it is an equality at p = q, with real requests E stays
 * below that (given x+y, x is hypergeometric and not binomial; at an error rate of 30 % the test is more careful than it
 * had to be). Nor do the rates of windows have to be alike, or known; they may be random, as long as both paths share them.
 *
 * **What is asked for.** Outcomes within a window that don't hang together more than through their rate: one user who
 * retries twenty times is one bad event, not twenty, and counting it as twenty breaks the bound (count distinct
 * units). Where both paths are called for each request, failing together only makes E smaller: the pair adds
 * P(both)·(a−1)(c−1) ≤ 0 to the sum above. Counts as they are: `increase` of a short range in Prometheus makes them up
 * to a third larger. A split that doesn't depend on what is measured: the flag's hash sees to it. No change of exposure
 * within a window.
 *
 * **Several metrics** share α: each has a process of its own over all stops of the ramp and rolls back at M/α.
 *
 * **What it is slow at.** What was seen of health counts against trouble that comes later, since the sums begin once.
 */
export const ALTERNATIVES: readonly number[] = logSpaced(1.05, 16, 24);
const RATIOS = ratiosOf(ALTERNATIVES);
const LOG_WEIGHT = -Math.log(ALTERNATIVES.length);

/** The state of one metric's process: plain JSON. The same windows in the same order give the same bits. */
export interface RollBackProcess {
  /** Of each alternative, the sum over the windows so far. */
  sums: readonly number[];
  /** The highest log E at the end of any window: the verdict must not depend on when somebody looked. */
  peakLogE: number;
}

/** Before any window: E = 1. */
export const newRollBackProcess = (): RollBackProcess => ({ sums: ALTERNATIVES.map(() => 0), peakLogE: 0 });

/** The process one window later. Throws a `RangeError` where the counts can't be counts. */
export function afterWindow(process: RollBackProcess, window: Window): RollBackProcess {
  const telling = tellingOf(window);
  if (telling === null) return process;
  const { peakLogE } = process;
  const sums = addLogRatios(process.sums, telling, RATIOS);
  // A mean is no higher than its highest part: most windows of a healthy path can't be a peak.
  const mayBePeak = sums.some((sum) => sum > peakLogE);
  return { sums, peakLogE: mayBePeak ? Math.max(peakLogE, logMean(sums)) : peakLogE };
}

/** Recomputes a process from its windows. */
export const rollBackProcessOf = (windows: readonly Window[]): RollBackProcess =>
  windows.reduce(afterWindow, newRollBackProcess());

/** log E as it stands. */
export const logEvidence = ({ sums }: RollBackProcess): number => logMean(sums);

const logMean = (sums: readonly number[]): number => logSumExp(sums.map((sum) => LOG_WEIGHT + sum));

/** E at which one of M metrics rolls back, so that all of them together do so falsely with a probability of at most α. */
export const rollBackAt = (alpha: number, metrics: number): number => Math.max(1, metrics) / alpha;

/** Beyond it evidence is told as this: it is beyond doubt, and JSON has no infinity. */
export const EVIDENCE_MAX = 1e12;

/** E of log E, as far as people are told. */
export const evidenceOf = (logE: number): number => Math.min(EVIDENCE_MAX, Math.exp(logE));
