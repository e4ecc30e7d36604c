import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  afterWindow,
  ALTERNATIVES,
  EVIDENCE_MAX,
  evidenceOf,
  logEvidence,
  newRollBackProcess,
  rollBackAt,
  rollBackProcessOf,
} from './gate-process.ts';
import { logPassEvidence, newPassProcess, passAfterWindow, passAlternatives, passProcessOf } from './gate-pass.ts';
import type { Window } from './gate-window.ts';

const windowOf = (newBad: number, newTotal: number, oldBad: number, oldTotal: number): Window => ({
  new: { total: newTotal, bad: newBad },
  old: { total: oldTotal, bad: oldBad },
});
const counts = fc
  .nat(100_000)
  .chain((total) => fc.tuple(fc.constant(total), fc.nat(total)))
  .map(([total, bad]) => ({ total, bad }));
const windows = fc.array(fc.record({ old: counts, new: counts }), { maxLength: 8 });
const telling = fc.array(
  fc.record({ old: counts, new: counts }).filter((window) => window.old.total > 0 && window.new.total > 0),
  { maxLength: 8 },
);

/** The formula as it is written in the paper and in the docstrings, term by term. */
function asWritten(given: readonly Window[], alternatives: readonly number[], reference: number): number {
  const logs = alternatives.map((psi) =>
    given.reduce(
      (sum, { new: { total: n, bad: x }, old: { total: m, bad: y } }) => {
        const p0 = (reference * n) / (reference * n + m);
        const theta = (psi * n) / (psi * n + m);
        return sum + x * Math.log(theta / p0) + y * Math.log((1 - theta) / (1 - p0));
      },
      Math.log(1 / alternatives.length),
    ),
  );
  const max = Math.max(...logs);
  return max + Math.log(logs.reduce((sum, log) => sum + Math.exp(log - max), 0));
}
const expectNear = (actual: number, expected: number): void =>
  expect(Math.abs(actual - expected)).toBeLessThan(1e-9 * Math.max(1, Math.abs(expected)) + 1e-6);

test('24 alternatives, evenly spaced on a logarithmic scale from 1.05 to 16', () => {
  expect(ALTERNATIVES).toHaveLength(24);
  expect(ALTERNATIVES[0]).toBe(1.05);
  expect(ALTERNATIVES.at(-1)).toBeCloseTo(16, 10);
  const steps = ALTERNATIVES.slice(1).map((psi, j) => psi / (ALTERNATIVES[j] as number));
  for (const step of steps) expect(step).toBeCloseTo((16 / 1.05) ** (1 / 23), 10);
});

test('both processes are what the formula says', () => {
  fc.assert(
    fc.property(telling, fc.double({ min: 1.01, max: 16, noNaN: true }), (given, margin) => {
      expectNear(logEvidence(rollBackProcessOf(given)), asWritten(given, ALTERNATIVES, 1));
      expectNear(logPassEvidence(passProcessOf(margin, given)), asWritten(given, passAlternatives(margin), margin));
    }),
  );
});

test('window by window, out of a ledger’s JSON, or all at once: the same bits', () => {
  fc.assert(
    fc.property(windows, (given) => {
      const throughJson = <T>(state: T): T => JSON.parse(JSON.stringify(state)) as T;
      let rollBack = newRollBackProcess();
      let pass = newPassProcess(1.5);
      for (const window of given) {
        rollBack = throughJson(afterWindow(rollBack, window));
        pass = throughJson(passAfterWindow(pass, window));
      }
      expect(rollBack).toEqual(rollBackProcessOf(given));
      expect(pass).toEqual(passProcessOf(1.5, given));
    }),
  );
});

test('a window in which only one path, or none, was used says nothing', () => {
  const before = rollBackProcessOf([windowOf(7, 100, 30, 1_000)]);
  for (const window of [windowOf(5, 9, 0, 0), windowOf(0, 0, 5, 9), windowOf(0, 0, 0, 0), windowOf(9, 9, 0, 0)]) {
    expect(afterWindow(before, window).sums.map((sum, j) => sum - (before.sums[j] as number))).toEqual(
      ALTERNATIVES.map(() => 0),
    );
    expect(logPassEvidence(passProcessOf(2, [window]))).toBeCloseTo(0, 12);
  }
});

