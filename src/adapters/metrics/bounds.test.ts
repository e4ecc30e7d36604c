import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compare } from './bounds.ts';

describe('compare', () => {
  test.each([
    ['0', { max: 0 }, true, '0 ≤ 0'],
    ['1', { max: 0 }, false, '1 not ≤ 0'],
    ['12.5', { min: 10, max: 13 }, true, '12.5 ≤ 13, ≥ 10'],
    ['7', { equals: 7 }, true, '7 = 7'],
    ['t', { equals: true }, true, 'a text = true'],
    ['f', { equals: false }, true, 'a text = false'],
    ['maybe', { equals: false }, false, 'a text not false'],
    [null, { equals: null }, true, 'NULL = null'],
    [null, { max: 5 }, false, 'NULL not ≤ 5'],
    ['', { max: 5 }, false, 'a text not ≤ 5'],
    ['NaN', { min: 0 }, false, 'a text not ≥ 0'],
    ['+Inf', { max: 5 }, false, '+Inf not ≤ 5'],
    ['-Inf', { max: 5 }, true, '-Inf ≤ 5'],
  ])('%s against %o', (value, bounds, holds, reason) => {
    expect(compare(value, bounds)).toMatchObject({ holds, reason });
  });

  test("never repeats a text, which may be somebody's data", () => {
    const reading = compare('ana@example.com', { equals: 'bo@example.com' });
    expect(JSON.stringify(reading)).not.toContain('@');
  });

  test('is within max and min exactly where the number is', () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), fc.integer(), (value, min, max) => {
        expect(compare(String(value), { min, max }).holds).toBe(value >= min && value <= max);
      }),
    );
  });
});
