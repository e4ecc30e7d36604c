import { describe, expect, test } from 'vitest';
import { type Plan, planSchema, type StepOf } from '../plan/index.ts';
import { liveTraffic } from './gate-check.ts';
import { comparisonOf, gateNeeds, type LiveTraffic, shortBakes } from './gate-needs.ts';

const ERRORS = { name: 'errors', prometheus: { bad: 'a', total: 'b' }, margin: 1.5 };
const MISMATCHES = { name: 'mismatches', sql: { database: 'app', query: 'select 0' }, max: 0, critical: true };
const RAMP = [
  { percent: 5, bake: '15m' },
  { percent: 25, bake: '1h' },
  { percent: 100, bake: '24h' },
];

const planWith = (ramp: object[], analysis?: object): Plan =>
  planSchema.parse({
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'gates', version: 1, owner: 'team-test' },
    spec: {
      summary: 'gates',
      risk: 'low',
      phases: [
        { name: 'rollout', steps: [{ id: 'ramp', uses: 'rollout', flag: 'f', ramp, ...(analysis && { analysis }) }] },
      ],
    },
  });
const words = (ramp: object[], analysis: object): Record<string, string[]> =>
  Object.fromEntries(gateNeeds(planWith(ramp, analysis)).map(({ at, words: said }) => [at, said]));

describe('what `check` says of a plan alone', () => {
  test('stop by stop: bad requests, requests at two error rates, and the traffic that brings them within the bake', () => {
    const needs = gateNeeds(planWith(RAMP, { metrics: [ERRORS, MISMATCHES] }));
    expect(needs).toEqual([
      {
        phase: 'rollout',
        step: 'ramp',
        stop: 1,
        at: '5 %',
        bake: '15m',
        share: 0.05,
        seeBad: 743,
        pass: [{ margin: 1.5, bad: 2338 }],
        words: [
          'a doubled error rate shows by 743 bad requests: about 71,000 requests at 1 % (4,700 a minute), 710,000 requests at 0.1 % (47,000 a minute)',
          'to pass at margin 1.5, a path as good as the old one takes 2,338 bad requests: about 230,000 requests at 1 % (16,000 a minute), 2,300,000 requests at 0.1 % (160,000 a minute)',
          '`minSamples` 500 is reached with about 10,000 requests (670 a minute)',
        ],
      },
      expect.objectContaining({ stop: 2, share: 0.25, seeBad: 223, pass: [{ margin: 1.5, bad: 649 }] }),
      {
        phase: 'rollout',
        step: 'ramp',
        stop: 3,
        at: '100 %',
        bake: '24h',
        share: null,
        seeBad: null,
        pass: [],
        words: [
          'everybody is on the new path, and there is nothing to compare it with: what the stops before have shown counts',
        ],
      },
    ]);
  });

  test('more metrics need more; each margin is told once', () => {
    const latency = { name: 'latency', prometheus: { bad: 'c', total: 'd' }, margin: 1.5 };
    const strict = { name: 'strict', http: { url: 'http://a', bad: '/a', total: '/b' }, margin: 1.2 };
    const [one] = gateNeeds(planWith(RAMP, { metrics: [ERRORS] }));
    const [three] = gateNeeds(planWith(RAMP, { metrics: [ERRORS, latency, strict] }));
    expect(three?.seeBad).toBeGreaterThan(one?.seeBad ?? 0);
    expect(three?.pass.map(({ margin }) => margin)).toEqual([1.2, 1.5]);
  });

  test('who is alone on a path is compared with nobody; both paths are called in the stages that compare', () => {
    const said = words(
      [
        { percent: 0 },
        { stage: 'dual-write' },
        { stage: 'shadow', bake: '1h' },
        { stage: 'live' },
        { stage: 'complete' },
      ],
      { metrics: [ERRORS] },
    );
    const nobody = ['nobody is on the new path: it passes by its bake time and the metrics that are one number'];
    expect(said['0 %']).toEqual(nobody);
    expect(said['stage dual-write']).toEqual(nobody);
    expect(said['stage shadow']?.[0]).toBe(
      'a doubled error rate shows by 201 bad requests: about 13,000 requests at 1 % (220 a minute), 130,000 requests at 0.1 % (2,200 a minute)',
    );
    // Nothing is baked there: no traffic a minute can be asked for.
    expect(said['stage live']?.[0]).toBe(
      'a doubled error rate shows by 201 bad requests: about 13,000 requests at 1 %, 130,000 requests at 0.1 %',
    );
    expect(said['stage complete']).toEqual([
      'everybody is on the new path, and there is nothing to compare it with: what the stops before have shown counts',
    ]);
  });

  test('a gate that can never pass is told', () => {
    expect(words([{ percent: 100, bake: '1h' }], { metrics: [ERRORS] })['100 %']).toEqual([
      'everybody is on the new path, and there is nothing to compare it with: it never passes by itself; put a stop at less than 100 % before it',
    ]);
  });

  test('without a margin it passes blind', () => {
    const said = words([{ percent: 10, bake: '5m' }], { metrics: [{ ...ERRORS, margin: undefined }], minSamples: 0 });
    expect(said['10 %']?.slice(1)).toEqual([
      'without a `margin` it passes by `minSamples` and its bake time, whatever has shown by then',
    ]);
  });

  test('nothing is said where nothing is compared', () => {
    expect(gateNeeds(planWith(RAMP))).toEqual([]);
    expect(gateNeeds(planWith(RAMP, { metrics: [MISMATCHES] }))).toEqual([]);
  });
});

