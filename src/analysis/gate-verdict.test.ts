import { expect, test } from 'vitest';
import { type CountedMetric, type GateInput, gateVerdict, type ValueMetric } from './gate-verdict.ts';
import type { Window } from './gate-window.ts';

const windowOf = (newBad: number, newTotal: number, oldBad: number, oldTotal: number): Window => ({
  new: { total: newTotal, bad: newBad },
  old: { total: oldTotal, bad: oldBad },
});
const times = (count: number, window: Window): Window[] => Array.from({ length: count }, () => window);
const HEALTHY = windowOf(10, 1_000, 90, 9_000);
const WORSE = windowOf(20, 1_000, 90, 9_000);

const errors = (more: Partial<CountedMetric> = {}): CountedMetric => ({
  kind: 'counts',
  name: 'errors',
  before: [],
  here: [],
  margin: 1.5,
  max: null,
  critical: false,
  silent: null,
  ...more,
});
const value = (more: Partial<ValueMetric> = {}): ValueMetric => ({
  kind: 'value',
  name: 'mismatches',
  value: 0,
  max: 0,
  critical: true,
  silent: null,
  ...more,
});
const gate = (metrics: GateInput['metrics'], more: Partial<GateInput> = {}) =>
  gateVerdict({
    alpha: 0.05,
    minSamples: 500,
    metrics,
    bakedMs: 900_000,
    bakeMs: 900_000,
    deadlinePassed: false,
    exposed: true,
    ...more,
  });

test('passes with evidence, samples and the bake time; any one of them missing goes on, and says what is missing', () => {
  const good = errors({ here: times(300, HEALTHY) });
  expect(gate([good])).toMatchObject({
    verdict: 'pass',
    reason:
      'baked 15 m; errors: new path 1 % of 300,000 bad, old 1 % of 2,700,000; evidence over a million of 20 that it fails under 1.5 times as often (at most 1.1 times)',
  });
  expect(gate([good], { bakedMs: 180_000 })).toMatchObject({ verdict: 'continue', reason: 'bakes 12 m more' });
  expect(gate([good], { minSamples: 400_000 })).toMatchObject({
    verdict: 'continue',
    reason: 'errors: 300,000 of 400,000 requests on the new path',
  });
  expect(gate([errors({ here: times(3, HEALTHY) })])).toMatchObject({
    verdict: 'continue',
    reason: expect.stringMatching(/^errors: evidence [\d.]+ of 20 that it fails under 1.5 times as often$/),
  });
});

test('rolls back on evidence that the new path is worse, before it has baked, whatever else is missing', () => {
  const bad = errors({ here: times(60, WORSE) });
  const said = gate([bad, value({ silent: 'the database does not answer', value: null })], { bakedMs: 0 });
  expect(said.verdict).toBe('roll-back');
  expect(said.reason).toMatch(
    /^errors: new path 2 % of 60,000 bad, old 1 % of 540,000; evidence [\w ,]+ of 20 needed$/,
  );
  const [finding] = said.metrics;
  expect(finding?.counts?.ratio.estimate).toBeCloseTo(2, 6);
  expect(finding?.counts?.ratio.low).toBeGreaterThan(1.5);
  expect(finding?.counts?.ratio.high).toBeLessThan(2.5);
});

test('several metrics need more: what is enough for one alone is not for one of two', () => {
  const bad = errors({ here: times(6, windowOf(15, 1_000, 90, 9_000)) });
  expect(gate([bad])).toMatchObject({
    verdict: 'roll-back',
    reason: 'errors: new path 1.5 % of 6,000 bad, old 1 % of 54,000; evidence 31 of 20 needed',
  });
  const both = gate([bad, errors({ name: 'latency', here: times(6, HEALTHY) })]);
  expect(both.verdict).toBe('continue');
  expect(both.metrics[0]).toMatchObject({
    says: 'open',
    words: 'new path 1.5 % of 6,000 bad, old 1 % of 54,000; evidence 31 of 40 needed',
  });
});

test('evidence is kept over the stops; samples are those of this stop', () => {
  const split = errors({ before: times(30, WORSE), here: times(30, WORSE) });
  const whole = errors({ here: times(60, WORSE) });
  const evidence = (metric: CountedMetric) => gate([metric]).metrics[0]?.counts?.rollBack;
  expect(evidence(split)).toEqual(evidence(whole));
  const carried = errors({ before: times(300, HEALTHY), here: [] });
  expect(gate([carried])).toMatchObject({ verdict: 'continue', reason: 'errors: 0 of 500 requests on the new path' });
});

test('at 100 % there is nothing to compare with: what was shown before counts, and without it nothing ever passes', () => {
  const alone = times(10, windowOf(10, 10_000, 0, 0));
  expect(gate([errors({ before: times(300, HEALTHY), here: alone })]).verdict).toBe('pass');
  const never = gate([errors({ here: alone })], { deadlinePassed: true });
  expect(never.verdict).toBe('inconclusive');
  expect(never.reason).toBe(
    'neither shown to be worse nor good enough by the deadline: errors: evidence 1 of 20 that it fails under 1.5 times as often, no request on the old path to compare with',
  );
  expect(never.metrics[0]?.counts?.ratio).toEqual({ estimate: null, low: 0, high: null });
});

