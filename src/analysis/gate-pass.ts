import { addLogRatios, logSpaced, logSumExp, type Ratios, ratiosOf, tellingOf, type Window } from './gate-window.ts';

/**
 * The same test reversed, for passing: evidence that the new path fails less than `margin` times as often as the old
 * one. The null hypothesis is "at least `margin` times", a whole range, and the reference is its edge:
 * θ_M = margin·n/(margin·n+m) in place of p₀. The alternatives are 24 log-spaced points below the margin, from half the
 * old path's error rate up to just under the margin, each of weight 1/24:
 *
 *     log E = logsumexpⱼ( log wⱼ + Σₖ x·ln(θⱼ/θ_M) + y·ln((1−θⱼ)/(1−θ_M)) )
 *
 * **It is a supermartingale under every ratio ψ ≥ margin.** As in gate-process.ts, with a = θⱼ/θ_M ≤ 1 and
 * c = (1−θⱼ)/(1−θ_M): in one window, given n, m and the past, E[aˣcʸ] ≤ exp( n·p·(a−1) + m·q·(c−1) ), where p and q are
 * the mean error rates. θ_M·a + (1−θ_M)·c = 1 makes m(c−1) = −margin·n(a−1), so that the exponent is
 * n(a−1)(p − margin·q): at most 0 for all p ≥ margin·q, because a ≤ 1. So a path that is as bad as `margin` or
 * worse reaches E = 20 with a probability of at most 1/20, at whatever time somebody looks.
 *
 * `margin` is a ratio of error rates, not of odds. At small rates they are the same; at an old rate of 30 %, odds of 1.5
 * times are a rate of 1.3 times, which passes at a margin of 1.5, and rightly so.
 *
 * A gate passes when all its metrics have: a gate that should not pass has one that should not, so that the bound holds
 * for the gate with no share for each.
 */
export const PASS_AT = 20;
const ALTERNATIVES_COUNT = 24;
const LOWEST = 0.5;
/** The highest alternative is the margin to this power: who is that close to it needs a very long look anyway. */
const BELOW_MARGIN = 0.9;
const LOG_WEIGHT = -Math.log(ALTERNATIVES_COUNT);

export interface PassProcess {
  margin: number;
  /** Of each alternative, the sum over the windows so far. */
  sums: readonly number[];
}

/** The alternatives below a margin, as ratios of error rates. */
export const passAlternatives = (margin: number): number[] =>
  logSpaced(LOWEST, margin ** BELOW_MARGIN, ALTERNATIVES_COUNT);

/** Before any window: E = 1. Throws a `RangeError` for a margin that isn't over 1. */
export function newPassProcess(margin: number): PassProcess {
  if (!(margin > 1 && Number.isFinite(margin))) throw new RangeError(`margin ${margin}: it must be over 1`);
  return { margin, sums: passAlternatives(margin).map(() => 0) };
}

/** The process one window later. Throws a `RangeError` where the counts can't be counts. */
export const passAfterWindow = (process: PassProcess, window: Window): PassProcess =>
  after(process, window, ratiosFor(process.margin));

/** Recomputes a process from its windows. */
export function passProcessOf(margin: number, windows: readonly Window[]): PassProcess {
  const ratios = ratiosFor(margin);
  return windows.reduce((process, window) => after(process, window, ratios), newPassProcess(margin));
}

interface PassRatios {
  alternatives: Ratios;
  reference: Ratios;
}
const ratiosFor = (margin: number): PassRatios => ({
  alternatives: ratiosOf(passAlternatives(margin)),
  reference: ratiosOf([margin]),
});

function after(process: PassProcess, window: Window, { alternatives, reference }: PassRatios): PassProcess {
  const telling = tellingOf(window);
  if (telling === null) return process;
  const [margins = 0] = addLogRatios([0], telling, reference);
  return { ...process, sums: addLogRatios(process.sums, telling, alternatives).map((sum) => sum - margins) };
}

/**
 * log E as it stands. Unlike the test that rolls back, its peak doesn't count: a path that was good and is so no longer
 * has nothing to show for it.
 */
export const logPassEvidence = ({ sums }: PassProcess): number => logSumExp(sums.map((sum) => LOG_WEIGHT + sum));
