import { expect, test } from 'vitest';
import { filled, MERGE_STEP, MERGE_TABLES, SPLIT_STEP, SPLIT_TABLES, syncHall } from './table-sync-room.ts';

const hall = syncHall();
const pair = (id: number): string =>
  `SELECT u.bio, u.city, p.about, p.place, p.user_id IS NOT NULL AS there FROM %.users u LEFT JOIN %.profiles p ON p.user_id = u.id WHERE u.id = ${id}`;

test('split: what an old client writes is in the new table at once, and the other way round', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(5)}`);
  const { note } = await room.sync(SPLIT_STEP).up();
  expect(note).toContain(`rows of "${room.schema}"."profiles" come and go with those of "${room.schema}"."users"`);
  await room.query("INSERT INTO %.users (id, email, bio, city) VALUES (10, 'x', 'writes', 'oslo')");
  expect(await room.query(pair(10))).toEqual([
    { bio: 'writes', city: 'oslo', about: 'writes', place: 'OSLO', there: 't' },
  ]);
  await room.query("UPDATE %.users SET city = 'rome' WHERE id = 10");
  expect(await room.query(pair(10))).toMatchObject([{ about: 'writes', place: 'ROME' }]);
  await room.query("UPDATE %.profiles SET about = 'reads', place = 'Paris' WHERE user_id = 10");
  expect(await room.query(pair(10))).toMatchObject([{ bio: 'reads', city: 'paris', about: 'reads', place: 'Paris' }]);
  // Lossy: an old client's unrelated write leaves the new value as it is.
  await room.query('UPDATE %.users SET visits = visits + 1 WHERE id = 10');
  expect(await room.query(pair(10))).toMatchObject([{ city: 'paris', place: 'Paris' }]);
  // A row that nobody has migrated: written by an old client, then another one left as it is.
  await room.query("UPDATE %.users SET bio = 'early' WHERE id = 1");
  expect(await room.query(pair(1))).toMatchObject([{ about: 'early', place: 'OSLO 1' }]);
  await room.query('UPDATE %.users SET visits = visits + 1 WHERE id = 2');
  expect(await room.query(pair(2))).toMatchObject([{ there: 'f' }]);
  // A new client that writes half of the new side of such a row loses nothing of the other half.
  await room.query("INSERT INTO %.profiles (user_id, about) VALUES (4, 'half')");
  expect(await room.query(pair(4))).toMatchObject([{ bio: 'half', city: 'oslo 4', about: 'half', place: 'OSLO 4' }]);
});

test('split: a new client makes the user and its profile; what we had made gives way', async () => {
  const room = await hall.room(SPLIT_TABLES);
  await room.sync(SPLIT_STEP).up();
  await room.query("INSERT INTO %.users (id, email) VALUES (1, 'x')");
  expect(await room.query(pair(1))).toMatchObject([{ there: 't', about: null }]);
  expect(
    await room.query(
      "INSERT INTO %.profiles (user_id, about, place) VALUES (1, 'mine', 'Bonn') RETURNING about, theme",
    ),
  ).toEqual([{ about: 'mine', theme: 'light' }]);
  expect(await room.query(pair(1))).toMatchObject([{ bio: 'mine', city: 'bonn', place: 'Bonn' }]);
  // A second one is a duplicate, as it would be later.
  await expect(room.query("INSERT INTO %.profiles (user_id, about) VALUES (1, 'again')")).rejects.toMatchObject({
    fields: { sqlState: '23505' },
  });
  await room.query('DELETE FROM %.profiles WHERE user_id = 1');
  expect(await room.query(pair(1))).toEqual([{ bio: null, city: null, about: null, place: null, there: 'f' }]);
  await room.query("UPDATE %.users SET bio = 'again' WHERE id = 1");
  expect(await room.query(pair(1))).toMatchObject([{ about: 'again', there: 't' }]);
  await room.query('DELETE FROM %.users');
  expect(await room.value('SELECT count(*) FROM %.profiles')).toBe('0');
});

test('split: the pair follows a key, and whoever wrote last stays the one who counts', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(3)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await room.query("INSERT INTO %.users (id, email, bio, city) VALUES (10, 'x', 'b', 'oslo')");
  await room.query("UPDATE %.profiles SET place = 'Oslo', theme = 'dark' WHERE user_id = 10");
  await room.query('UPDATE %.users SET id = 11 WHERE id = 10');
  expect(await room.query('SELECT user_id, place, theme FROM %.profiles')).toEqual([
    { user_id: '11', place: 'Oslo', theme: 'dark' },
  ]);
  await room.query("UPDATE %.users SET id = 12, city = 'rome' WHERE id = 11");
  expect(await room.query('SELECT user_id, place, theme FROM %.profiles')).toEqual([
    { user_id: '12', place: 'ROME', theme: 'dark' },
  ]);
  // A row that had no pair gets it at its new key.
  await room.query('UPDATE %.users SET id = 20 WHERE id = 2');
  expect(await room.query(pair(20))).toMatchObject([{ about: 'bio 2', place: 'OSLO 2' }]);
});

test('merge: rows of the new table stay, take in what the old one has and bring it back', async () => {
  const room = await hall.room(
    `${MERGE_TABLES}; INSERT INTO users (id, email) SELECT i, 'u' || i FROM generate_series(1, 9) i; INSERT INTO profiles (user_id, bio, city) VALUES (1, 'one', 'oslo'), (2, 'two', 'rome')`,
  );
  const { note } = await room.sync(MERGE_STEP).up();
  expect(note).toContain(`rows of "${room.schema}"."users" are there by themselves`);
  const user = (id: number) => room.query(`SELECT about, place FROM %.users WHERE id = ${id}`);
  await room.query("UPDATE %.profiles SET bio = 'uno' WHERE user_id = 1");
  expect(await user(1)).toEqual([{ about: 'uno', place: 'OSLO' }]);
  // Half of the new side of a row that nobody has migrated.
  await room.query("UPDATE %.users SET about = 'due' WHERE id = 2");
  expect(await user(2)).toEqual([{ about: 'due', place: 'ROME' }]);
  expect(await room.query('SELECT bio, city FROM %.profiles WHERE user_id = 2')).toEqual([
    { bio: 'due', city: 'rome' },
  ]);
  // A user without a profile gets one with the first word about it, not before.
  await room.query("UPDATE %.users SET email = 'new' WHERE id = 3");
  await room.query("INSERT INTO %.users (id, email) VALUES (30, 'x')");
  await room.query("UPDATE %.users SET place = 'Bonn' WHERE id = 4");
  await room.query("INSERT INTO %.users (id, email, about) VALUES (31, 'x', 'new')");
  expect(await room.query('SELECT user_id, bio, city FROM %.profiles WHERE user_id > 2 ORDER BY 1')).toEqual([
    { user_id: '4', bio: null, city: 'bonn' },
    { user_id: '31', bio: 'new', city: null },
  ]);
  await room.query("INSERT INTO %.profiles (user_id, bio) VALUES (5, 'five')");
  expect(await user(5)).toEqual([{ about: 'five', place: null }]);
  await room.query('DELETE FROM %.profiles WHERE user_id = 5');
  expect(await user(5)).toEqual([{ about: null, place: null }]);
  await room.query('DELETE FROM %.users WHERE id = 4');
  expect(await room.value('SELECT count(*) FROM %.profiles WHERE user_id = 4')).toBe('0');
  await room.query('UPDATE %.users SET id = 40 WHERE id = 2');
  expect(await room.query('SELECT bio FROM %.profiles WHERE user_id = 40')).toEqual([{ bio: 'due' }]);
});
