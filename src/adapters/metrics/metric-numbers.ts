import { SwitchbackError } from '../../messages/index.ts';
import type { Metric } from '../../plan/index.ts';
import { addressOf, get } from './http-request.ts';
import { atPointer } from './json-pointer.ts';
import { queryPrometheus } from './prometheus-query.ts';

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
  if (bad.kind === 'empty')
    return { ...found, bad: 0, note: joined(found.note, 'no series for `bad`, which counts as 0') };
  const badOnes = numberOf(bad.value);
  return badOnes === null
    ? { reason: `\`bad\` gives ${bad.value.slice(0, 20)}, which is no number to count with` }
    : { ...found, bad: badOnes };
}

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
