import { requestsToPass, requestsToSee } from '../analysis/gate-plan.ts';
import { aboutWords, countWords, rateWords, timeWords } from '../analysis/gate-words.ts';
import type { StopNeeds } from '../messages/index.ts';
import { durationMs, metricForm, type Plan, type StepOf } from '../plan/index.ts';
import { gateDeadlineMs } from './gate-deadline.ts';
import { placedSteps } from './live-look.ts';

type Rollout = StepOf<'rollout'>;
type Ramp = Rollout['ramp'];
type Analysis = NonNullable<Rollout['analysis']>;

/** What `check` asks about: what a gate must not overlook, and a path that must get through. */
const DOUBLED = 2;
const AS_GOOD = 1;
/** Error rates that the bad requests are turned into requests for, where nothing is known of the live one. */
const RATES = [0.01, 0.001];
const MINUTE_MS = 60_000;

/** A metric's comparison, as far as it says how much the gate needs. */
export interface Comparison {
  alpha: number;
  /** How many metrics share alpha. */
  metrics: number;
  minSamples: number;
  /** The margins of the metrics, each once. */
  margins: readonly number[];
  /** How long after a bake it may look for evidence. */
  deadlineMs: (bakeMs: number) => number;
}

/** What the gates of a step compare; null where it has no metric that counts on both paths. */
export function comparisonOf(analysis: Analysis | undefined): Comparison | null {
  const ratios = (analysis?.metrics ?? []).filter((metric) => metricForm(metric) === 'ratio');
  if (analysis === undefined || ratios.length === 0) return null;
  const margins = ratios.flatMap(({ margin }) => (margin === undefined ? [] : [margin]));
  return {
    alpha: analysis.alpha,
    metrics: ratios.length,
    minSamples: analysis.minSamples,
    margins: [...new Set(margins)].toSorted((a, b) => a - b),
    deadlineMs: (bakeMs) => gateDeadlineMs(analysis, bakeMs),
  };
}

/** Who is on the new path at a stop: nobody, some (the share of the requests there), or everybody. */
export function exposureAt({ percent, stage }: Ramp[number]): 'nobody' | 'everybody' | number {
  if (percent !== undefined) return percent === 0 ? 'nobody' : percent === 100 ? 'everybody' : percent / 100;
  if (stage === 'off' || stage === 'dual-write') return 'nobody';
  // Both paths are called for each request.
  return stage === 'shadow' || stage === 'live' ? 0.5 : 'everybody';
}

/** What the gates of all rollouts of a plan need to see, stop by stop, each by itself; from the plan alone. */
export const gateNeeds = (plan: Plan): StopNeeds[] =>
  placedSteps(plan).flatMap(({ phase, step }) => {
    if (step.uses !== 'rollout') return [];
    const comparison = comparisonOf(step.analysis);
    if (comparison === null) return [];
    return step.ramp.map((_, index) => stopNeeds({ phase, step, index, comparison }));
  });

function stopNeeds({
  phase,
  step,
  index,
  comparison,
}: {
  phase: string;
  step: Rollout;
  index: number;
  comparison: Comparison;
}): StopNeeds {
  const stop = step.ramp[index] as Ramp[number];
  const { alpha, metrics, margins } = comparison;
  const exposure = exposureAt(stop);
  const share = typeof exposure === 'number' ? exposure : null;
  const of = { share: share ?? 0, rate: RATES[0] as number };
  const needs = {
    phase,
    step: step.id,
    stop: index + 1,
    at: stopWords(stop),
    bake: stop.bake,
    share,
    seeBad: requestsToSee({ ratio: DOUBLED, alpha, metrics, ...of })?.bad ?? null,
    pass: share === null ? [] : margins.map((margin) => passNeeds(margin, of)),
  };
  const before = step.ramp.slice(0, index).some((earlier) => typeof exposureAt(earlier) === 'number');
  const words =
    share === null
      ? [oneSidedWords(exposure === 'nobody', before, margins.length > 0)]
      : comparedWords({ ...needs, share }, comparison);
  return { ...needs, words };
}

const passNeeds = (margin: number, of: { share: number; rate: number }): StopNeeds['pass'][number] => ({
  margin,
  bad: requestsToPass({ margin, ratio: AS_GOOD, ...of })?.bad ?? null,
});

