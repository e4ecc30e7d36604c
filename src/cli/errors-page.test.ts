import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, type ErrorCode, SwitchbackError } from '../messages/index.ts';
import { exitCodeOf } from './exit-code.ts';

/** The rows of docs/errors.md: code, meaning, advice, exit code. */
const rows = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  .split('\n')
  .map((line) => /^\| `(\w+)` \| (.*) \| (.*) \| (\d|–) \|$/.exec(line))
  .filter((match) => match !== null)
  .map(([, code = '', meaning = '', advice = '', exit = '']) => ({ code, meaning, advice, exit }));

describe('docs/errors.md', () => {
  it('lists each code once, and no other', () => {
    expect(rows.map(({ code }) => code).toSorted()).toEqual(Object.keys(ERROR_CODES).toSorted());
  });
  it.each(rows)('$code means there what it means in the code, and has advice', ({ code, meaning, advice }) => {
    expect(meaning).toBe(ERROR_CODES[code as ErrorCode]);
    expect(advice.length).toBeGreaterThan(20);
  });
  it.each(rows.filter(({ exit }) => exit !== '–'))('$code has exit code $exit', ({ code, exit }) => {
    expect(String(exitCodeOf(new SwitchbackError(code as ErrorCode, 'm')))).toBe(exit);
  });
});
