import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

/** The cases that design and docs count from 1; each is in the name of at least one test. */
const CASES = 20;

test('each of the cases that must pass has a test of its number', () => {
  const root = join(import.meta.dirname, '..');
  const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
  const named = files.flatMap((name) =>
    [...readFileSync(join(root, name), 'utf8').matchAll(/'must pass (\d+)\. /g)].map((match) => Number(match[1])),
  );
  const numbers = Array.from({ length: CASES }, (_, index) => index + 1);
  expect(numbers.filter((number) => !named.includes(number))).toEqual([]);
});
