import { describe, expect, it } from 'vitest';
import { nearestNames } from './nearest-names.ts';

describe('nearestNames', () => {
  const names = ['split-full-name', 'split-address', 'drop-legacy', 'split-full-name-again'];
  it('puts the nearest first', () => {
    expect(nearestNames('split-ful-name', names)[0]).toBe('split-full-name');
  });
  it('finds a name that was cut short', () => {
    expect(nearestNames('legacy', names)).toEqual(['drop-legacy']);
  });
  it('offers nothing for what resembles nothing', () => {
    expect(nearestNames('zzzzzzzz', names)).toEqual([]);
  });
  it('offers at most three and none twice', () => {
    expect(nearestNames('split', ['split-a', 'split-b', 'split-c', 'split-d', 'split-a'])).toEqual([
      'split-a',
      'split-b',
      'split-c',
    ]);
  });
});
