import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { editDistance, nearest } from './nearest.ts';

describe('did you mean', () => {
  const known = ['database', 'schema', 'lockTimeout', 'statementTimeout', 'up', 'down'];
  it.each([
    ['databse', 'database'],
    ['lock-timeout', 'lockTimeout'],
    ['lock_timout', 'lockTimeout'],
    ['Up', 'up'],
    ['scheam', 'schema'],
  ])('%s is %s', (word, meant) => expect(nearest(word, known)).toBe(meant));

  it.each(['colour', 'x', '', 'table', 'a'.repeat(1000)])('%j is nothing known', (word) => {
    expect(nearest(word, known)).toBeUndefined();
  });

  it('counts as a distance does', () => {
    expect(editDistance('abcd', 'acbd')).toBe(1);
    const word = fc.string({ maxLength: 8, unit: fc.constantFrom('a', 'b', 'c') });
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});
