import { z } from 'zod';
import { SwitchbackError } from '../../messages/index.ts';
import { get, unreachable } from './http-request.ts';

const sample = z.tuple([z.number(), z.string()]);
const series = z.object({ metric: z.record(z.string(), z.string()).default({}), value: sample.optional() });
const answer = z.union([
  z.object({
    status: z.literal('success'),
    data: z.union([
      z.object({ resultType: z.literal('vector'), result: z.array(series) }),
      z.object({ resultType: z.enum(['scalar', 'string']), result: sample }),
      z.object({ resultType: z.literal('matrix'), result: z.array(z.unknown()) }),
    ]),
    warnings: z.array(z.string()).optional(),
  }),
  z.object({ status: z.literal('error'), errorType: z.string().optional(), error: z.string().optional() }),
]);

/** What one instant query gave: one sample, no series, or something that is neither, and why. */
export type PrometheusAnswer =
  /** `value` as Prometheus writes it (`1e+06`, `NaN`, `+Inf`); `at` is when it evaluated the query, in its seconds. */
  | { kind: 'sample'; value: string; at: number; note: string | null }
  | { kind: 'empty' }
  | { kind: 'unusable'; reason: string };

/** The same for a query that may give several series: the samples by the labels of their series. */
export type SeriesAnswer =
  | { kind: 'series'; at: number; samples: ReadonlyMap<string, string>; note: string | null }
  | Exclude<PrometheusAnswer, { kind: 'sample' }>;

/** Each is remembered from look to look. */
const SERIES_MAX = 500;
/** Prometheus gives up a little before we do, so that it can say why. */
const EVALUATION_MAX = '9s';
/**
 * A selector gives the last sample of the last five minutes, and says nothing of its age. Half of that is the longest
 * interval of scrapes that Prometheus can live with, so older than that means that scrapes were missed.
 */
const SAMPLE_AGE_MAX_S = 150;
/** Beyond that, what people see in a dashboard and what is told here stand at different times. */
const SKEW_MAX_S = 30;
/** A query that is nothing but a selector; only for those does Prometheus know the time of the sample. */
const SELECTOR = /^\s*(?:[A-Za-z_:][\w:]*\s*(?:\{[^{}()]*\})?|\{[^{}()]*\})\s*$/;

/**
 * One instant query of Prometheus's HTTP API, v1 (`GET /api/v1/query`). Times are Prometheus's own; ours are only
 * compared with them to say that the clocks differ.
 *
 * @param time when to evaluate it, in seconds; now where it is left out
 * @throws SwitchbackError MetricsUnreachable where it doesn't answer or refuses the query
 */
export async function queryPrometheus(
  baseUrl: string | null,
  { query, time }: { query: string; time?: number },
  signal: AbortSignal,
): Promise<PrometheusAnswer> {
  const found = await queryPrometheusSeries(baseUrl, { query, ...(time !== undefined && { time }) }, signal);
  if (found.kind !== 'series') return found;
  const { at, note, samples } = found;
  const [value] = samples.values();
  if (value === undefined) return { kind: 'empty' };
  if (samples.size > 1) return unusable(`the query gives ${samples.size} series; aggregate it to one, with sum() say`);
  if (SELECTOR.test(query)) {
    const seen = await ask(baseUrl, { query: `timestamp(${query})`, time: at }, signal);
    const [timestamp] = seen.kind === 'series' ? seen.samples.values() : [];
    const ageS = timestamp === undefined ? Number.POSITIVE_INFINITY : at - Number(timestamp);
    if (ageS > SAMPLE_AGE_MAX_S) {
      const age = Number.isFinite(ageS) ? `${Math.round(ageS)} s old` : 'gone';
      return unusable(`the last sample is ${age}: its target is not scraped any more`);
    }
  }
  return { kind: 'sample', value, at, note };
}

/** As `queryPrometheus`, for queries whose series are told apart by their labels. */
export async function queryPrometheusSeries(
  baseUrl: string | null,
  { query, time }: { query: string; time?: number },
  signal: AbortSignal,
): Promise<SeriesAnswer> {
  const beganAt = Date.now() / 1000;
  const found = await ask(baseUrl, { query, time }, signal);
  if (found.kind !== 'series' || time !== undefined) return found;
  return { ...found, note: skewNote(found.at, beganAt, Date.now() / 1000) };
}

