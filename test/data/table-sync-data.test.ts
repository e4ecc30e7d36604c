import { expect, test } from 'vitest';
import { filled, MERGE_STEP, MERGE_TABLES, refused, SPLIT_STEP, SPLIT_TABLES, syncHall } from './table-sync-room.ts';

const hall = syncHall();

test('split: every row gets its pair; what clients wrote meanwhile is left alone; all of it compares', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(5_000)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await room.query("INSERT INTO %.profiles (user_id, about, place) VALUES (7, 'mine', 'Bonn')");
  await room.query("UPDATE %.users SET bio = 'old client' WHERE id = 8");
  await room.query('UPDATE %.users SET id = id + 100000 WHERE id = 9');
  await room.query('DELETE FROM %.users WHERE id = 10');
  await room.query("INSERT INTO %.users (id, email, bio) VALUES (200000, 'x', 'late')");
  expect((await sync.backfill({ chunk: { rows: 100, fixed: true } })).note).toContain('4,996 rows changed');
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 5,000 rows differ (1 pass)');
  expect(
    await room.query(
      'SELECT user_id, about, place FROM %.profiles WHERE user_id IN (7, 8, 10, 100009, 200000) ORDER BY 1',
    ),
  ).toEqual([
    { user_id: '7', about: 'mine', place: 'Bonn' },
    { user_id: '8', about: 'old client', place: 'OSLO 8' },
    { user_id: '100009', about: 'bio 9', place: null },
    { user_id: '200000', about: 'late', place: null },
  ]);
});

test('merge: every row of the old table goes into the new one', async () => {
  const room = await hall.room(
    `${MERGE_TABLES}; INSERT INTO users (id, email) SELECT i, 'u' || i FROM generate_series(1, 3000) i; INSERT INTO profiles (user_id, bio, city) SELECT i, 'b' || i, 'oslo' FROM generate_series(1, 3000, 2) i; ANALYZE`,
  );
  const sync = room.sync(MERGE_STEP);
  await sync.up();
  await room.query("UPDATE %.users SET place = 'Bonn' WHERE id IN (3, 4)");
  expect((await sync.backfill()).note).toContain('1,499 rows changed');
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 3,000 rows differ');
  expect(await room.query('SELECT about, place FROM %.users WHERE id IN (1, 2, 3, 4) ORDER BY id')).toEqual([
    { about: 'b1', place: 'OSLO' },
    { about: null, place: null },
    { about: 'b3', place: 'Bonn' },
    { about: null, place: 'Bonn' },
  ]);
});

test('planted differences, missing pairs and ghosts are found and mended; a client’s word is not', async () => {
  const room = await hall.room(`${SPLIT_TABLES.replace('REFERENCES users (id)', '')}; ${filled(3_000)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await sync.backfill();
  const past = (sql: string) =>
    room.database.transaction(async (session) => {
      await session.query('SET LOCAL session_replication_role = replica');
      await session.query(sql.replaceAll('%.', `${room.schema}.`));
    });
  await past("UPDATE %.profiles SET about = 'planted' WHERE user_id % 1000 = 1");
  await past('DELETE FROM %.profiles WHERE user_id IN (500, 501)');
  await past('DELETE FROM %.users WHERE id IN (3000, 2999)');
  await expect(sync.check({ onMismatch: 'fail' })).rejects.toMatchObject(
    refused('7 of 3,000 rows differ', 'VerifyMismatch') as object,
  );
  expect((await sync.check({ chunk: { rows: 200 } })).note).toContain('0 of 2,998 rows differ (2 passes, 7 repaired)');
  expect(await room.value('SELECT count(*) FROM %.profiles')).toBe('2998');
  // Past the triggers a client changed the old row of a pair whose new row was written last: nobody can tell.
  await room.query("UPDATE %.profiles SET about = 'new' WHERE user_id = 1");
  await past("UPDATE %.users SET bio = 'bypass' WHERE id = 1");
  const again = room.sync({ ...SPLIT_STEP });
  await expect(again.check({ id: 'again' })).rejects.toMatchObject(
    refused('1 of 2,998 rows differ', 'VerifyMismatch') as object,
  );
});
