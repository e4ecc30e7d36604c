import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type MetricMemory,
  type MetricReading,
  nextLimit,
  nextPair,
  nextWindow,
  type PairMemory,
} from './metric-window.ts';

const MINUTE = 60_000;
const window = (at: number, total: number, bad: number): MetricReading => ({
  kind: 'window',
  at,
  note: null,
  total,
  bad,
});
const counter = (
  at: number,
  ...parts: [name: string, beganAt: number | null, total: number, bad: number][]
): MetricReading => ({
  kind: 'counter',
  at,
  note: null,
  parts: Object.fromEntries(parts.map(([name, beganAt, total, bad]) => [name, { beganAt, total, bad }])),
});
/** The windows of looks one after the other, through JSON as the ledger keeps them. */
function windowsOf(readings: readonly MetricReading[]): ([total: number, bad: number] | string | null)[] {
  let memory: MetricMemory | null = null;
  return readings.map((reading) => {
    const outcome = nextWindow(memory, reading, MINUTE);
    memory = JSON.parse(JSON.stringify(outcome.memory)) as MetricMemory | null;
    return outcome.window === null ? outcome.why : [outcome.window.total, outcome.window.bad];
  });
}

describe('windows of an interval', () => {
  test('are taken as they are, unless they overlap the one before', () => {
    expect(
      windowsOf([
        window(0, 10, 1),
        window(MINUTE - 900, 20, 2),
        window(MINUTE + 5_000, 30, 3),
        { kind: 'none', reason: 'no series' },
        window(9 * MINUTE, 40, 4),
      ]),
    ).toEqual([[10, 1], [20, 2], 'the window is not over yet', 'no series', [40, 4]]);
  });

  test('of fractions become whole numbers that add up, with no more bad ones than ones in all', () => {
    const count = fc.double({ min: 0, max: 50, noNaN: true });
    fc.assert(
      fc.property(fc.array(fc.tuple(count, fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 60 }), (looks) => {
        const given = looks.map(([total, share]) => ({ total, bad: total * share }));
        const found = windowsOf(given.map(({ total, bad }, index) => window(index * MINUTE, total, bad)));
        const sums = { total: 0, bad: 0 };
        for (const one of found) {
          const [total, bad] = one as [number, number];
          expect([Number.isInteger(total), Number.isInteger(bad), bad >= 0, bad <= total]).not.toContain(false);
          sums.total += total;
          sums.bad += bad;
        }
        const sumOf = (key: 'total' | 'bad') => given.reduce((sum, one) => sum + one[key], 0);
        expect(Math.abs(sums.bad - sumOf('bad'))).toBeLessThan(0.51);
        expect(Math.abs(sums.total - sumOf('total'))).toBeLessThan(1.01);
      }),
    );
  });
});

describe('counters', () => {
  test('give the difference of two looks, over a gap too, and begin at 0 again after a reset', () => {
    expect(
      windowsOf([
        counter(0, ['', null, 100, 5]),
        counter(MINUTE, ['', null, 150, 6]),
        { kind: 'none', reason: 'away' },
        counter(10 * MINUTE, ['', null, 950, 16]),
        counter(11 * MINUTE, ['', null, 30, 2]),
        counter(12 * MINUTE, ['', null, 40, 1]),
      ]),
    ).toEqual(['counters need a second look', [50, 1], 'away', [800, 10], [30, 2], [10, 1]]);
  });

  test('of several processes reset one by one: who ends takes nothing away, who begins adds what it has', () => {
    expect(
      windowsOf([
        counter(1000, ['a', 1, 1000, 10], ['b', 1, 500, 5]),
        // b is gone; c began since.
        counter(2000, ['a', 1, 1010, 11], ['c', 1500, 7, 1]),
        // d was there all the while, and was not seen: nobody knows when it counted that.
        counter(3000, ['a', 1, 1020, 11], ['c', 1500, 10, 1], ['d', 900, 9999, 999]),
        counter(4000, ['a', 1, 1020, 11], ['c', 1500, 10, 1], ['d', 900, 10_000, 999]),
      ]),
    ).toEqual(['counters need a second look', [17, 2], [13, 0], [1, 0]]);
  });

  test('never give less than nothing, nor more bad ones than ones in all, whatever they do', () => {
    const part = fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom(null, 0, 5), fc.nat(20), fc.nat(20));
    const look = fc.array(part, { maxLength: 3 });
    fc.assert(
      fc.property(fc.array(look, { maxLength: 20 }), (looks) => {
        const readings = looks.map((parts, at) =>
          counter(
            at,
            ...parts.map(
              ([name, began, total, bad]) =>
                [name, began, total, Math.min(bad, total)] as const satisfies [string, number | null, number, number],
            ),
          ),
        );
        for (const one of windowsOf(readings)) {
          if (one === null || typeof one === 'string') continue;
          expect(one[1]).toBeGreaterThanOrEqual(0);
          expect(one[0]).toBeGreaterThanOrEqual(one[1]);
        }
      }),
    );
  });
});