function skewNote(at: number, beganAt: number, endedAt: number): string | null {
  const aheadS = at > endedAt ? at - endedAt : at < beganAt ? at - beganAt : 0;
  if (Math.abs(aheadS) <= SKEW_MAX_S) return null;
  return `Prometheus's clock is ${Math.round(Math.abs(aheadS))} s ${aheadS > 0 ? 'ahead of' : 'behind'} this worker's`;
}

async function ask(
  baseUrl: string | null,
  { query, time }: { query: string; time: number | undefined },
  signal: AbortSignal,
): Promise<SeriesAnswer> {
  const url = queryUrl(baseUrl);
  url.searchParams.set('query', query);
  if (time !== undefined) url.searchParams.set('time', String(time));
  url.searchParams.set('timeout', EVALUATION_MAX);
  const { status, text } = await get(url.href, signal);
  const parsed = answer.safeParse(parse(text));
  if (!parsed.success) throw noAnswer(url.href, status);
  if (parsed.data.status === 'error') throw refusal(url.href, status, parsed.data);
  const { data, warnings = [] } = parsed.data;
  // Warnings are about data: a store that didn't answer, histograms that were left out. Hints (`infos`) are not.
  if (warnings.length > 0) return unusable(`Prometheus warns: ${warnings.join('; ').slice(0, 300)}`);
  if (data.resultType === 'matrix') return unusable('the query gives a range; write one that gives a single sample');
  return data.resultType === 'vector' ? samplesOf(data.result) : samplesOf([{ metric: {}, value: data.result }]);
}

const unusable = (reason: string): { kind: 'unusable'; reason: string } => ({ kind: 'unusable', reason });

function samplesOf(vector: readonly z.output<typeof series>[]): SeriesAnswer {
  if (vector.length === 0) return { kind: 'empty' };
  if (vector.length > SERIES_MAX) return unusable(`the query gives ${vector.length} series; aggregate it to fewer`);
  const samples = new Map<string, string>();
  let at = 0;
  for (const { metric, value: sampled } of vector) {
    if (sampled === undefined) return unusable('the series is a histogram; write a query that gives a number');
    const [time, value] = sampled;
    if (value === 'NaN') return unusable('the query gives NaN: there was nothing to measure');
    at = time;
    const labels = labelsText(metric);
    if (samples.has(labels))
      return unusable(`the query gives ${vector.length} series, some of which differ in their name only; aggregate it`);
    samples.set(labels, value);
  }
  return { kind: 'series', at, samples, note: null };
}

/** The labels of a series without its name, so that what one process counts in two metrics belongs together. */
const labelsText = (metric: Readonly<Record<string, string>>): string =>
  JSON.stringify(
    Object.entries(metric)
      .filter(([label]) => label !== '__name__')
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );

function queryUrl(baseUrl: string | null): URL {
  if (baseUrl === null) {
    throw new SwitchbackError('ConfigInvalid', 'the plan asks Prometheus, but the configuration has no `prometheus:`', {
      hint: 'add prometheus.url to the configuration of the worker',
    });
  }
  const url = new URL(baseUrl);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/v1/query`;
  return url;
}

/** Not JSON, or another's: a proxy that has something to say, or another server. */
function noAnswer(url: string, status: number): SwitchbackError {
  if (status >= 300 && status < 400) return unreachable(url, `${status}: it sends us elsewhere, which is not followed`);
  if (status === 401 || status === 403) {
    return new SwitchbackError('MetricsUnreachable', `Prometheus refuses the credentials (${status})`, {
      hint: 'put them into prometheus.url of the worker, as user:password@',
    });
  }
  return unreachable(url, `${status}, and not an answer of Prometheus`);
}

/**
 * Mistakes in the query come back as 400. What fails while it is evaluated (422) may depend on the data of the moment,
 * and 503 and the like on its load: those are worth another try.
 */
function refusal(
  url: string,
  status: number,
  { errorType, error }: { errorType?: string | undefined; error?: string | undefined },
): SwitchbackError {
  const reason = `${status}, ${errorType ?? 'error'}: ${(error ?? '').slice(0, 300)}`;
  if (status >= 500 || status === 429 || status === 422) return unreachable(url, reason);
  return new SwitchbackError('MetricsUnreachable', `Prometheus refuses the query (${reason})`, {
    hint: 'correct the query in the plan',
  });
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
};
