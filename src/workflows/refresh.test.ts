import { describe, expect, it } from 'vitest';
import { EVENTS_PER_REFRESH, refreshEveryMs } from './refresh.ts';

const DAY_MS = 86_400_000;
const EVENTS_PER_DAY_MAX = 500;

describe('refreshEveryMs', () => {
  it('costs no day more than 500 events, the first one included', () => {
    const refreshes: number[] = [];
    for (let at = 0; at < 5 * DAY_MS; at += refreshEveryMs(at)) refreshes.push(Math.floor(at / DAY_MS));
    for (const day of [0, 1, 2, 3, 4]) {
      const events = refreshes.filter((of) => of === day).length * EVENTS_PER_REFRESH;
      expect(events).toBeLessThanOrEqual(EVENTS_PER_DAY_MAX);
      expect(events).toBeGreaterThan(0);
    }
  });

  it('comes every minute in the first minutes', () => {
    expect([0, 60_000, 180_000].map(refreshEveryMs)).toEqual([60_000, 60_000, 60_000]);
  });
});
