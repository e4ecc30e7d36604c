import { expect, test } from 'vitest';
import { BackfillProgress } from './backfill-progress.ts';

const range = (id: string, keysDone: number, open: boolean) => ({ id, keysDone, rowsDone: keysDone, open });

test('who goes on tells the speed of its own rows, not that of what was done before', () => {
  const progress = new BackfillProgress(100_000);
  progress.begin([range('1', 40_000, false), range('2', 30_000, true)], 1_000);
  expect(progress.now()).toEqual({ done: 70_000, total: 90_000, perSecond: null, etaSeconds: null });
  progress.note(range('2', 32_000, true), 2_000);
  expect(progress.now()).toEqual({ done: 72_000, total: 90_000, perSecond: 2_000, etaSeconds: 9 });
  progress.note(range('2', 50_000, false), 3_000);
  expect(progress.now()).toEqual({ done: 90_000, total: 90_000, perSecond: 10_000, etaSeconds: 0 });
  progress.count(range('2', 54_000, false));
  expect(progress.now()).toMatchObject({ done: 94_000, perSecond: 10_000 });
  progress.rested(5_000);
  expect(progress.now().perSecond).toBe(6_000);
  expect(progress.standing()).toEqual({ done: 94_000, total: 94_000, perSecond: 0, etaSeconds: null });
});
