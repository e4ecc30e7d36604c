import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createMetrics } from '../../src/activities/metrics.ts';
import { type MetricMemory, nextWindow } from '../../src/adapters/metrics/metric-window.ts';
import { queryPrometheus } from '../../src/adapters/metrics/prometheus-query.ts';
import type { Metric } from '../../src/plan/index.ts';
import { findPrometheus, type Sample, startPrometheus, type TestPrometheus } from '../harness/prometheus.ts';

/** A build, beside everything else on the machine, at the lowest priority. */
const FOUND_MAX_MS = 900_000;
const signal = new AbortController().signal;
let prometheus: TestPrometheus | null = null;

beforeAll(async () => {
  const looked = await findPrometheus((line) => console.error(line));
  if ('why' in looked) console.error(`skipped: no Prometheus: ${looked.why.join('; ')}`);
  else prometheus = await startPrometheus(looked.found);
}, FOUND_MAX_MS);
afterAll(() => prometheus?.stop());
beforeEach((context) => {
  context.skip(prometheus === null, 'no Prometheus');
});

const server = (): TestPrometheus => {
  if (prometheus === null) throw new Error('there is no Prometheus');
  return prometheus;
};
const now = (): number => Date.now() / 1000;
/** A counter that is scraped every 15 s and has these values, the last one now. */
const scraped = (name: string, labels: Record<string, string>, values: readonly number[], end = now()): Sample[] =>
  values.map((value, index) => ({ name, labels, value, at: end - (values.length - 1 - index) * 15 }));
const steps = (from: number, by: number, count: number): number[] =>
  Array.from({ length: count }, (_, index) => from + by * index);
const metricOf = (source: Pick<Metric, 'prometheus' | 'max'>): Metric => ({ name: 'm', critical: false, ...source });

const read = (source: Pick<Metric, 'prometheus' | 'max'>, path: 'old' | 'new' = 'new') =>
  createMetrics({ databases: null as never, home: null as never, prometheusUrl: server().url }).read(
    metricOf(source),
    { path, intervalMs: 60_000, flag: { environment: 'development', flag: 'f' } },
    signal,
  );
const ask = (query: string) => queryPrometheus(server().url, { query }, signal);

test('windows: a process that restarts, one without an error yet, and a path that nobody takes', async () => {
  await server().store([
    ...scraped('reads_total', { path: 'old', pod: 'a' }, steps(9000, 10, 9)),
    // The pod restarts within the window: its counters begin again at 0.
    ...scraped('reads_total', { path: 'new', pod: 'a' }, [...steps(700, 10, 6), ...steps(0, 10, 3)]),
    ...scraped('reads_total', { path: 'new', pod: 'b' }, steps(0, 20, 9)),
    ...scraped('reads_failed_total', { path: 'new', pod: 'a' }, [...steps(50, 1, 6), ...steps(0, 1, 3)]),
  ]);
  const ratio = {
    prometheus: {
      bad: "sum(increase(reads_failed_total{path='$path'}[${interval}s]))",
      total: "sum(increase(reads_total{path='$path'}[${interval}s]))",
    },
  };
  const old = await read(ratio, 'old');
  expect(old).toMatchObject({ kind: 'window', bad: 0, note: 'no series for `bad`, which counts as 0' });
  const young = await read(ratio);
  // 45 to 60 s of 2 and 1.33 requests a second and of an error every 15 s, extrapolated to 60 s; 0 after the restart.
  const { window } = nextWindow(null, young, 60_000);
  expect(window?.total).toBeGreaterThan(100);
  expect(window?.total).toBeLessThan(130);
  expect([2, 3, 4]).toContain(window?.bad);
  const nobody = {
    prometheus: { ...ratio.prometheus, total: "sum(increase(calls_of_nobody_total{path='$path'}[1m]))" },
  };
  expect(await read(nobody)).toEqual({ kind: 'none', reason: '`total`: Prometheus has no series for it' });
});

test('counters: each process by itself, through its restart and its first error', async () => {
  const counters = { prometheus: { bad: "jobs_failed_total{path='$path'}", total: "jobs_total{path='$path'}" } };
  const at = now() - 40;
  const look = async (after: number, counts: Record<string, [total: number, bad: number | null]>) => {
    for (const [pod, [total, bad]] of Object.entries(counts)) {
      const sample = { labels: { path: 'new', pod }, at: at + after };
      await server().store([
        { ...sample, name: 'jobs_total', value: total },
        ...(bad === null ? [] : [{ ...sample, name: 'jobs_failed_total', value: bad }]),
      ]);
    }
    return read(counters);
  };
  let memory: MetricMemory | null = null;
  const windowOf = async (...of: Parameters<typeof look>) => {
    const outcome = nextWindow(memory, await look(...of), 60_000);
    ({ memory } = outcome);
    return outcome.window;
  };
  expect(await windowOf(0, { a: [1000, 10], b: [5000, null] })).toBeNull();
  expect(await windowOf(10, { a: [1100, 12], b: [5050, 1] })).toEqual({ total: 150, bad: 3 });
  // a restarts, and c is new: it may have counted for days before anybody scraped it.
  expect(await windowOf(20, { a: [40, 3], b: [5060, 1], c: [90_000, 900] })).toEqual({ total: 50, bad: 3 });
  expect(await windowOf(30, { a: [50, 3], b: [5060, 1], c: [90_001, 901] })).toEqual({ total: 11, bad: 1 });
  const mixedUp = { prometheus: { bad: counters.prometheus.total, total: counters.prometheus.bad } };
  expect(await read(mixedUp)).toEqual({ kind: 'none', reason: expect.stringContaining('more bad ones') });
  expect(await read(counters, 'old')).toEqual({ kind: 'none', reason: '`total`: Prometheus has no series for it' });
});

