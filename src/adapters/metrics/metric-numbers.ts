import { SwitchbackError } from '../../messages/index.ts';
import type { Metric } from '../../plan/index.ts';
import { addressOf, get } from './http-request.ts';
import { atPointer } from './json-pointer.ts';
import type { CounterPart, MetricReading } from './metric-window.ts';
import { queryPrometheus, queryPrometheusSeries, type SeriesAnswer } from './prometheus-query.ts';

/** The numbers of one look: of a ratio both; a metric that is one number has it in `total`. */
export interface Numbers {
  /** By the clock of Prometheus, or ours where the source has none; in ms since 1970. */
  at: number;
  note: string | null;
  total: number;
  bad: number;
}
interface Nothing {
  reason: string;
}
/** Puts the path and the interval into a text of the plan. */
type Fill = (text: string) => string;
type Query = (database: string, sql: string) => Promise<Record<string, string | null>[]>;

const joined = (...notes: (string | null)[]): string | null => notes.filter((note) => note !== null).join('; ') || null;

/** A number as its source writes it; null where it is none. Infinity is none to count with. */
function numberOf(value: unknown): number | null {
  if (typeof value !== 'number' && (typeof value !== 'string' || value.trim() === '')) return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}

/** Two queries that are a moment apart, and extrapolation, can make a little more bad ones than there are in all. */
const EXCESS_SHARE_MAX = 0.05;
const EXCESS_MAX = 1;

/** Why two numbers can't be counts of all and of bad ones; null where they can. */
export function countsFault({ total, bad }: { total: number; bad: number }): string | null {
  if (total < 0 || bad < 0) return `a count is negative: ${bad} bad of ${total}`;
  return bad - total > Math.max(EXCESS_MAX, total * EXCESS_SHARE_MAX)
    ? `there are more bad ones than ones in all: ${bad} of ${total}; look at the queries`
    : null;
}

const NO_BAD_SERIES = 'no series for `bad`, which counts as 0';

export async function prometheusNumbers(
  baseUrl: string | null,
  source: NonNullable<Metric['prometheus']>,
  fill: Fill,
  signal: AbortSignal,
): Promise<Numbers | Nothing> {
  const one = typeof source === 'string';
  const what = one ? 'the query' : '`total`';
  const all = await queryPrometheus(baseUrl, { query: fill(one ? source : source.total) }, signal);
  if (all.kind === 'unusable') return { reason: `${what}: ${all.reason}` };
  if (all.kind === 'empty') return { reason: `${what}: Prometheus has no series for it` };
  const total = numberOf(all.value);
  if (total === null) return { reason: `${what} gives ${all.value.slice(0, 20)}, which is no number to count with` };
  const found = { at: Math.round(all.at * 1000), note: all.note, total };
  if (one) return { ...found, bad: 0 };
  // At the same time as the total, so that the two are of the same scrapes.
  const bad = await queryPrometheus(baseUrl, { query: fill(source.bad), time: all.at }, signal);
  if (bad.kind === 'unusable') return { reason: `\`bad\`: ${bad.reason}` };
  // A series begins with its first event: where requests are counted and errors have no series, there were none.
  if (bad.kind === 'empty') return { ...found, bad: 0, note: joined(found.note, NO_BAD_SERIES) };
  const badOnes = numberOf(bad.value);
  return badOnes === null
    ? { reason: `\`bad\` gives ${bad.value.slice(0, 20)}, which is no number to count with` }
    : { ...found, bad: badOnes };
}

/**
 * Counters of Prometheus, each series by itself, so that one process that restarts resets nothing but its own: a sum over
 * processes that falls says nothing of how much was counted since. `bad` and `total` of one process are paired by their
 * labels; a series that is new is counted from its second look on, since nobody knows when it began.
 */