/** The expectation of what a window multiplies E with, worked out over all counts that there can be. */
function expectation(n: number, m: number, p: number, q: number, log: (window: Window) => number): number {
  const chances = (of: number, rate: number): number[] => {
    const first = Array.from({ length: of + 1 }, () => 0);
    first[0] = 1;
    for (let trial = 0; trial < of; trial++) {
      for (let x = of; x >= 0; x--) first[x] = (first[x] ?? 0) * (1 - rate) + (first[x - 1] ?? 0) * rate;
    }
    return first;
  };
  const old = chances(m, q);
  return chances(n, p).reduce(
    (sum, px, x) => old.reduce((inner, py, y) => inner + px * py * Math.exp(log(windowOf(x, n, y, m))), sum),
    0,
  );
}
const size = fc.integer({ min: 1, max: 12 });
const rate = fc.double({ min: 0, max: 1, noNaN: true });
const ratio = fc.double({ min: 1.01, max: 16, noNaN: true });
const ROUNDING = 1e-9;

test('in expectation no window adds evidence against a path that is no worse, at any error rate, small or large', () => {
  fc.assert(
    fc.property(size, size, rate, rate, (n, m, one, other) => {
      const [p, q] = [Math.min(one, other), Math.max(one, other)];
      const factor = expectation(n, m, p, q, (window) => logEvidence(rollBackProcessOf([window])));
      expect(factor).toBeLessThanOrEqual(1 + ROUNDING);
    }),
  );
});

test('nor for a path that is `margin` times as bad or worse, in the test that passes', () => {
  fc.assert(
    fc.property(size, size, rate, rate, ratio, (n, m, one, other, margin) => {
      const p = Math.max(one, other);
      const q = Math.min(one, other, p / margin);
      const factor = expectation(n, m, p, q, (window) => logPassEvidence(passProcessOf(margin, [window])));
      expect(factor).toBeLessThanOrEqual(1 + ROUNDING);
    }),
  );
});

test('the peak is kept, so that a look that was missed changes nothing', () => {
  const worse = Array.from({ length: 10 }, () => windowOf(40, 1_000, 10, 1_000));
  const better = Array.from({ length: 40 }, () => windowOf(1, 1_000, 20, 1_000));
  const process = rollBackProcessOf([...worse, ...better]);
  expect(process.peakLogE).toBe(logEvidence(rollBackProcessOf(worse)));
  expect(process.peakLogE).toBeGreaterThan(Math.log(20));
  expect(logEvidence(process)).toBeLessThan(0);
});

test('a thousand million requests: finite, and as exact as one window of them', () => {
  const share = { new: 1e6, old: 9e6 };
  const small = Array.from({ length: 100 }, () => windowOf(20_000, share.new, 90_000, share.old));
  const large = windowOf(2_000_000, 100 * share.new, 9_000_000, 100 * share.old);
  const log = logEvidence(rollBackProcessOf(small));
  expect(log).toBeGreaterThan(100_000);
  expect(Math.abs(log - logEvidence(rollBackProcessOf([large])))).toBeLessThan(1e-3);
  expect(evidenceOf(log)).toBe(EVIDENCE_MAX);
  const none = logEvidence(rollBackProcessOf([windowOf(0, 1e9, 1e9, 1e9)]));
  expect(none).toBeLessThan(-1e7);
  expect(Number.isFinite(none)).toBe(true);
  expect(evidenceOf(none)).toBe(0);
});

test.each([
  ['more bad than all', windowOf(3, 2, 0, 0), 'the new path: 3 bad of 2'],
  ['negative', windowOf(0, 0, -1, 4), 'the old path: -1 bad of 4'],
  ['not a number', windowOf(0, Number.NaN, 0, 0), 'the new path: 0 bad of NaN'],
  ['without end', windowOf(0, 0, 0, Number.POSITIVE_INFINITY), 'the old path: 0 bad of Infinity'],
])('counts that can’t be are refused: %s', (_, window, words) => {
  expect(() => rollBackProcessOf([window])).toThrow(words);
  expect(() => passProcessOf(1.5, [window])).toThrow(RangeError);
});

test('a margin must be over 1', () => {
  for (const margin of [1, 0, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => newPassProcess(margin)).toThrow('over 1');
});

test('metrics share alpha', () => {
  expect(rollBackAt(0.05, 1)).toBe(20);
  expect(rollBackAt(0.05, 2)).toBe(40);
});