test('the share of requests over an SLO, from the buckets of a histogram', async () => {
  const buckets = (le: string, by: number) => scraped('answer_seconds_bucket', { path: 'new', le }, steps(100, by, 9));
  await server().store([
    ...buckets('0.1', 6),
    ...buckets('0.3', 9),
    ...buckets('+Inf', 10),
    ...scraped('answer_seconds_count', { path: 'new' }, steps(100, 10, 9)),
  ]);
  const reading = await read({
    prometheus: {
      bad:
        "sum(increase(answer_seconds_count{path='$path'}[${interval}s])) - " +
        "sum(increase(answer_seconds_bucket{path='$path',le='0.3'}[${interval}s]))",
      total: "sum(increase(answer_seconds_count{path='$path'}[${interval}s]))",
    },
  });
  if (reading.kind !== 'window') throw new Error('no window');
  expect(reading.bad / reading.total).toBeCloseTo(0.1);
});

test('what is no number to count with, and what is old', async () => {
  const at = now();
  await server().store([
    { name: 'zero', at, value: 0 },
    { name: 'one', at, value: 1 },
    { name: 'twin', labels: { pod: 'a' }, at, value: 1 },
    { name: 'twin', labels: { pod: 'b' }, at, value: 1 },
    { name: 'not_a_number', at, value: Number.NaN },
    { name: 'left', at: at - 30, value: 5 },
    { name: 'left', at: at - 15, value: 0, ended: true },
    { name: 'unscraped', labels: { path: '/(a)' }, at: at - 200, value: 5 },
    { name: 'fresh', at: at - 100, value: 5 },
  ]);
  const unusable = (reason: string) => ({ kind: 'unusable', reason: expect.stringContaining(reason) });
  expect(await ask('zero / zero')).toEqual(unusable('NaN'));
  expect(await ask('not_a_number')).toEqual(unusable('NaN'));
  expect(await ask('one / zero')).toMatchObject({ kind: 'sample', value: '+Inf' });
  expect(await read({ prometheus: 'one / zero', max: 1 })).toMatchObject({ kind: 'none' });
  expect(await ask('twin')).toEqual(unusable('2 series'));
  expect(await ask('one[5m]')).toEqual(unusable('range'));
  expect(await ask('"a text"')).toMatchObject({ kind: 'sample', value: 'a text' });
  expect(await ask('left')).toEqual({ kind: 'empty' });
  expect(await ask('unscraped')).toEqual(unusable('200 s old'));
  // In an expression Prometheus doesn't say how old a sample is.
  expect(await ask('sum(unscraped)')).toMatchObject({ kind: 'sample', value: '5' });
  expect(await ask('fresh')).toMatchObject({ kind: 'sample', value: '5', note: null });
  expect(await ask('histogram_quantile(0.9, one)')).toEqual(unusable('Prometheus warns: '));
  // A hint on the name, which doesn't end as a counter's, is no reason against the number.
  await server().store(scraped('plain', {}, steps(0, 1, 9)));
  expect(await ask('sum(increase(plain[1m]))')).toMatchObject({ kind: 'sample' });
});

test('refusals: a mistake is the plan’s, what depends on the data is asked again', async () => {
  await server().store([
    { name: 'two_sided', labels: { pod: 'a', side: 'x' }, at: now(), value: 1 },
    { name: 'two_sided', labels: { pod: 'a', side: 'y' }, at: now(), value: 1 },
  ]);
  await expect(ask('sum(')).rejects.toMatchObject({ code: 'MetricsUnreachable', retry: false });
  await expect(ask('two_sided + on(pod) two_sided')).rejects.toMatchObject({
    code: 'MetricsUnreachable',
    retry: true,
    message: expect.stringContaining('422, execution'),
  });
});

test('Prometheus takes every query of docs/metrics.md, and those by instance pair what an instance counts', async () => {
  const at = now();
  const labels = { path: 'new', instance: 'a:1' };
  await server().store([
    { name: 'read_seconds_count', labels, at, value: 100 },
    { name: 'read_seconds_bucket', labels: { ...labels, le: '0.3' }, at, value: 90 },
    { name: 'http_requests_total', labels: { ...labels, status: '200' }, at, value: 95 },
    { name: 'http_requests_total', labels: { ...labels, status: '500' }, at, value: 5 },
  ]);
  const parts: Record<string, unknown> = {};
  for (const [, text] of readFileSync('docs/metrics.md', 'utf8').matchAll(/```yaml\n([\s\S]*?)```/g)) {
    for (const { analysis } of parse(text ?? '') as { analysis: { metrics: Metric[] } }[]) {
      for (const { name, prometheus: source, max } of analysis.metrics) {
        if (source === undefined) continue;
        const reading = await read({ prometheus: source, max });
        parts[name] = reading.kind === 'counter' ? Object.values(reading.parts) : reading.kind;
      }
    }
  }
  expect(parts).toMatchObject({
    'over 300 ms': [{ total: 100, bad: 10 }],
    'errors by status': [{ total: 100, bad: 5 }],
    'errors in windows': 'window',
    'replicas of the queue': 'none',
  });
});
