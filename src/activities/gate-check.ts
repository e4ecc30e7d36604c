import type { MetricReading } from '../adapters/metrics/metrics.ts';
import { countWords } from '../analysis/gate-words.ts';
import { SwitchbackError } from '../messages/index.ts';
import { durationMs, type Metric, metricForm, type Plan, type StepOf } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import { flagRefOf } from './flag-change.ts';
import { comparisonOf, type LiveTraffic, shortBakes } from './gate-needs.ts';
import { type LiveView, placedSteps } from './live-look.ts';

/** A source that swallows requests is told after this long; the client waits for the whole check not much longer. */
const ANSWER_MS = 6_000;
const MINUTE_MS = 60_000;

/**
 * Asks the metrics of rollouts how much traffic there is now and how much of it is bad, and tells which bakes are too short
 * for it. Nothing here keeps a plan from running: by the time of the rollout the source may answer, and traffic differ.
 */
export async function lookAtGates(deps: Deps, { plan, found }: LiveView): Promise<void> {
  const signal = AbortSignal.timeout(ANSWER_MS);
  const notes = placedSteps(plan).flatMap(({ step }) =>
    step.uses === 'rollout' ? [stepNotes(deps, plan, step, signal)] : [],
  );
  found.notes.push(...(await Promise.all(notes)).flat());
}

async function stepNotes(deps: Deps, plan: Plan, step: StepOf<'rollout'>, signal: AbortSignal): Promise<string[]> {
  const { analysis } = step;
  const comparison = comparisonOf(analysis);
  if (analysis === undefined || comparison === null) return [];
  const ratios = analysis.metrics.filter((metric) => metricForm(metric) === 'ratio');
  const notes = ratios.map(async (metric) => {
    const seen = await trafficOf(deps, { plan, step, metric, intervalMs: durationMs(analysis.interval) }, signal);
    if (typeof seen === 'string') return [`${step.id}: metric ${metric.name}: ${seen}`];
    return shortBakes(step, comparison, seen);
  });
  return (await Promise.all(notes)).flat();
}

interface Asked {
  plan: Plan;
  step: StepOf<'rollout'>;
  metric: Metric;
  intervalMs: number;
}

/** The traffic that a metric sees now; a text where it can't be told, with why. */
async function trafficOf(
  { metrics }: Deps,
  { plan, step, metric, intervalMs }: Asked,
  signal: AbortSignal,
): Promise<LiveTraffic | string> {
  const { environment } = flagRefOf(step.flag, plan.spec.flags[step.flag], plan.metadata.name);
  const look = { intervalMs, flag: { environment, flag: step.flag } };
  try {
    const old = await metrics.read(metric, { ...look, path: 'old' }, signal);
    const fresh = await metrics.read(metric, { ...look, path: 'new' }, signal);
    return liveTraffic(metric, old, fresh, intervalMs);
  } catch (error) {
    if (signal.aborted) return 'its source does not answer now';
    if (error instanceof SwitchbackError) return `can't be read now: ${error.message}`;
    throw error;
  }
}

/** Before a rollout the new path may well have counted nothing, the old one must have. */
export function liveTraffic(
  { name, margin }: Pick<Metric, 'name' | 'margin'>,
  old: MetricReading,
  fresh: MetricReading,
  intervalMs: number,
): LiveTraffic | string {
  if (old.kind === 'none') return `says nothing of the old path now: ${old.reason}`;
  const before = volumeOf(old, intervalMs);
  const now = volumeOf(fresh, intervalMs);
  if (before === null) return 'its counters say nothing of the traffic a minute until they are read twice';
  if (before.total === 0) return 'the old path has no request now';
  if (before.bad === 0) return `none of ${countWords(before.total)} requests on the old path is bad now`;
  return {
    metric: name,
    margin: margin ?? null,
    requestsPerMinute: before.perMinute + (now?.perMinute ?? 0),
    rate: before.bad / before.total,
  };
}

/** What a reading says of the traffic by itself: a window does, and counters that know since when they count. */
function volumeOf(
  reading: MetricReading,
  intervalMs: number,
): { total: number; bad: number; perMinute: number } | null {
  if (reading.kind === 'window') {
    return { total: reading.total, bad: reading.bad, perMinute: (reading.total * MINUTE_MS) / intervalMs };
  }
  if (reading.kind !== 'counter') return null;
  let [total, bad, perMinute] = [0, 0, 0];
  for (const part of Object.values(reading.parts)) {
    if (part.beganAt === null || part.beganAt >= reading.at) return null;
    total += part.total;
    bad += part.bad;
    perMinute += (part.total * MINUTE_MS) / (reading.at - part.beganAt);
  }
  return { total, bad, perMinute };
}
