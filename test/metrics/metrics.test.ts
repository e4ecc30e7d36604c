import { describe, expect, test } from 'vitest';
import type { MetricLook } from '../../src/adapters/metrics/metrics.ts';
import { nextWindow } from '../../src/adapters/metrics/metric-window.ts';
import { type Metric, planSchema } from '../../src/plan/index.ts';
import { type Room, room, serve } from '../rollout/room.ts';

const signal = new AbortController().signal;
const look: MetricLook = { path: 'new', intervalMs: 60_000, flag: { environment: 'development', flag: 'f' } };

/** A metric with the defaults that the plan's parser fills in. */
function metricOf(source: Record<string, unknown>): Metric {
  const plan = planSchema.parse({
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'a', version: 1, owner: 'o' },
    spec: {
      summary: 's',
      phases: [
        {
          name: 'p',
          steps: [
            {
              id: 's',
              uses: 'rollout',
              flag: 'f',
              ramp: [{ percent: 5 }],
              analysis: { metrics: [{ name: 'm', ...source }] },
            },
          ],
        },
      ],
    },
  });
  const step = plan.spec.phases[0]?.steps[0];
  const metric = step?.uses === 'rollout' ? step.analysis?.metrics[0] : undefined;
  if (metric === undefined) throw new Error('no metric');
  return metric;
}
const read = (here: Room, source: Record<string, unknown>, of: Partial<MetricLook> = {}) =>
  here.deps.metrics.read(metricOf(source), { ...look, ...of }, signal);

test('sql: a window where the query names the interval, counters where it does not, each path by itself', async () => {
  const here = await room();
  const { database } = here.deps.home;
  await database.query(`
    CREATE TABLE public.calls (path text, failed boolean, at timestamptz);
    INSERT INTO public.calls SELECT 'new', n <= 2, now() - n * interval '10 seconds' FROM generate_series(1, 10) n;
    INSERT INTO public.calls VALUES ('old', false, now())`);
  const all = "select count(*) from calls where path = '$path'";
  const recent = `${all} and at > now() - $interval * interval '1 second' - interval '5 seconds'`;
  const ratio = (total: string) => ({ sql: { database: 'app', bad: `${total} and failed;`, total } });
  expect(await read(here, ratio(recent))).toMatchObject({ kind: 'window', total: 6, bad: 2, note: null });
  const counted = await read(here, ratio(all));
  expect(counted).toMatchObject({ kind: 'counter', parts: { '': { total: 10, bad: 2 } } });
  expect(await read(here, ratio(all), { path: 'old' })).toMatchObject({ parts: { '': { total: 1, bad: 0 } } });
  expect(await read(here, { sql: { database: 'app', query: 'select count(*) from calls' }, max: 3 })).toMatchObject({
    kind: 'value',
    value: 11,
  });
  const { memory } = nextWindow(null, counted, 60_000);
  await database.query("INSERT INTO public.calls VALUES ('new', true, now()), ('new', false, now())");
  expect(nextWindow(memory, await read(here, ratio(all)), 60_000).window).toEqual({ total: 2, bad: 1 });
});

test('sql: what is no count is no evidence, and what cannot be read is an error', async () => {
  const here = await room();
  const sql = (bad: string, total: string) => read(here, { sql: { database: 'app', bad, total } });
  expect(await sql('select null', 'select 5')).toMatchObject({
    parts: { '': { total: 5, bad: 0 } },
    note: expect.stringContaining('counts as 0'),
  });
  expect(await sql('select 1', 'select null')).toEqual({ kind: 'none', reason: '`total`: the query gives no number' });
  expect(await sql('select 1', "select 'NaN'::float8")).toMatchObject({ kind: 'none' });
  expect(await sql('select 9', 'select 5')).toMatchObject({ kind: 'none', reason: expect.stringContaining('9 of 5') });
  expect(await sql('select -1', 'select 5')).toMatchObject({
    kind: 'none',
    reason: expect.stringContaining('negative'),
  });
  // One more may have come between the two queries.
  expect(await sql('select 6', 'select 5')).toMatchObject({ parts: { '': { total: 5, bad: 5 } } });
  await expect(sql('select 1, 2', 'select 5')).rejects.toMatchObject({ code: 'StatementFailed', retry: false });
  await expect(sql('select nothing', 'select 5')).rejects.toMatchObject({ code: 'StatementFailed' });
});

