import { expect, test } from 'vitest';
import { endLease, renewLease } from '../../src/adapters/postgres/budget.ts';
import { type DataRoom, dataRoom, effects } from './room.ts';
import { CHUNKS, ratesInForce, until } from './throttle-room.ts';

const { backfill } = effects;

const people = (rows: number): string => `
CREATE TABLE users (id int PRIMARY KEY, a int, b int);
INSERT INTO users SELECT i FROM generate_series(1, ${rows}) i;
ANALYZE users`;

const step = { set: { a: '1' }, chunk: { rows: 20, fixed: true } };
const everyRowOnce = async (room: DataRoom, rows: number): Promise<void> => {
  expect(await room.value('SELECT count(*) FROM public.users WHERE a = 1')).toBe(String(rows));
  expect(await room.value('SELECT sum(rows) FROM public.chunks')).toBe(String(rows));
};

test('a pace that falls and rises in mid-walk is in force by the next chunk, for all ranges, and no row is lost', async () => {
  const room = await dataRoom(`${people(6_000)}; ${CHUNKS}`);
  const other = { run: room.bench.run({ migration: 'other' }), step: 'fill' };
  const shared = Promise.withResolvers<string>();
  const stop = new AbortController();
  const walking = backfill.up(
    room.backfill({ ...step, parallelism: 2, throttle: { maxRowsPerSecond: 1_000 } }),
    room.bench.context({ signal: stop.signal, onNote: (note) => note.includes('shares') && shared.resolve(note) }),
  );
  walking.catch(shared.reject);
  await until(room.database, 'SELECT n FROM public.chunks LIMIT 1');
  await renewLease(room.database, other, { parallelism: 1, moving: true });
  expect(await shared.promise).toBe('shares app with migration other: half speed; capped at 1,000 rows/s');
  const slow = await until(room.database, 'SELECT n FROM public.chunks WHERE rate = 250 LIMIT 1');
  await endLease(room.database, other);
  await until(room.database, `SELECT n FROM public.chunks WHERE rate = 500 AND n > ${slow} LIMIT 1`);
  stop.abort(new Error('seen'));
  await expect(walking).rejects.toThrow('seen');
  await backfill.up(room.backfill({ ...step, parallelism: 2 }), room.bench.context());
  expect(await ratesInForce(room.database)).toEqual([500, 250, 500, null]);
  await everyRowOnce(room, 6_000);
});

test('gentle: chunks of a hundred rows, one range at a time, whatever the plan says of both', async () => {
  const room = await dataRoom(`${people(3_000)}; ${CHUNKS}`);
  const input = room.backfill({ ...step, chunk: { rows: 1_000 }, parallelism: 4, throttle: { gentle: true } });
  await backfill.up(input, room.bench.context());
  expect(room.bench.notes).toContain('gentle: small chunks, one at a time, and longer rests than work');
  expect(await room.value('SELECT max(rows) FROM public.chunks')).toBe('100');
  await everyRowOnce(room, 3_000);
});

test('two migrations walk through one database, each at half speed while the other does', async () => {
  const room = await dataRoom(`${people(2_000)}; ${CHUNKS}`);
  const of = (migration: string, set: Record<string, string>) => {
    const input = room.backfill({ ...step, set, throttle: { maxRowsPerSecond: 1_000 } });
    return { ...input, run: room.bench.run({ migration }) };
  };
  await room.database.query("INSERT INTO switchback.fences VALUES ('first', 1), ('second', 1)");
  await Promise.all(
    [of('first', { a: '1' }), of('second', { b: '1' })].map((input) => backfill.up(input, room.bench.context())),
  );
  for (const name of ['first', 'second'])
    expect(room.bench.notes).toContain(`shares app with migration ${name}: half speed; capped at 1,000 rows/s`);
  expect(await room.value('SELECT count(*) FROM public.users WHERE a = 1 AND b = 1')).toBe('2000');
  expect(await room.query('SELECT FROM switchback.budget')).toEqual([]);
});
