import { expect, test } from 'vitest';
import { MovingRate } from './moving-rate.ts';

test('the rate is that of the last five seconds, not the mean since the start', () => {
  const rate = new MovingRate();
  expect(rate.perSecond).toBeNull();
  expect(rate.etaSeconds(10)).toBeNull();
  for (let second = 0; second <= 20; second++)
    rate.note(second * 1000, second <= 10 ? second * 100 : 1000 + (second - 10) * 10);
  expect(rate.perSecond).toBe(10);
  expect(rate.etaSeconds(95)).toBe(10);
  expect(rate.etaSeconds(0)).toBe(0);
});
