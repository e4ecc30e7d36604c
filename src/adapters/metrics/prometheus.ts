import { type Bounds, type ConditionReading, compare, hasBounds, noValue } from './bounds.ts';
import { queryPrometheus } from './prometheus-query.ts';

/**
 * A condition on Prometheus needs exactly one number: no series, several series and NaN (a rate of nothing over nothing)
 * are readings that don't hold, each saying why.
 */
export async function readPrometheus(
  baseUrl: string | null,
  source: { query: string } & Bounds,
  signal: AbortSignal,
): Promise<ConditionReading> {
  const answer = await queryPrometheus(baseUrl, source, signal);
  if (answer.kind === 'empty') return noValue('Prometheus has no series for the query');
  if (answer.kind === 'unusable') return noValue(answer.reason);
  const { value, note } = answer;
  // A comparison in PromQL filters; what is left of it holds.
  const reading = hasBounds(source)
    ? compare(value, source)
    : { holds: true, observed: value, reason: `${value}, and the query asks no more` };
  return note === null ? reading : { ...reading, reason: `${reading.reason} (${note})` };
}
