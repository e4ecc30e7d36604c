import { logPassEvidence, PASS_AT, passProcessOf } from './gate-pass.ts';
import { evidenceOf, logEvidence, rollBackAt, rollBackProcessOf } from './gate-process.ts';
import { type RatioEstimate, ratioOf } from './gate-ratio.ts';
import type { PathCounts, Window } from './gate-window.ts';
import { countWords, evidenceWords, rateWords, ratioWords, timeWords } from './gate-words.ts';

/** A metric that counts requests and bad ones on both paths: errors, or (latency) requests over an SLO's bound. */
export interface CountedMetric {
  kind: 'counts';
  name: string;
  /** Windows of the earlier stops of this ramp, in their order: evidence is kept over all stops. */
  before: readonly Window[];
  /** Windows of this stop, in their order. After a `retry` by a person only those since then, with `before` empty. */
  here: readonly Window[];
  /** To pass, the new path must be shown to fail less than `margin` times as often. Null: only samples and bake count. */
  margin: number | null;
  /** Bad requests on the new path over the whole ramp, at most; null: any number (for a critical metric: none). */
  max: number | null;
  critical: boolean;
  /** Why its source has nothing to say just now; null where it answers. */
  silent: string | null;
}

/** A metric that is one number now: mismatches, a queue's length. */
export interface ValueMetric {
  kind: 'value';
  name: string;
  /** Null where there is none. */
  value: number | null;
  /** Null: told to people, and judged by nobody (for a critical metric: 0). */
  max: number | null;
  critical: boolean;
  silent: string | null;
}

/** All that the verdict of a gate depends on. */
export interface GateInput {
  /** Bound on the probability of rolling a healthy path back, over the whole ramp and all metrics. */
  alpha: number;
  /** Requests on the new path at this stop that each counted metric must have seen before it passes. */
  minSamples: number;
  metrics: readonly (CountedMetric | ValueMetric)[];
  bakedMs: number;
  bakeMs: number;
  /** From when on the gate doesn't wait for evidence any longer. */
  deadlinePassed: boolean;
  /**
   * Whether anybody is on the new path at this stop: not at `percent: 0`, nor in the stages `off` and `dual-write`. Where
   * nobody is, there is nothing to compare, and its counts may well be missing: the stop passes by its bake time and the
   * values alone.
   */
  exposed: boolean;
}

/**
 * - `continue`: neither is shown yet; go on watching.
 * - `pass`: go to the next stop.
 * - `roll-back`: the new path is shown to be worse, or a critical metric is over its bound.
 * - `inconclusive`: the deadline has passed and neither is shown; a person decides.
 * - `no-data`: a source is silent. What it would have said is unknown: pause (or fail, as `onNoData` says), never pass.
 */
export type Verdict = 'continue' | 'pass' | 'roll-back' | 'inconclusive' | 'no-data';

/** A gate's verdict with what it rests on; plain JSON, for the ledger, the status and whoever decides. */
export interface GateVerdict {
  verdict: Verdict;
  /** Why, in words, with the metrics that decided. */
  reason: string;
  metrics: MetricFinding[];
}

/** What one metric says by itself. */
export interface MetricFinding {
  name: string;
  says: 'roll-back' | 'pass' | 'open' | 'no-data';
  /** `new path 1.8 % of 12,400 bad, old 0.9 % of 240,000; evidence 37 of 40 needed`. */
  words: string;
  /** What it still takes to pass, in words; empty where nothing is missing. */
  missing: string[];
  /** Null for a metric that is one number. */
  counts: CountsFinding | null;
}
export interface CountsFinding {
  /** Over the whole ramp. Under a drifting error rate these can mislead where `ratio` doesn't. */
  new: PathCounts;
  old: PathCounts;
  /** With a confidence sequence of 1−α. */
  ratio: RatioEstimate;
  rollBack: { evidence: number; peak: number; needed: number };
  /** Null without a `margin`. */
  pass: { evidence: number; needed: number } | null;
  /** Requests on the new path at this stop. */
  samples: { seen: number; needed: number };
}

/**
 * What a gate says: a pure function, the same for the same windows whoever looks and however often. What is critical or
 * shown to be worse rolls back, also where another source is silent; silence comes before passing.
 * Throws a `RangeError` where counts can't be counts.
 */
export function gateVerdict(input: GateInput): GateVerdict {
  const counted = input.metrics.filter((metric) => metric.kind === 'counts').length;
  const needed = rollBackAt(input.alpha, counted);
  const metrics = input.metrics.map((metric) =>
    metric.kind === 'counts' ? countedFinding(metric, input, needed) : valueFinding(metric),
  );
  const judged = (verdict: Verdict, reason: string): GateVerdict => ({ verdict, reason, metrics });
  const saying = (says: MetricFinding['says']): MetricFinding[] => metrics.filter((metric) => metric.says === says);

  const worse = saying('roll-back');
  if (worse.length > 0) return judged('roll-back', sentences(worse));
  const silent = saying('no-data');
  if (silent.length > 0) return judged('no-data', sentences(silent));
  const missing = [
    ...(input.bakedMs < input.bakeMs ? [`bakes ${timeWords(input.bakeMs - input.bakedMs)} more`] : []),
    ...saying('open').map(({ name, missing: what }) => `${name}: ${what.join(', ')}`),
  ];
  if (missing.length === 0) return judged('pass', [bakedWords(input.bakeMs), sentences(metrics)].join('; '));
  if (!input.deadlinePassed) return judged('continue', missing.join('; '));
  return judged('inconclusive', `neither shown to be worse nor good enough by the deadline: ${missing.join('; ')}`);
}

