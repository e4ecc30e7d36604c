import { expect, test } from 'vitest';
import { Span } from './span.ts';

test('a statement follows the time it should take, grows fourfold at most and shrinks at once', () => {
  const span = new Span({ firstRows: 1_000, targetMs: 1_000 });
  expect(span.rows).toBe(1_000);
  span.took(1_000, 10);
  expect(span.rows).toBe(4_000);
  span.took(4_000, 2_000);
  expect(span.rows).toBe(2_000);
  span.took(0, 500);
  expect(span.rows).toBe(2_000);
  span.tooLong(2_000);
  expect(span.rows).toBe(250);
  span.tooLong(1);
  expect(span.rows).toBe(1);
  span.took(1, 60_000);
  expect(span.rows).toBe(1);
});