export const stopWords = ({ percent, stage }: Ramp[number]): string =>
  percent === undefined ? `stage ${stage}` : `${percent} %`;

function oneSidedWords(nobody: boolean, before: boolean, hasMargins: boolean): string {
  if (nobody) return 'nobody is on the new path: it passes by its bake time and the metrics that are one number';
  const left = 'everybody is on the new path, and there is nothing to compare it with';
  if (!hasMargins) return `${left}: it passes by \`minSamples\` and its bake time`;
  return before
    ? `${left}: what the stops before have shown counts`
    : `${left}: it never passes by itself; put a stop at less than 100 % before it`;
}

function comparedWords(needs: Omit<StopNeeds, 'words'> & { share: number }, { minSamples }: Comparison): string[] {
  const { share, seeBad, pass } = needs;
  const bakeMs = durationMs(needs.bake);
  const requests = (bad: number, ratio: number): string =>
    RATES.map((rate) => {
      const all = bad / (rate * (share * ratio + 1 - share));
      return `${aboutWords(all)} requests at ${rateWords(rate)}${paceWords(all, bakeMs)}`;
    }).join(', ');
  const samples = minSamples / share;
  return [
    ...(seeBad === null
      ? []
      : [`a doubled error rate shows by ${countWords(seeBad)} bad requests: about ${requests(seeBad, DOUBLED)}`]),
    ...pass.map(({ margin, bad }) =>
      bad === null
        ? `margin ${margin}: so close to 1 that no path passes`
        : `to pass at margin ${margin}, a path as good as the old one takes ${countWords(bad)} bad requests: about ${requests(bad, AS_GOOD)}`,
    ),
    ...(pass.length === 0
      ? ['without a `margin` it passes by `minSamples` and its bake time, whatever has shown by then']
      : []),
    ...(minSamples > 0
      ? [
          `\`minSamples\` ${countWords(minSamples)} is reached with about ${aboutWords(samples)} requests${paceWords(samples, bakeMs)}`,
        ]
      : []),
  ];
}

/** ` (4,700 a minute)`: the traffic that brings so many requests within the bake time. */
const paceWords = (requests: number, bakeMs: number): string =>
  bakeMs === 0 ? '' : ` (${aboutWords((requests * MINUTE_MS) / bakeMs)} a minute)`;

/** Traffic as it is now, by one metric. */
export interface LiveTraffic {
  metric: string;
  margin: number | null;
  /** On both paths. */
  requestsPerMinute: number;
  /** The share of bad requests on the old path. */
  rate: number;
}

/** What is too short about the bakes of a step at the traffic that there is now; one sentence a stop and metric. */
export function shortBakes(step: Rollout, comparison: Comparison, traffic: LiveTraffic): string[] {
  const { rate, requestsPerMinute, margin, metric } = traffic;
  const { alpha, metrics, deadlineMs } = comparison;
  const now = `at ${aboutWords(requestsPerMinute)} requests a minute with ${rateWords(rate)} bad (metric ${metric})`;
  return step.ramp.flatMap((stop, index) => {
    const share = exposureAt(stop);
    if (typeof share !== 'number') return [];
    const timeFor = (size: { requests: number } | null): number =>
      size === null ? Number.POSITIVE_INFINITY : (size.requests / requestsPerMinute) * MINUTE_MS;
    const bakeMs = durationMs(stop.bake);
    const needMs =
      margin === null
        ? timeFor(requestsToSee({ ratio: DOUBLED, share, alpha, metrics, rate }))
        : timeFor(requestsToPass({ margin, ratio: AS_GOOD, share, rate }));
    if (needMs <= bakeMs) return [];
    const place = `${step.id}, stop ${index + 1} (${stopWords(stop)})`;
    const need = needMs === Number.POSITIVE_INFINITY ? 'for ever' : `about ${timeWords(needMs)}`;
    const waitMs = deadlineMs(bakeMs);
    const then =
      needMs <= bakeMs + waitMs ? 'it waits for that' : `${timeWords(waitMs)} after its bake a person decides`;
    const what =
      margin === null
        ? `${need} to see a doubled error rate; without a \`margin\` it passes before`
        : `${need} to show that a path as good as the old one is under margin ${margin}; ${then}`;
    return [`${place}: bakes ${timeWords(bakeMs)}, needs ${what} (${now})`];
  });
}
