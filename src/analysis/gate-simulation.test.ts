import { describe, expect, test, vi } from 'vitest';
import { logPassEvidence, newPassProcess, PASS_AT, passAfterWindow } from './gate-pass.ts';
import { afterWindow, newRollBackProcess, rollBackAt } from './gate-process.ts';
import type { Window } from './gate-window.ts';
import { binomial, type Random, randomOf, type Traffic, windowOf } from './simulated-traffic.test-data.ts';

/** Seconds by themselves; a busy machine takes its time. */
vi.setConfig({ testTimeout: 60_000 });

/**
 * The numbers of the rules: alpha 0.05, a look a minute for an hour. Each simulation is seeded by its number, and a
 * figure that fails is told with it.
 */
const ALPHA = 0.05;
const LOOKS = 60;
const RUNS = 1_000;
const SIGMA = Math.sqrt((ALPHA * (1 - ALPHA)) / RUNS);
const BOUND = ALPHA + 3 * SIGMA;

/** Takes windows one by one, and says after each whether the new path is to go. */
type Gate = () => (window: Window) => boolean;
type Service = (look: number, random: Random) => Window;

const eProcess: Gate = () => {
  let process = newRollBackProcess();
  return (window) => {
    process = afterWindow(process, window);
    return process.peakLogE >= Math.log(rollBackAt(ALPHA, 1));
  };
};

/** What many canaries do: a one-sided z-test of two proportions on all counts so far, made again at each look. */
const Z_95 = 1.645;
const naive: Gate = () => {
  const [fresh, old] = [
    { total: 0, bad: 0 },
    { total: 0, bad: 0 },
  ];
  return (window) => {
    for (const [sum, counts] of [[fresh, window.new] as const, [old, window.old] as const]) {
      sum.total += counts.total;
      sum.bad += counts.bad;
    }
    const pooled = (fresh.bad + old.bad) / (fresh.total + old.total);
    const sd = Math.sqrt(pooled * (1 - pooled) * (1 / fresh.total + 1 / old.total));
    return sd > 0 && (fresh.bad / fresh.total - old.bad / old.total) / sd > Z_95;
  };
};

/** The share of simulated rollouts that a gate ends within the hour. */
function rolledBack(gate: Gate, service: Service, seed: number): number {
  const random = randomOf(seed);
  let ended = 0;
  for (let run = 0; run < RUNS; run++) {
    const look = gate();
    for (let k = 0; k < LOOKS; k++) {
      if (!look(service(k, random))) continue;
      ended++;
      break;
    }
  }
  return ended / RUNS;
}

const RAMP = (look: number): number => (look < 15 ? 0.05 : look < 30 ? 0.25 : 0.5);
const service =
  (traffic: (look: number, random: Random) => Partial<Traffic> & { rate: number; ratio?: number }): Service =>
  (look, random) => {
    const { rate, ratio = 1, ...more } = traffic(look, random);
    return windowOf(random, { requests: 2_000, share: 0.1, oldRate: rate, newRate: rate * ratio, ...more });
  };
/** From 0.2 % up to 5 % and back within the hour. */
const drifting = (look: number): number => 0.002 + 0.048 * Math.sin((Math.PI * look) / LOOKS) ** 2;

const shadow: Service = (_, random) => {
  const total = 500;
  const together = binomial(random, total, 0.01);
  const alone = (): number => binomial(random, total - together, 0.005);
  return { old: { total, bad: together + alone() }, new: { total, bad: together + alone() } };
};

/** Rollouts of a path that is no worse. */
const HEALTHY: [string, Service][] = [
  ['constant, 1 %', service(() => ({ rate: 0.01 }))],
  ['constant, 1 %, half on the new path', service(() => ({ rate: 0.01, share: 0.5 }))],
  ['constant, 0.1 %, 5 % on the new path', service(() => ({ rate: 0.001, share: 0.05 }))],
  ['constant, 30 %', service(() => ({ rate: 0.3, requests: 400 }))],
  ['little traffic', service(() => ({ rate: 0.02, requests: 60 }))],
  ['drifting', service((look) => ({ rate: drifting(look) }))],
  ['a ramp', service((look) => ({ rate: 0.01, share: RAMP(look) }))],
  ['a ramp under a drifting rate', service((look) => ({ rate: drifting(look), share: RAMP(look) }))],
  ['a ramp with traffic that rises', service((look) => ({ rate: 0.01, share: RAMP(look), requests: 200 + 40 * look }))],
  ['outages that hit both paths', service((_, random) => ({ rate: random() < 0.1 ? 0.4 : 0.01, requests: 500 }))],
  ['both paths called for each request, failing together more often than not', shadow],
  ['a better path', service(() => ({ rate: 0.02, ratio: 0.8 }))],
];

const NAIVE_TRIED = ['constant, 1 %', 'constant, 30 %', 'a ramp', 'a ramp under a drifting rate'];

