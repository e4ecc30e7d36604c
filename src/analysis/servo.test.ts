import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CHUNK_ROWS_MAX, CHUNK_ROWS_MIN, ChunkServo } from './servo.ts';

const ten = (ms: number): number[] => Array.from({ length: 10 }, () => ms);

test('grows by 1.5 at most, up to the limit, and looks less often once it has settled', () => {
  const servo = new ChunkServo({ startRows: 1_000, targetMs: 20, fixed: false });
  const sizes = Array.from({ length: 7 }, () => {
    servo.observe(ten(4));
    return servo.rows;
  });
  expect(sizes).toEqual([1_500, 2_250, 3_375, 5_000, 5_000, 5_000, 5_000]);
  expect(servo.chunksMax).toBeGreaterThan(1_000);
});

test('steers by the p90 of the last ten, so that one slow chunk does not count', () => {
  const servo = new ChunkServo({ startRows: 1_000, targetMs: 20, fixed: false });
  servo.observe([...ten(20).slice(1), 60]);
  expect(servo.rows).toBe(1_000);
  servo.observe([...ten(20).slice(2), 40, 40]);
  expect(servo.rows).toBe(500);
});

test('a chunk of over five times the target cuts the size to a tenth at once', () => {
  const servo = new ChunkServo({ startRows: 5_000, targetMs: 20, fixed: false });
  servo.observe([101]);
  expect(servo.rows).toBe(500);
});

test('comes to the target where the time is proportional to the rows, and stays within the limits', () => {
  fc.assert(
    fc.property(
      fc.double({ min: 0.0005, max: 2, noNaN: true }),
      fc.integer({ min: 100, max: 5_000 }),
      (msPerRow, startRows) => {
        const servo = new ChunkServo({ startRows, targetMs: 20, fixed: false });
        for (let i = 0; i < 40; i++) servo.observe(ten(servo.rows * msPerRow));
        const wanted = Math.min(CHUNK_ROWS_MAX, Math.max(CHUNK_ROWS_MIN, 20 / msPerRow));
        expect(servo.rows).toBeGreaterThanOrEqual(CHUNK_ROWS_MIN);
        expect(servo.rows).toBeLessThanOrEqual(CHUNK_ROWS_MAX);
        expect(Math.abs(servo.rows - wanted) / wanted).toBeLessThan(0.15);
      },
    ),
  );
});

test('a fixed size stays', () => {
  const servo = new ChunkServo({ startRows: 7, targetMs: 20, fixed: true });
  servo.observe(ten(1_000));
  expect(servo.rows).toBe(7);
});
