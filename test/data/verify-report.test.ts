import { expect, onTestFinished, test } from 'vitest';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { dataRoom, effects } from './room.ts';

const { verify } = effects;

/** Amounts in cents beside the old ones, by region; three rows of two regions are wrong. */
const ORDERS = `
CREATE TABLE users (id int PRIMARY KEY, region text, amount numeric(12, 2), cents bigint, rate float8, rate_text text);
INSERT INTO users SELECT i, CASE WHEN i % 7 = 0 THEN NULL ELSE 'r' || i % 3 END, i + 0.25, (i + 0.25) * 100, 1.0::float8 / i, (1.0::float8 / i)::text FROM generate_series(1, 300) i;
UPDATE users SET cents = cents + 5 WHERE id IN (1, 4);
UPDATE users SET cents = NULL WHERE id = 7;
ANALYZE users`;
const EXPECT = { cents: '(amount * 100)::bigint', rate: 'rate_text::float8' };

test('aggregates name the groups that differ before the rows are found', async () => {
  const room = await dataRoom(ORDERS);
  const aggregates = [
    { sum: 'cents', count: 'cents', by: 'region' },
    { sum: 'rate', min: 'rate_text', max: 'region', count: '*' },
  ];
  const step = room.verify({ expect: EXPECT, aggregates, onMismatch: 'fail' });
  const words = 'sum of cents and count of cents by region differ in 2 groups: r1, NULL';
  await expect(verify.up(step, room.bench.context())).rejects.toMatchObject({
    code: 'VerifyMismatch',
    message: `3 of 300 rows differ from what step "check" expects: key 1, 4, 7; ${words}`,
  });
  expect(room.bench.notes[0]).toBe(words);
  const repair = room.verify({ id: 'mend', expect: EXPECT, aggregates });
  expect((await verify.up(repair, room.bench.context())).note).toBe('0 of 300 rows differ (2 passes, 3 repaired)');
});

test('showValues tells what differing rows and groups hold, but never of a table labelled pii', async () => {
  const room = await dataRoom(ORDERS);
  const step = { expect: EXPECT, aggregates: [{ sum: 'cents', by: 'region' }], showValues: true, onMismatch: 'fail' };
  await expect(verify.up(room.verify(step), room.bench.context())).rejects.toMatchObject({
    message: `3 of 300 rows differ from what step "check" expects: key 1, 4, 7; 1: cents is '130', not '125'; 4: cents is '430', not '425'; 7: cents is NULL, not '725'; sum of cents by region differs in 2 groups: r1 (sum 1296260, not sum 1296250), NULL (sum 632425, not sum 633150)`,
  });
  const databases = new Databases({ app: { url: room.url, labels: { users: ['pii'] } } });
  onTestFinished(() => databases.close());
  const labelled = verify.up(room.verify({ ...step, id: 'labelled' }), room.bench.context({ databases }));
  const error = await labelled.catch((caught: unknown) => caught as Error);
  expect(error).toMatchObject({ code: 'VerifyMismatch' });
  const { message } = error as Error;
  expect(message).toContain('values are not shown: the table is labelled pii');
  expect(message).toContain('sum of cents by region differs in 2 groups: ');
  expect(message).not.toMatch(/r1|'130'|1296260|key 1,/);
});

test('a long value is cut off, and at most 20 rows are shown', async () => {
  const room = await dataRoom(`CREATE TABLE users (id int PRIMARY KEY, a text, b text);
    INSERT INTO users SELECT i, repeat('ab', 200), 'b' FROM generate_series(1, 30) i`);
  const step = room.verify({ expect: { b: 'a' }, showValues: true, onMismatch: 'fail' });
  const error = await verify.up(step, room.bench.context()).catch((caught: unknown) => caught as Error);
  expect(error).toBeInstanceOf(Error);
  const message = (error as Error).message;
  expect(message.match(/b is 'b', not '(ab){30}…'/g)).toHaveLength(20);
  expect(message).toContain('30 of 30 rows differ');
});
