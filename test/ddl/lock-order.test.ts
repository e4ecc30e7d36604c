import { expect, test } from 'vitest';
import { type DdlBench, ddlBench } from './bench.ts';
import { otherSession, ourWaiting } from './other-session.ts';

/**
 * A foreign key locks its table and then the one that it refers to. Transactions of clients that use them the other way
 * round would wait for the first while it waits for them at the second, at every try.
 */
const TABLES = `SET search_path = public;
  CREATE TABLE users (id int PRIMARY KEY, n int); INSERT INTO users SELECT i FROM generate_series(1, 10) i;
  CREATE TABLE events (id int PRIMARY KEY, user_id int, n int); INSERT INTO events SELECT i, i FROM generate_series(1, 10) i`;
const KEY = 'ALTER TABLE events ADD CONSTRAINT of_user FOREIGN KEY (user_id) REFERENCES users';

/** A client that uses the table referred to first is in its transaction until the other one is what is free. */
async function withClient(bench: DdlBench, change: () => Promise<unknown>): Promise<void> {
  const client = await otherSession(bench, 'web');
  await client.query('BEGIN; UPDATE public.users SET n = 1 WHERE id = 1');
  const changed = change();
  const pid = await ourWaiting(bench, 'LOCK TABLE ONLY');
  const held = await bench.database.query(
    `SELECT mode FROM pg_locks WHERE pid = $1::int AND relation = 'public.events'::regclass AND granted AND mode LIKE '%Exclusive%'`,
    [pid],
  );
  expect(held).toEqual([]);
  await client.query('UPDATE public.events SET n = 1 WHERE id = 1; COMMIT');
  await changed;
}

test('every second try locks first what the foreign key refers to, on the way up and back', async () => {
  const bench = await ddlBench(TABLES);
  const before = await bench.schema();
  const step = bench.step(KEY);
  await withClient(bench, () => bench.up(step));
  expect(await bench.schema()).not.toEqual(before);
  await withClient(bench, () => bench.down(step));
  expect(await bench.schema()).toEqual(before);
});