test('a limit on counters counts from the first look, one on a number is that number', () => {
  let memory = null as Parameters<typeof nextLimit>[0];
  const values = [
    counter(1000, ['a', 1, 900, 40]),
    counter(2000, ['a', 1, 950, 40]),
    counter(3000, ['a', 1, 990, 42], ['b', 2500, 10, 1]),
    counter(4000, ['c', 3500, 10, 0]),
  ].map((reading) => {
    const next = nextLimit(memory, reading);
    ({ memory } = next);
    return next.value;
  });
  expect(values).toEqual([0, 0, 3, 3]);
  expect(nextLimit(null, { kind: 'value', at: 1, note: null, value: 7.5 })).toMatchObject({ value: 7.5, memory: null });
  expect(nextLimit(null, { kind: 'none', reason: 'away' })).toMatchObject({ value: null, why: 'away' });
});

describe('both paths', () => {
  const away: MetricReading = { kind: 'none', reason: 'away' };
  const countsOf = (looks: readonly [old: MetricReading, fresh: MetricReading][], oldUnused = false) => {
    let memory: PairMemory = {};
    return looks.map(([old, fresh]) => {
      const outcome = nextPair(memory, { old, new: fresh }, { intervalMs: MINUTE, oldUnused });
      memory = JSON.parse(JSON.stringify(outcome.memory)) as PairMemory;
      return outcome.counts ?? outcome.silent;
    });
  };
  const at = (minute: number, total: number, bad: number) => counter(minute * MINUTE, ['', null, total, bad]);

  test('have windows of the same time, whichever of them could not be read in between', () => {
    expect(
      countsOf([
        [at(0, 100, 0), away],
        [at(1, 200, 0), at(1, 20, 0)],
        // An outage of both, in which the new path can't be read.
        [at(2, 300, 90), away],
        [at(3, 400, 90), at(3, 40, 9)],
        [away, at(4, 50, 9)],
        [at(5, 500, 91), at(5, 60, 9)],
      ]),
    ).toEqual([
      'new path: away; old path: counters need a second look',
      'new path: counters need a second look; old path: counters need a second look',
      'new path: away',
      { old: { total: 200, bad: 90 }, new: { total: 20, bad: 9 } },
      'old path: away',
      { old: { total: 100, bad: 1 }, new: { total: 20, bad: 0 } },
    ]);
  });

  test('need no old one where everybody is on the new one', () => {
    const looks: [MetricReading, MetricReading][] = [
      [away, at(0, 20, 0)],
      [away, at(1, 30, 1)],
    ];
    expect(countsOf(looks, true)).toEqual([
      'new path: counters need a second look',
      { old: { total: 0, bad: 0 }, new: { total: 10, bad: 1 } },
    ]);
    const missing = 'new path: counters need a second look; old path: away';
    expect(countsOf(looks)).toEqual([missing, missing]);
  });
});
