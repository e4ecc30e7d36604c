import { expect, test, vi } from 'vitest';
import { ratioOf } from './gate-ratio.ts';
import type { Window } from './gate-window.ts';
import { randomOf, windowOf } from './simulated-traffic.test-data.ts';

/** Seconds by themselves; a busy machine takes its time. */
vi.setConfig({ testTimeout: 60_000 });

const ALPHA = 0.05;
const RUNS = 400;
const SIGMA = Math.sqrt((ALPHA * (1 - ALPHA)) / RUNS);
const SEED = 11;
/** Of sixty windows on a ramp under a drifting rate; looked at ever more rarely, since each look goes over all of them. */
const LOOKS = [1, 2, 3, 5, 8, 13, 21, 34, 60];
const share = (k: number): number => (k < 15 ? 0.05 : k < 30 ? 0.25 : 0.5);
const rate = (k: number): number => 0.002 + 0.028 * Math.sin((Math.PI * k) / 60) ** 2;

test.each([0.3, 1, 2, 9])(
  'a ratio of %d is within the interval at all looks at once, in 95 of 100 rollouts',
  (ratio) => {
    const random = randomOf(SEED);
    let missed = 0;
    for (let run = 0; run < RUNS; run++) {
      const windows = Array.from({ length: 60 }, (_, k) =>
        windowOf(random, { requests: 500, share: share(k), oldRate: rate(k), newRate: rate(k) * ratio }),
      );
      const outside = LOOKS.some((looks) => {
        const { low, high } = ratioOf(windows.slice(0, looks), ALPHA);
        return ratio < low || (high !== null && ratio > high);
      });
      if (outside) missed++;
    }
    expect(missed / RUNS, `seed ${SEED}`).toBeLessThanOrEqual(ALPHA + 3 * SIGMA);
  },
);

test('the interval closes in on the ratio, and the most likely one is in it', () => {
  const random = randomOf(SEED);
  const windows: Window[] = [];
  let width = Number.POSITIVE_INFINITY;
  for (const length of [10, 100, 1_000]) {
    while (windows.length < length) {
      windows.push(windowOf(random, { requests: 2_000, share: 0.2, oldRate: 0.01, newRate: 0.03 }));
    }
    const { estimate, low, high } = ratioOf(windows, ALPHA);
    expect(low).toBeLessThan(estimate ?? 0);
    expect(high).toBeGreaterThan(estimate ?? Number.POSITIVE_INFINITY);
    expect((high ?? Number.POSITIVE_INFINITY) - low).toBeLessThan(width / 2);
    width = (high ?? Number.POSITIVE_INFINITY) - low;
  }
  expect(ratioOf(windows, ALPHA).estimate).toBeCloseTo(3, 1);
  expect(width).toBeLessThan(0.5);
});

test('more confidence is a wider interval', () => {
  const windows = Array.from({ length: 20 }, () => ({ new: { total: 100, bad: 4 }, old: { total: 900, bad: 20 } }));
  const [sure, surer] = [ratioOf(windows, 0.05), ratioOf(windows, 0.001)];
  expect(surer.low).toBeLessThan(sure.low);
  expect(surer.high).toBeGreaterThan(sure.high ?? 0);
  expect(surer.estimate).toBe(sure.estimate);
});

test('nothing to tell, and ratios without end', () => {
  expect(ratioOf([], ALPHA)).toEqual({ estimate: null, low: 0, high: null });
  const only = [{ new: { total: 1_000, bad: 900 }, old: { total: 1_000, bad: 0 } }];
  expect(ratioOf(only, ALPHA)).toMatchObject({ estimate: null, high: null });
  const huge = Array.from({ length: 10 }, () => ({ new: { total: 1e8, bad: 5e7 }, old: { total: 1e8, bad: 1 } }));
  // The alternatives reach as far as 16: beyond that the interval says no more than that it is beyond.
  expect(ratioOf(huge, ALPHA).low).toBeCloseTo(16, 2);
  expect(ratioOf(huge, ALPHA).high).toBeNull();
});
