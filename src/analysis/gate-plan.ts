import { PASS_AT, passAlternatives } from './gate-pass.ts';
import { ALTERNATIVES, rollBackAt } from './gate-process.ts';
import { logSumExp } from './gate-window.ts';

/**
 * How much a gate has to see before it can say anything: so that nobody bakes too short. Worked out from the e-process
 * itself, with no simulation; a test compares it with one.
 *
 * What a gate learns from are bad requests: given B of them on both paths together, with the share s of the traffic on
 * the new path, those on the new path are binomial with θ = ψs/(ψs + 1−s) under a ratio ψ. E rises with their number, so
 * that E at the 5 % quantile of that binomial (its normal approximation) is what E exceeds in 95 of 100 rollouts. The
 * answer is the smallest B where that is enough, the mixture's 24 alternatives all in it. Two things make real gates a
 * little quicker: they look all the time, and at large error rates the counts vary less.
 */
export interface SampleSize {
  /** Bad requests on both paths together. */
  bad: number;
  /** Requests on both paths together, at the old path's error rate that was asked about. */
  requests: number;
}

/** The part of all rollouts in which what is to be shown has been shown by then. */
export const POWER = 0.95;
const Z_POWER = 1.645;
/** Beyond this many bad requests a gate won't get there while anybody waits. */
const BAD_MAX = 1e9;

export interface RollBackQuestion {
  /** How many times as often the new path really fails; 2 for a doubled error rate. */
  ratio: number;
  /** The share of the requests that are on the new path, over 0 and under 1. */
  share: number;
  alpha: number;
  /** How many metrics share alpha. */
  metrics: number;
  /** The share of the old path's requests that are bad. */
  rate: number;
}

/** What it takes to roll back a path that fails `ratio` times as often. Null: nothing ever shows it. */
export const requestsToSee = ({ ratio, share, alpha, metrics, rate }: RollBackQuestion): SampleSize | null =>
  sized({ ratio, share, rate }, Math.log(rollBackAt(alpha, metrics)), { alternatives: ALTERNATIVES, reference: 1 });

export interface PassQuestion {
  margin: number;
  /** How many times as often the new path really fails; 1 for a path that is as good as the old one. */
  ratio: number;
  share: number;
  rate: number;
}

/** What it takes to pass a path that fails `ratio` times as often. Null: nothing ever shows it. */
export const requestsToPass = ({ margin, ratio, share, rate }: PassQuestion): SampleSize | null =>
  sized({ ratio, share, rate }, Math.log(PASS_AT), { alternatives: passAlternatives(margin), reference: margin });

interface Truth {
  ratio: number;
  share: number;
  rate: number;
}
interface Test {
  alternatives: readonly number[];
  reference: number;
}

function sized(truth: Truth, logNeeded: number, test: Test): SampleSize | null {
  const { ratio, share, rate } = truth;
  if (!(share > 0 && share < 1 && ratio > 0)) return null;
  const enough = (bad: number): boolean => unluckyLogE(bad, truth, test) >= logNeeded;
  if (!enough(BAD_MAX)) return null;
  let [few, many] = [0, 1];
  while (!enough(many)) [few, many] = [many, many * 2];
  while (many - few > 1) {
    const middle = Math.floor((few + many) / 2);
    if (enough(middle)) many = middle;
    else few = middle;
  }
  const badRate = share * Math.min(1, rate * ratio) + (1 - share) * rate;
  return { bad: many, requests: Math.ceil(many / badRate) };
}

/** log E after `bad` bad requests, in a rollout that is less lucky than 95 of 100. */
function unluckyLogE(bad: number, { ratio, share }: Truth, { alternatives, reference }: Test): number {
  const theta = (ratio * share) / (ratio * share + 1 - share);
  const spread = Z_POWER * Math.sqrt(bad * theta * (1 - theta));
  // What is to be shown is a ratio above the reference, or one below it: bad luck is on the other side.
  const unlucky = theta * bad + (ratio > reference ? -spread : spread);
  const fresh = Math.min(bad, Math.max(0, unlucky));
  const logRatioOf = (psi: number): number => fresh * Math.log(psi) - bad * Math.log1p((psi - 1) * share);
  return logSumExp(alternatives.map((psi) => logRatioOf(psi) - Math.log(alternatives.length))) - logRatioOf(reference);
}
