import { expect, test } from 'vitest';
import { dataRoom, effects, users } from './room.ts';

const { dualWrite, backfill } = effects;
const row = (id: number): string =>
  `SELECT full_name, given_name, family_name, note FROM public.users WHERE id = ${id}`;

test('old and new clients see each other, migrated or not', async () => {
  const room = await dataRoom(users(20));
  expect(await dualWrite.up(room.dualWrite(), room.bench.context())).toMatchObject({
    note: expect.stringContaining('kept in step'),
  });
  // An old client and an unmigrated row.
  await room.query("UPDATE public.users SET full_name = 'Grace Hopper' WHERE id = 1");
  expect(await room.query(row(1))).toEqual([
    { full_name: 'Grace Hopper', given_name: 'Grace', family_name: 'Hopper', note: null },
  ]);
  // A new client writes half of the new side of an unmigrated row: the other half comes from the old side.
  await room.query("UPDATE public.users SET given_name = 'Anna' WHERE id = 6");
  expect(await room.query(row(6))).toEqual([
    { full_name: 'Anna Lovelace6', given_name: 'Anna', family_name: 'Lovelace6', note: null },
  ]);
  // Lossy down, then an old client touches an unrelated column: the new value stays.
  await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id = 4");
  await room.query("UPDATE public.users SET note = 'x' WHERE id = 4");
  expect(await room.query(row(4))).toEqual([
    { full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard', note: 'x' },
  ]);
  // Inserts from either side; a new client's NULL stays NULL.
  await room.query("INSERT INTO public.users (id, full_name) VALUES (100, 'Alan Turing')");
  await room.query("INSERT INTO public.users (id, given_name) VALUES (101, 'Plato')");
  expect(await room.query(row(100))).toEqual([
    { full_name: 'Alan Turing', given_name: 'Alan', family_name: 'Turing', note: null },
  ]);
  expect(await room.query(row(101))).toEqual([
    { full_name: 'Plato', given_name: 'Plato', family_name: null, note: null },
  ]);
  await backfill.up(room.backfill(), room.bench.context());
  await room.query('UPDATE public.users SET family_name = NULL WHERE id = 11');
  await room.query("UPDATE public.users SET note = 'y' WHERE id = 11");
  expect(await room.query(row(11))).toEqual([{ full_name: 'Ada', given_name: 'Ada', family_name: null, note: 'y' }]);
});