describe('at the traffic that there is now', () => {
  const short = (traffic: Partial<LiveTraffic>, ramp: object[] = RAMP): string[] => {
    const step = planWith(ramp, { metrics: [ERRORS] }).spec.phases[0]?.steps[0] as StepOf<'rollout'>;
    const comparison = comparisonOf(step.analysis);
    if (comparison === null) throw new Error('it compares something');
    return shortBakes(step, comparison, {
      metric: 'errors',
      margin: 1.5,
      requestsPerMinute: 1_200,
      rate: 0.01,
      ...traffic,
    });
  };

  test('a bake that is too short says how long it would have to be', () => {
    expect(short({})).toEqual([
      'ramp, stop 1 (5 %): bakes 15 m, needs about 3.3 h to show that a path as good as the old one is under margin 1.5; 15 m after its bake a person decides (at 1,200 requests a minute with 1 % bad (metric errors))',
    ]);
    expect(short({ requestsPerMinute: 10_000 })).toEqual([
      'ramp, stop 1 (5 %): bakes 15 m, needs about 24 m to show that a path as good as the old one is under margin 1.5; it waits for that (at 10,000 requests a minute with 1 % bad (metric errors))',
    ]);
    expect(short({ margin: null })).toEqual([
      'ramp, stop 1 (5 %): bakes 15 m, needs about 59 m to see a doubled error rate; without a `margin` it passes before (at 1,200 requests a minute with 1 % bad (metric errors))',
    ]);
  });

  test('one that is long enough says nothing', () => {
    expect(short({ requestsPerMinute: 20_000 })).toEqual([]);
    expect(short({}, [{ percent: 5, bake: '4h' }, { percent: 100 }])).toEqual([]);
  });

  test('traffic is what both paths answer, the rate that of the old one; windows and counters', () => {
    const look = { at: 120_000, note: null };
    const metric = { name: 'errors', margin: 1.5 };
    const expected = { metric: 'errors', margin: 1.5, rate: 0.01 };
    const windows = liveTraffic(
      metric,
      { kind: 'window', ...look, total: 100, bad: 1 },
      { kind: 'window', ...look, total: 20, bad: 5 },
      30_000,
    );
    expect(windows).toEqual({ ...expected, requestsPerMinute: 240 });
    const since = (beganAt: number | null) => ({
      kind: 'counter' as const,
      ...look,
      parts: { a: { total: 100, bad: 1, beganAt } },
    });
    const none = { kind: 'none' as const, reason: 'no series' };
    expect(liveTraffic(metric, since(0), none, 30_000)).toEqual({ ...expected, requestsPerMinute: 50 });
    expect(liveTraffic(metric, since(null), none, 30_000)).toMatch('until they are read twice');
    expect(liveTraffic(metric, none, none, 30_000)).toBe('says nothing of the old path now: no series');
    const idle = { kind: 'window' as const, ...look, total: 0, bad: 0 };
    expect(liveTraffic(metric, idle, none, 30_000)).toBe('the old path has no request now');
    expect(liveTraffic(metric, { ...idle, total: 1_200 }, none, 30_000)).toBe(
      'none of 1,200 requests on the old path is bad now',
    );
  });
});