export async function prometheusCounters(
  baseUrl: string | null,
  source: { bad: string; total: string },
  fill: Fill,
  signal: AbortSignal,
): Promise<MetricReading> {
  const none = (reason: string): MetricReading => ({ kind: 'none', reason });
  const all = await queryPrometheusSeries(baseUrl, { query: fill(source.total) }, signal);
  if (all.kind === 'unusable') return none(`\`total\`: ${all.reason}`);
  if (all.kind === 'empty') return none('`total`: Prometheus has no series for it');
  const bad = await queryPrometheusSeries(baseUrl, { query: fill(source.bad), time: all.at }, signal);
  if (bad.kind === 'unusable') return none(`\`bad\`: ${bad.reason}`);
  const parts: Record<string, CounterPart> = {};
  const sums = { total: 0, bad: 0 };
  for (const [counts, answer] of [
    ['total', all],
    ['bad', bad],
  ] as const) {
    for (const [labels, value] of samplesOf(answer)) {
      const number = numberOf(value);
      if (number === null) return none(`\`${counts}\` gives ${value.slice(0, 20)}, which is no number to count with`);
      sums[counts] += number;
      parts[labels] = { ...(parts[labels] ?? { total: 0, bad: 0 }), [counts]: number, beganAt: 0 };
    }
  }
  const fault = countsFault(sums);
  if (fault !== null) return none(fault);
  const note = joined(all.note, bad.kind === 'empty' ? NO_BAD_SERIES : null);
  return { kind: 'counter', at: Math.round(all.at * 1000), note, parts };
}

const samplesOf = (answer: SeriesAnswer): Iterable<[string, string]> =>
  answer.kind === 'series' ? answer.samples : [];

export async function sqlNumbers(
  query: Query,
  { database, query: single, bad, total }: NonNullable<Metric['sql']>,
  fill: Fill,
): Promise<Numbers | Nothing> {
  const read = async (sql: string): Promise<number | null> => numberOf(await scalarOf(query, database, fill(sql)));
  const at = Date.now();
  if (bad === undefined || total === undefined) {
    const value = single === undefined ? null : await read(single);
    return value === null ? { reason: 'the query gives no number' } : { at, note: null, total: value, bad: 0 };
  }
  // Bad ones first: what comes in between is only in the total, so that bad stays within it.
  const badOnes = await read(bad);
  const all = await read(total);
  if (all === null) return { reason: '`total`: the query gives no number' };
  // As a series of Prometheus that has not begun: sum() over no rows is NULL.
  const note = badOnes === null ? '`bad` gives no number, which counts as 0' : null;
  return { at, note, total: all, bad: badOnes ?? 0 };
}

async function scalarOf(query: Query, database: string, sql: string): Promise<string | null> {
  const rows = await query(database, sql);
  const [row] = rows;
  if (row === undefined) return null;
  const columns = Object.values(row);
  if (rows.length === 1 && columns.length === 1) return columns[0] ?? null;
  throw new SwitchbackError(
    'StatementFailed',
    `${database}: a metric's query gives ${rows.length} rows of ${columns.length} columns`,
    {
      hint: 'write a query that gives one row of one column, such as select count(*)',
      fields: { database },
    },
  );
}

/** One GET request, whose answer has both numbers: they are of one moment. */
export async function httpNumbers(
  source: NonNullable<Metric['http']>,
  fill: Fill,
  signal: AbortSignal,
): Promise<Numbers | Nothing> {
  const url = fill(source.url);
  const address = addressOf(url);
  const at = Date.now();
  const { status, text } = await get(url, signal);
  if (status !== 200) return { reason: `${address} answers ${status}` };
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return { reason: `${address} answers with something that isn't JSON` };
  }
  const missing: string[] = [];
  const read = (pointer: string): number => {
    const found = numberOf(atPointer(body, fill(pointer))?.value);
    if (found === null) missing.push(pointer === '' ? 'as the body' : `at ${fill(pointer)}`);
    return found ?? 0;
  };
  const numbers = {
    at,
    note: null,
    total: read(source.total ?? source.path ?? ''),
    bad: source.bad === undefined ? 0 : read(source.bad),
  };
  return missing.length > 0 ? { reason: `${address}: there is no number ${missing.join(' and none ')}` } : numbers;
}