const sentences = (metrics: readonly MetricFinding[]): string =>
  metrics.map(({ name, words }) => `${name}: ${words}`).join('; ');
const bakedWords = (bakeMs: number): string => (bakeMs === 0 ? 'nothing to bake' : `baked ${timeWords(bakeMs)}`);

function countedFinding(metric: CountedMetric, input: GateInput, needed: number): MetricFinding {
  const windows = [...metric.before, ...metric.here];
  const process = rollBackProcessOf(windows);
  const passing = metric.margin === null ? null : logPassEvidence(passProcessOf(metric.margin, windows));
  const counts: CountsFinding = {
    new: totalOf(windows, 'new'),
    old: totalOf(windows, 'old'),
    ratio: ratioOf(windows, input.alpha),
    rollBack: { evidence: evidenceOf(logEvidence(process)), peak: evidenceOf(process.peakLogE), needed },
    pass: passing === null ? null : { evidence: evidenceOf(passing), needed: PASS_AT },
    // Whatever `minSamples` says: a path that has answered nothing has not passed.
    samples: { seen: totalOf(metric.here, 'new').total, needed: Math.max(1, input.minSamples) },
  };
  const max = metric.max ?? (metric.critical ? 0 : Number.POSITIVE_INFINITY);
  const over = counts.new.bad > max ? [`${countWords(counts.new.bad)} bad on the new path, ${max} at most`] : [];
  const missing = [...over, ...(input.exposed ? missingOf(counts, metric.margin) : [])];
  const worse = counts.rollBack.peak >= needed || (over.length > 0 && metric.critical);
  const seen = [...(metric.critical ? over : []), countsWords(counts)].join('; ');
  if (worse) return { name: metric.name, says: 'roll-back', words: seen, missing, counts };
  if (metric.silent !== null && input.exposed) {
    return { name: metric.name, says: 'no-data', words: `no data (${metric.silent})`, missing, counts };
  }
  if (missing.length > 0) return { name: metric.name, says: 'open', words: seen, missing, counts };
  return { name: metric.name, says: 'pass', words: passWords(counts, metric.margin), missing, counts };
}

const totalOf = (windows: readonly Window[], path: 'old' | 'new'): PathCounts =>
  windows.reduce((sum, window) => ({ total: sum.total + window[path].total, bad: sum.bad + window[path].bad }), {
    total: 0,
    bad: 0,
  });

function missingOf({ samples, pass, old }: CountsFinding, margin: number | null): string[] {
  const few = samples.seen < samples.needed;
  const weak = pass !== null && pass.evidence < pass.needed;
  return [
    ...(few ? [`${countWords(samples.seen)} of ${countWords(samples.needed)} requests on the new path`] : []),
    ...(weak
      ? [`evidence ${evidenceWords(pass.evidence)} of ${pass.needed} that it fails under ${margin} times as often`]
      : []),
    ...(weak && old.total === 0 ? ['no request on the old path to compare with'] : []),
  ];
}

const pathWords = ({ total, bad }: PathCounts, word: string): string =>
  total === 0 ? 'unused' : `${rateWords(bad / total)} of ${countWords(total)}${word}`;
const pathsWords = (counts: CountsFinding): string =>
  `new path ${pathWords(counts.new, ' bad')}, old ${pathWords(counts.old, '')}`;

function countsWords(counts: CountsFinding): string {
  const { evidence, peak, needed } = counts.rollBack;
  const shown = peak >= needed ? peak : evidence;
  const of = `evidence ${evidenceWords(shown)} of ${countWords(needed)} needed`;
  return `${pathsWords(counts)}; ${of}`;
}

function passWords(counts: CountsFinding, margin: number | null): string {
  const paths = pathsWords(counts);
  const { pass, ratio } = counts;
  if (pass === null || pass.evidence < pass.needed) return paths;
  const high = ratio.high === null ? '' : ` (at most ${ratioWords(ratio.high)} times)`;
  return `${paths}; evidence ${evidenceWords(pass.evidence)} of ${pass.needed} that it fails under ${margin} times as often${high}`;
}

function valueFinding({ name, value, max: given, critical, silent }: ValueMetric): MetricFinding {
  const max = given ?? (critical ? 0 : null);
  const bound = max === null ? '' : `, ${max} at most`;
  const over = value !== null && max !== null && value > max;
  const missing = over ? [`${value}${bound}`] : [];
  const finding = (says: MetricFinding['says'], words: string): MetricFinding => ({
    name,
    says,
    words,
    missing,
    counts: null,
  });
  if (over && critical) return finding('roll-back', `${value}${bound}`);
  if (silent !== null || value === null || Number.isNaN(value))
    return finding('no-data', `no data (${silent ?? 'no value'})`);
  return finding(over ? 'open' : 'pass', `${value}${bound}`);
}
