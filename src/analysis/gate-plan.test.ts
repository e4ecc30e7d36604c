import { describe, expect, test, vi } from 'vitest';
import { logPassEvidence, newPassProcess, PASS_AT, passAfterWindow } from './gate-pass.ts';
import { POWER, requestsToPass, requestsToSee } from './gate-plan.ts';
import { afterWindow, newRollBackProcess, rollBackAt } from './gate-process.ts';
import type { Window } from './gate-window.ts';
import { randomOf, type Traffic, windowOf } from './simulated-traffic.test-data.ts';

/** Seconds by themselves; a busy machine takes its time. */
vi.setConfig({ testTimeout: 60_000 });

const ALPHA = 0.05;
const RUNS = 400;
const WINDOWS = 40;
const SEED = 5;
const SIGMA = Math.sqrt((POWER * (1 - POWER)) / RUNS);

/** In which part of simulated rollouts a gate has seen what it looks for by half of the requests, and by all of them. */
function seenBy(requests: number, traffic: Omit<Traffic, 'requests'>, gate: () => (window: Window) => boolean) {
  const random = randomOf(SEED);
  const seen = { half: 0, all: 0 };
  for (let run = 0; run < RUNS; run++) {
    const look = gate();
    for (let k = 0; k < WINDOWS; k++) {
      if (!look(windowOf(random, { ...traffic, requests: Math.ceil(requests / WINDOWS) }))) continue;
      seen.all += 1 / RUNS;
      if (k < WINDOWS / 2) seen.half += 1 / RUNS;
      break;
    }
  }
  return seen;
}
/** What the formula says is enough is enough in 95 of 100 rollouts, and half of it is not. */
function expectJust(seen: { half: number; all: number }): void {
  expect(seen.all, `seed ${SEED}`).toBeGreaterThanOrEqual(POWER - 3 * SIGMA);
  expect(seen.half, `seed ${SEED}`).toBeLessThan(POWER - 3 * SIGMA);
}

describe('what the formula says is what simulated rollouts need', () => {
  test.each([
    [0.01, 0.01, 1],
    [0.05, 0.01, 1],
    [0.05, 0.001, 3],
    [0.1, 0.1, 1],
    [0.5, 0.01, 1],
    [0.9, 0.01, 2],
  ])('to roll back, with a share of %d and a rate of %d; metrics: %d', (share, rate, metrics) => {
    const size = requestsToSee({ ratio: 2, share, alpha: ALPHA, metrics, rate });
    const gate = () => {
      let process = newRollBackProcess();
      return (window: Window): boolean => {
        process = afterWindow(process, window);
        return process.peakLogE >= Math.log(rollBackAt(ALPHA, metrics));
      };
    };
    expectJust(seenBy(size?.requests ?? 0, { share, oldRate: rate, newRate: 2 * rate }, gate));
  });

  test.each([
    [0.05, 0.01, 1.5, 1],
    [0.25, 0.01, 2, 1],
    [0.5, 0.1, 1.5, 1.1],
  ])(
    'to pass, with a share of %d, a rate of %d, a margin of %d and a real ratio of %d',
    (share, rate, margin, ratio) => {
      const size = requestsToPass({ margin, ratio, share, rate });
      const gate = () => {
        let process = newPassProcess(margin);
        return (window: Window): boolean => {
          process = passAfterWindow(process, window);
          return logPassEvidence(process) >= Math.log(PASS_AT);
        };
      };
      expectJust(seenBy(size?.requests ?? 0, { share, oldRate: rate, newRate: ratio * rate }, gate));
    },
  );
});

test('what there is no evidence for takes for ever', () => {
  const see = { ratio: 2, share: 0.1, alpha: ALPHA, metrics: 1, rate: 0.01 };
  expect(requestsToSee(see)).toEqual({ bad: 410, requests: 37_273 });
  for (const share of [0, 1]) expect(requestsToSee({ ...see, share })).toBeNull();
  expect(requestsToSee({ ...see, ratio: 1 })).toBeNull();
  expect(requestsToPass({ margin: 1.5, ratio: 1.5, share: 0.1, rate: 0.01 })).toBeNull();
  expect(requestsToPass({ margin: 1.5, ratio: 2, share: 0.1, rate: 0.01 })).toBeNull();
});

test('more is needed for less: of a difference, of alpha, of traffic on the new path', () => {
  const see = { ratio: 2, share: 0.1, alpha: ALPHA, metrics: 1, rate: 0.01 };
  const bad = (more: Partial<typeof see>): number => requestsToSee({ ...see, ...more })?.bad ?? Number.NaN;
  expect(bad({ ratio: 1.5 })).toBeGreaterThan(bad({}));
  expect(bad({ ratio: 4 })).toBeLessThan(bad({}));
  expect(bad({ alpha: 0.01 })).toBeGreaterThan(bad({}));
  expect(bad({ metrics: 5 })).toBe(bad({ alpha: 0.01 }));
  expect(bad({ share: 0.02 })).toBeGreaterThan(bad({}));
  expect(bad({ rate: 0.5 })).toBe(bad({}));
});