test('by the deadline: passes what may pass, else a person decides', () => {
  expect(gate([errors({ here: times(300, HEALTHY) })], { deadlinePassed: true }).verdict).toBe('pass');
  expect(gate([errors({ here: times(3, HEALTHY) })], { deadlinePassed: true }).verdict).toBe('inconclusive');
});

test('silence never passes, and doesn’t hide what is known', () => {
  const silent = errors({ here: times(300, HEALTHY), silent: 'Prometheus does not answer' });
  for (const deadlinePassed of [false, true]) {
    expect(gate([silent], { deadlinePassed })).toMatchObject({
      verdict: 'no-data',
      reason: 'errors: no data (Prometheus does not answer)',
    });
  }
  for (const nothing of [null, Number.NaN]) expect(gate([value({ value: nothing })]).verdict).toBe('no-data');
  expect(gate([errors({ here: times(60, WORSE), silent: 'gone' })]).verdict).toBe('roll-back');
  expect(gate([errors(), value({ value: 1, silent: 'gone' })]).verdict).toBe('roll-back');
});

test('no request is no pass, also with `minSamples: 0`', () => {
  const idle = errors({ margin: null, here: times(5, windowOf(0, 0, 3, 1_000)) });
  expect(gate([idle], { minSamples: 0 })).toMatchObject({
    verdict: 'continue',
    reason: 'errors: 0 of 1 requests on the new path',
  });
});

test('without a margin, samples and the bake time are enough; the evidence that rolls back is looked at all the same', () => {
  const metric = errors({ margin: null, here: [HEALTHY] });
  expect(gate([metric])).toMatchObject({
    verdict: 'pass',
    reason: 'baked 15 m; errors: new path 1 % of 1,000 bad, old 1 % of 9,000',
  });
  expect(gate([{ ...metric, here: times(60, WORSE) }]).verdict).toBe('roll-back');
});

test('critical: one over, roll back; not critical: over its bound it only doesn’t pass', () => {
  expect(gate([value()])).toMatchObject({ verdict: 'pass', reason: 'baked 15 m; mismatches: 0, 0 at most' });
  expect(gate([value({ value: 1 })])).toMatchObject({ verdict: 'roll-back', reason: 'mismatches: 1, 0 at most' });
  expect(gate([value({ value: 1, max: null })]).verdict).toBe('roll-back');
  const queue = value({ name: 'queue', value: 12, max: 10, critical: false });
  expect(gate([queue])).toMatchObject({ verdict: 'continue', reason: 'queue: 12, 10 at most' });
  expect(gate([queue], { deadlinePassed: true }).verdict).toBe('inconclusive');
  expect(gate([value({ value: 12, max: null, critical: false })]).verdict).toBe('pass');

  const lost = errors({ name: 'lost', critical: true, margin: null, here: [windowOf(1, 900, 0, 100)] });
  expect(gate([lost])).toMatchObject({
    verdict: 'roll-back',
    reason:
      'lost: 1 bad on the new path, 0 at most; new path 0.11 % of 900 bad, old 0 % of 100; evidence 1 of 20 needed',
  });
  expect(gate([{ ...lost, max: 1 }]).verdict).toBe('pass');
});

test('a stop at which nobody is on the new path passes by its bake time and the values', () => {
  const none = errors({ silent: 'no series' });
  expect(gate([none, value()], { exposed: false })).toMatchObject({
    verdict: 'pass',
    reason: 'baked 15 m; errors: new path unused, old unused; mismatches: 0, 0 at most',
  });
  expect(gate([none, value({ value: 1 })], { exposed: false }).verdict).toBe('roll-back');
});

test('the ratio is that within windows, where a drift makes that of the totals mislead', () => {
  // The old path had the bad night, at 90 % of the traffic, and the new one the good day: both were alike in each window.
  const night = windowOf(100, 1_000, 900, 9_000);
  const day = windowOf(90, 9_000, 10, 1_000);
  const said = gate([errors({ before: times(10, night), here: times(10, day) })]).metrics[0]?.counts;
  expect(said?.old.bad).toBeGreaterThan(4 * (said?.new.bad ?? 0));
  expect(said?.ratio.estimate).toBeCloseTo(1, 6);
});

test('a path that never fails, and one that alone does', () => {
  const never = gate([errors({ here: times(100, windowOf(0, 1_000, 10, 1_000)) })]).metrics[0]?.counts?.ratio;
  expect(never).toMatchObject({ estimate: 0, low: 0 });
  expect(never?.high).toBeLessThan(0.1);
  const only = gate([errors({ here: times(100, windowOf(10, 1_000, 0, 1_000)) })]).metrics[0]?.counts?.ratio;
  expect(only).toMatchObject({ estimate: null, high: null });
  expect(only?.low).toBeGreaterThan(10);
  const none = gate([errors({ here: times(100, windowOf(0, 1_000, 0, 1_000)) })]).metrics[0]?.counts?.ratio;
  expect(none).toEqual({ estimate: null, low: 0, high: null });
});

test('a finding is plain JSON', () => {
  const said = gate([errors({ here: times(500, windowOf(900, 1_000, 1, 1_000)) }), value()]);
  expect(JSON.parse(JSON.stringify(said))).toEqual(said);
});