describe('a healthy path is rolled back in at most alpha of all rollouts, with a look a minute', () => {
  test.each(HEALTHY)('%s', (_, healthy) => {
    const seed = 1;
    expect(rolledBack(eProcess, healthy, seed), `seed ${seed}`).toBeLessThanOrEqual(BOUND);
  });

  test('the bound is not met by doing nothing: a path that is a little worse goes over it', () => {
    const worse = service(() => ({ rate: 0.01, ratio: 1.3, share: 0.5 }));
    expect(rolledBack(eProcess, worse, 2)).toBeGreaterThan(0.2);
  });

  test('a z-test that is made again at each look fails this test', () => {
    for (const [name, healthy] of HEALTHY.filter(([what]) => NAIVE_TRIED.includes(what))) {
      expect(rolledBack(naive, healthy, 1), name).toBeGreaterThan(BOUND);
    }
  });
});

describe('a doubled error rate is found within the hour at 2,000 requests a minute, in 99 of 100 rollouts', () => {
  test.each<[string, Service]>([
    ['1 %, with 5 % on the new path', service(() => ({ rate: 0.01, ratio: 2, share: 0.05 }))],
    ['0.5 %, with 10 %', service(() => ({ rate: 0.005, ratio: 2 }))],
    ['0.5 %, on a ramp', service((look) => ({ rate: 0.005, ratio: 2, share: RAMP(look) }))],
    ['drifting, on a ramp', service((look) => ({ rate: drifting(look), ratio: 2, share: RAMP(look) }))],
    ['30 %, with 5 %', service(() => ({ rate: 0.3, ratio: 2, share: 0.05 }))],
    [
      '1 %, healthy at first: doubled in the last half hour',
      service((look) => ({ rate: 0.01, ratio: look < 30 ? 1 : 2, share: RAMP(look) })),
    ],
  ])('%s', (_, doubled) => {
    expect(rolledBack(eProcess, doubled, 3), 'seed 3').toBeGreaterThanOrEqual(0.99);
  });
});

describe('passing', () => {
  const MARGIN = 1.5;
  const passing: Gate = () => {
    let process = newPassProcess(MARGIN);
    return (window) => {
      process = passAfterWindow(process, window);
      return logPassEvidence(process) >= Math.log(PASS_AT);
    };
  };
  const half = (rate: number, ratio: number, requests = 2_000): Service =>
    service((look) => ({ rate, ratio, requests, share: look < 10 ? 0.1 : 0.5 }));

  test.each<[string, Service]>([
    ['just as bad as the margin, 1 %', half(0.01, MARGIN)],
    ['just as bad as the margin, 30 %', half(0.3, MARGIN, 400)],
    ['worse than the margin', half(0.01, 2)],
    ['as bad as the margin, drifting', service((look) => ({ rate: drifting(look), ratio: MARGIN, share: RAMP(look) }))],
  ])('%s: in at most 1 of 20 rollouts, at any look', (_, bad) => {
    expect(rolledBack(passing, bad, 4), 'seed 4').toBeLessThanOrEqual(1 / PASS_AT + 3 * SIGMA);
  });

  test('a path that is as good as the old one passes', () => {
    expect(rolledBack(passing, half(0.01, 1), 5)).toBeGreaterThan(0.95);
  });

  test('the margin is one of rates, not of odds: odds of 1.5 times at 30 % are 1.3 times the rate, which passes', () => {
    const odds = (MARGIN * 0.3) / 0.7;
    const ratio = odds / (1 + odds) / 0.3;
    expect(ratio).toBeCloseTo(1.304, 3);
    expect(rolledBack(passing, half(0.3, ratio), 6)).toBeGreaterThan(0.5);
  });
});

describe('one user who retries twenty times', () => {
  const RETRIES = 20;
  /** A user whose request fails tries again and again, and fails; users fail equally often on both paths. */
  const users = service(() => ({ rate: 0.01, share: 0.25 }));
  const counted =
    (times: number): Service =>
    (look, random) => {
      const { old, new: fresh } = users(look, random);
      const all = ({ total, bad }: Window['old']): Window['old'] => ({
        total: total + bad * (times - 1),
        bad: bad * times,
      });
      return { old: all(old), new: all(fresh) };
    };

  test('counted by requests, a healthy path is rolled back far more often than alpha allows', () => {
    expect(rolledBack(eProcess, counted(RETRIES), 7)).toBeGreaterThan(5 * ALPHA);
  });

  test('counted by users, the bound holds', () => {
    expect(rolledBack(eProcess, users, 7), 'seed 7').toBeLessThanOrEqual(BOUND);
  });
});

test('the simulation itself: binomial counts have the mean and the variance that they should', () => {
  const random = randomOf(8);
  for (const [n, p] of [
    [2_000, 0.01],
    [50, 0.3],
    [40, 0.9],
    [1, 0.5],
  ] as const) {
    const draws = Array.from({ length: 20_000 }, () => binomial(random, n, p));
    const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
    const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws.length;
    expect(Math.abs(mean - n * p)).toBeLessThan(5 * Math.sqrt((n * p * (1 - p)) / draws.length));
    expect(variance / (n * p * (1 - p))).toBeGreaterThan(0.95);
    expect(variance / (n * p * (1 - p))).toBeLessThan(1.05);
    expect(draws.every((x) => x >= 0 && x <= n)).toBe(true);
  }
  expect([binomial(random, 10, 0), binomial(random, 10, 1)]).toEqual([0, 10]);
});
