import { z } from 'zod';
import { SwitchbackError } from '../../messages/index.ts';
import { type Bounds, type ConditionReading, compare, hasBounds, noValue } from './bounds.ts';
import { get, unreachable } from './http-request.ts';

const sample = z.tuple([z.number(), z.string()]);
const answer = z.union([
  z.object({
    status: z.literal('success'),
    data: z.union([
      z.object({ resultType: z.literal('vector'), result: z.array(z.object({ value: sample.optional() })) }),
      z.object({ resultType: z.enum(['scalar', 'string']), result: sample }),
      z.object({ resultType: z.literal('matrix'), result: z.array(z.unknown()) }),
    ]),
  }),
  z.object({ status: z.literal('error'), errorType: z.string().optional(), error: z.string().optional() }),
]);

/**
 * An instant query of Prometheus's HTTP API, v1 (`GET /api/v1/query`). A guard needs exactly one number: no series,
 * several series and NaN (a rate of nothing over nothing) are readings that don't hold, each saying why.
 */
export async function readPrometheus(
  baseUrl: string | null,
  source: { query: string } & Bounds,
  signal: AbortSignal,
): Promise<ConditionReading> {
  if (baseUrl === null) {
    throw new SwitchbackError('ConfigInvalid', 'the plan asks Prometheus, but the configuration has no `prometheus:`', {
      hint: 'add prometheus.url to the configuration of the worker',
    });
  }
  const url = new URL(baseUrl);
  url.pathname = `${url.pathname.replace(/\/+$/, '')}/api/v1/query`;
  url.searchParams.set('query', source.query);
  const { status, text } = await get(url.href, signal);
  const parsed = answer.safeParse(parse(text));
  if (!parsed.success) throw unreachable(url.href, `${status}, and not an answer of Prometheus`);
  if (parsed.data.status === 'error') throw refusal(url.href, status, parsed.data);
  const { data } = parsed.data;
  if (data.resultType === 'matrix') return noValue('the query gives a range; write one that gives a single sample');
  if (data.resultType !== 'vector') return judge(data.result[1], source);
  const [first, second] = data.result;
  if (first === undefined) return noValue('Prometheus has no series for the query');
  if (second !== undefined)
    return noValue(`the query gives ${data.result.length} series; aggregate it to one, with sum() say`);
  if (first.value === undefined) return noValue('the series is a histogram; write a query that gives a number');
  return judge(first.value[1], source);
}

function judge(value: string, bounds: Bounds): ConditionReading {
  if (value === 'NaN') return noValue('the query gives NaN: there was nothing to measure');
  // A comparison in PromQL filters; what is left of it holds.
  if (!hasBounds(bounds)) return { holds: true, observed: value, reason: `${value}, and the query asks no more` };
  return compare(value, bounds);
}

/** Mistakes in the query come back as 400 or 422; 503 and the like are worth another try. */
function refusal(
  url: string,
  status: number,
  { errorType, error }: { errorType?: string | undefined; error?: string | undefined },
) {
  const reason = `${status}, ${errorType ?? 'error'}: ${(error ?? '').slice(0, 300)}`;
  if (status >= 500 || status === 429) return unreachable(url, reason);
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