test('http: pointers into one answer, with the path in them or in the address', async () => {
  const here = await room();
  const body = {
    switches: [{ flag: 'f', old: { calls: 90, errors: 1 }, new: { calls: 10, errors: 2 } }],
    text: 'ana@example.com',
  };
  const { url, requests } = await serve(({ url: asked }) =>
    asked?.startsWith('/gone') ? { status: 503, body } : { body },
  );
  const http = (of: object, more: object = {}) => read(here, { http: { url, ...of }, ...more });
  const pointers = { bad: '/switches/0/$path/errors', total: '/switches/0/$path/calls' };
  expect(await http(pointers)).toMatchObject({ kind: 'counter', parts: { '': { total: 10, bad: 2 } } });
  expect(requests).toHaveLength(1);
  await http({ url: `${url}/$path?seconds=\${interval}`, ...pointers });
  expect(requests[1]).toBe('GET /new?seconds=60');
  expect(await http({ path: '/switches/0/new/errors' }, { max: 1 })).toMatchObject({ kind: 'value', value: 2 });
  const none = async (of: object, reason: string) => {
    const reading = await http(of);
    expect(reading).toMatchObject({ kind: 'none', reason: expect.stringContaining(reason) });
    expect(JSON.stringify(reading)).not.toContain('@');
  };
  await none({ bad: '/$path/errors', total: '/$path/calls' }, 'no number at /new/calls and none at /new/errors');
  await none({ ...pointers, bad: '/text' }, 'no number at /text');
  await none({ ...pointers, url: `${url}/gone` }, 'answers 503');
});

describe('switch', () => {
  const began = (counts: object, instance: string, ageS = 0, flag = 'f') => `
    INSERT INTO switchback.instances (environment, flag, instance, service, stage, generation, exposure, counts, lease_until, began_at)
    VALUES ('development', '${flag}', '${instance}', 's', 'live', 1, 5, '${JSON.stringify(counts)}', now() - interval '1 hour',
      clock_timestamp() - interval '${ageS} seconds')
    ON CONFLICT (environment, flag, instance) DO UPDATE SET counts = excluded.counts`;
  const counts = (calls: number, errors: number, mismatches = 0) => ({
    old: { calls: 0, errors: 0, slow: 0, units: 0, unitsFailed: 0 },
    new: { calls, errors, slow: errors, units: 1, unitsFailed: 1 },
    compared: calls,
    mismatches,
    repairsQueued: 0,
  });

  test('adds up what instances count, through the end of one and the start of another', async () => {
    const here = await room();
    const { database } = here.deps.home;
    const errors = { switch: { count: 'errors' }, margin: 2 };
    expect(await read(here, errors)).toMatchObject({ kind: 'none', reason: 'no service has counted anything for f' });
    await database.query(began(counts(100, 5), 'a', 60));
    await database.query(began(counts(9, 9), 'a', 60, 'another-flag'));
    const first = nextWindow(null, await read(here, errors), 60_000);
    await database.query(began(counts(110, 6), 'a'));
    await database.query(began(counts(20, 1), 'b'));
    expect(nextWindow(first.memory, await read(here, errors), 60_000).window).toEqual({ total: 30, bad: 2 });
    expect(nextWindow(first.memory, await read(here, errors, { path: 'old' }), 60_000).window).toEqual({
      total: 0,
      bad: 0,
    });
  });

  test('other counts, and what cannot be read of another version', async () => {
    const here = await room();
    const { database } = here.deps.home;
    await database.query(began(counts(100, 5, 3), 'a'));
    const part = async (source: object) => {
      const reading = await read(here, source as Record<string, unknown>);
      return reading.kind === 'counter' ? Object.values(reading.parts) : reading;
    };
    expect(await part({ switch: { count: 'mismatches' }, max: 0 })).toMatchObject([{ total: 100, bad: 3 }]);
    expect(await part({ switch: { count: 'slow' } })).toMatchObject([{ total: 100, bad: 5 }]);
    expect(await part({ switch: { count: 'unitsFailed' } })).toMatchObject([{ total: 1, bad: 1 }]);
    await database.query(began({ new: { calls: 'many' } }, 'a'));
    expect(await part({ switch: { count: 'errors' } })).toMatchObject({
      kind: 'none',
      reason: expect.stringContaining('instance a'),
    });
  });
});
