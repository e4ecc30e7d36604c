import { expect, test } from 'vitest';
import { type DataRoom, dataRoom, effects, users } from './room.ts';

const { backfill } = effects;
const small = { chunk: { rows: 100, fixed: true }, preserve: true };
const step = { ...small, set: { note: "coalesce(note, '') || '!'" }, where: "note IS DISTINCT FROM 'keep'" };
const images = 'SELECT count(*) FROM switchback.before_images';
const undo = (room: DataRoom, input: ReturnType<DataRoom['backfill']>, context = room.bench.context()) =>
  backfill.down({ ...input, direction: 'down' }, context);

test('rows get back what they held, but not those that clients have changed, deleted or given another key', async () => {
  const room = await dataRoom(`${users(1_000)}; UPDATE users SET note = 'n' || id WHERE id % 2 = 0`);
  const before = await room.query('SELECT * FROM public.users ORDER BY id');
  const input = room.backfill(step);
  await backfill.up(input, room.bench.context());
  expect(await room.value(images)).toBe('10');
  expect(await room.value('SELECT sum(rows) FROM switchback.before_images')).toBe('1000');
  await room.query(`UPDATE public.users SET note = 'mine' WHERE id IN (10, 11); UPDATE public.users SET full_name = 'x' WHERE id = 12;
    DELETE FROM public.users WHERE id = 500; UPDATE public.users SET id = 5000 WHERE id = 600`);
  expect((await undo(room, input)).note).toBe(
    '996 rows of 1,000 rows changed hold what they held before; 2 rows that clients have changed since kept their values; 2 rows deleted or under another key by now',
  );
  const expected = before.flatMap((row) => {
    const id = Number(row['id']);
    if (id === 500) return [];
    if (id === 10 || id === 11) return [{ ...row, note: 'mine' }];
    if (id === 12) return [{ ...row, full_name: 'x' }];
    return id === 600 ? [] : [row];
  });
  expect(await room.query('SELECT * FROM public.users WHERE id <> 5000 ORDER BY id')).toEqual(expected);
  expect(await room.value('SELECT note FROM public.users WHERE id = 5000')).toBe('n600!');
  expect(await room.value(images)).toBe('0');
});
