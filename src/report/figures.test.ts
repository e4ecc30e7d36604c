import { describe, expect, it } from 'vitest';
import { bar, instant, progressWords, span } from './figures.ts';
import { columnsOf, fit, oneLine, wrap } from './plain-text.ts';

describe('span', () => {
  it.each([
    [0, '0s'],
    [59_400, '59s'],
    [65_000, '1m 05s'],
    [3_600_000, '1h 00m'],
    [90_000_000, '1d 01h'],
    [-5, '0s'],
  ])('%i ms is %s', (ms, text) => expect(span(ms)).toBe(text));
});

describe('bar and progressWords', () => {
  it('never says that it is done before it is', () => {
    const almost = { done: 299_999, total: 300_000, perSecond: null, etaSeconds: null };
    expect(progressWords(almost, true)).toBe('299,999 of 300,000  99%');
    expect(bar(almost, 10)).toBe('█████████░');
  });
  it('stays within its columns when more was done than was estimated', () => {
    expect(bar({ done: 12, total: 10, perSecond: null, etaSeconds: null }, 8)).toBe('████████');
  });
  it('shows what is known where the total is not', () => {
    const unknown = { done: 1500, total: null, perSecond: 2.25, etaSeconds: null };
    expect(bar(unknown, 10)).toBe('');
    expect(progressWords(unknown, true)).toBe('1,500  2.3/s');
  });
  it('takes nothing out of nothing as done', () => {
    expect(progressWords({ done: 0, total: 0, perSecond: null, etaSeconds: null }, false)).toBe('0 of 0  100%');
  });
});

describe('text on a terminal', () => {
  it('counts columns, not code units', () => {
    expect(columnsOf('Łukasz')).toBe(6);
    expect(columnsOf('e\u0301')).toBe(1);
    expect(columnsOf('東京')).toBe(4);
  });
  it('cuts with an ellipsis, never inside a character', () => {
    expect(fit('東京都', 4)).toBe('東…');
    expect(fit('abc', 3)).toBe('abc');
    expect(fit('abcd', 3)).toBe('ab…');
    expect(fit('abcd', 0)).toBe('');
  });
  it('breaks at spaces', () => {
    expect(wrap('aa bb cc', 5)).toEqual(['aa bb', 'cc']);
  });
  it('is one line without control characters', () => {
    expect(oneLine('a\u001b[31m\nb\u0000')).toBe('a[31m b');
  });
  it('shows an instant to the second, and what is none as it is', () => {
    expect(instant('2026-03-01T10:00:05.678Z')).toBe('2026-03-01 10:00:05Z');
    expect(instant('soon')).toBe('soon');
  });
});
