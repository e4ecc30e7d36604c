import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AcrossRoom, acrossRoom } from './across-room.ts';

let room: AcrossRoom;
beforeAll(async () => {
  room = await acrossRoom();
});
afterAll(() => room.close());

/** `rows` people with ids from 1, in a table of this name. */
const people = (table: string, rows = 3_000): string => `
CREATE TABLE ${table} (id bigint PRIMARY KEY, name text, city text, note text);
INSERT INTO ${table} SELECT i, 'Name ' || i, CASE WHEN i % 7 > 0 THEN 'City ' || i % 7 END, 'n' FROM generate_series(1, ${rows}) i;
ANALYZE ${table}`;
const COLUMNS = ['name', 'city', 'note'];
/** The same table on both sides, compared under its own name. */
const sides = (table: string, columns: unknown = COLUMNS) => ({
  id: table.replaceAll('_', '-'),
  left: { database: 'left', table, columns },
  right: { database: 'right', table, columns },
});

test('equal tables are clean in one pass, and the second call only says so', async () => {
  await room.make(people('same'), people('same'));
  const clean = { note: '0 of 3,000 rows differ (1 pass)', progress: expect.objectContaining({ done: 3_000 }) };
  expect(await room.verify({ ...sides('same'), chunk: { rows: 500 } })).toEqual(clean);
  expect((await room.verify(sides('same'))).note).toBe(clean.note);
});

test('every kind of difference is found, by its key', async () => {
  await room.make(people('planted', 6_000), people('planted', 6_000));
  await room.query(
    'right',
    `DELETE FROM public.planted WHERE id IN (1, 6000);
     INSERT INTO public.planted VALUES (-5, 'before the first'), (7000, 'after the last');
     UPDATE public.planted SET name = 'other' WHERE id = 20;
     UPDATE public.planted SET city = '' WHERE id = 28;
     UPDATE public.planted SET name = city, city = name WHERE id = 31;
     UPDATE public.planted p SET name = q.name FROM public.planted q
       WHERE (p.id = 41 AND q.id = 42) OR (p.id = 42 AND q.id = 41)`,
  );
  const step = { ...sides('planted'), onMismatch: 'fail', chunk: { rows: 1_000 } };
  await expect(room.verify(step)).rejects.toMatchObject({
    code: 'VerifyMismatch',
    retry: false,
    fields: { differing: 9 },
  });
  const keys = await room.verify(step).catch((error: { fields: { keys: string } }) => error.fields.keys);
  expect(String(keys).split(', ').toSorted()).toEqual(
    ['-5', '1', '20', '28', '31', '41', '42', '6000', '7000'].toSorted(),
  );
});

test('the right side is made like the left, and a whole clean pass follows', async () => {
  await room.make(people('mended'), people('mended'));
  await room.query(
    'right',
    `DELETE FROM public.mended WHERE id IN (1, 3000); INSERT INTO public.mended VALUES (-5, 'extra'), (9000, 'extra');
     UPDATE public.mended SET name = 'other', note = NULL WHERE id IN (20, 2000)`,
  );
  const result = await room.verify({ ...sides('mended'), chunk: { rows: 500 } });
  expect(result.note).toBe('0 of 3,000 rows differ (2 passes, 6 repaired)');
  const rows = 'SELECT count(*), bit_xor(hashtextextended(m::text, 0)) FROM public.mended m';
  expect(await room.query('right', rows)).toEqual(await room.query('left', rows));
  expect(
    await room.query(
      'right',
      `SELECT lower_key[1] AS key, rows_changed AS rows, before_digest = 0 AS was_missing, after_digest = 0 AS is_gone
       FROM switchback.lineage WHERE step = 'mended' ORDER BY 1`,
    ),
  ).toEqual([
    { key: '-5', rows: '1', was_missing: 'f', is_gone: 't' },
    { key: '1', rows: '1', was_missing: 't', is_gone: 'f' },
    { key: '20', rows: '1', was_missing: 'f', is_gone: 'f' },
    { key: '2000', rows: '1', was_missing: 'f', is_gone: 'f' },
    { key: '3000', rows: '1', was_missing: 't', is_gone: 'f' },
    { key: '9000', rows: '1', was_missing: 'f', is_gone: 't' },
  ]);
});
