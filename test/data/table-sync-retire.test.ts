import { expect, test } from 'vitest';
import { drop } from '../../src/activities/drop.ts';
import { retire } from '../../src/activities/retire.ts';
import { followColumn } from '../../src/adapters/postgres/table-sync-follow.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import {
  filled,
  MERGE_STEP,
  MERGE_TABLES,
  refused,
  SPLIT_STEP,
  SPLIT_TABLES,
  type SyncRoom,
  syncHall,
} from './table-sync-room.ts';

const hall = syncHall();
type Target = { table: string } | { column: string };

/** Taking out of use, bringing back and dropping, in the migration of the room. */
function ways(room: SyncRoom) {
  const { run } = room.sync(SPLIT_STEP);
  const input = <K extends 'retire' | 'drop'>(uses: K, id: string, of: Target, more: object = {}) =>
    hall
      .bench()
      .input(stepKinds[uses].parse({ id, uses, database: 'app', schema: room.schema, ...of, ...more }) as StepOf<K>, {
        run,
      });
  const context = () => hall.bench().context();
  return {
    retire: (id: string, of: Target) => retire.up(input('retire', id, of), context()),
    bringBack: (id: string, of: Target) => retire.down({ ...input('retire', id, of), direction: 'down' }, context()),
    drop: (id: string, of: Target, more: object = {}) =>
      drop.up(input('drop', id, of, { retention: '0s', ...more }), context()),
  };
}

test('the old table goes out of use, is kept current, comes back, and is dropped with the triggers', async () => {
  const room = await hall.room(
    `${MERGE_TABLES.replace(', note text', '')}; INSERT INTO users (id, email) SELECT i, 'u' || i FROM generate_series(1, 50) i; INSERT INTO profiles (user_id, bio) SELECT i, 'b' || i FROM generate_series(1, 50) i`,
  );
  const sync = room.sync(MERGE_STEP);
  await sync.up();
  await sync.backfill();
  const { retire: away, bringBack, drop: gone } = ways(room);
  const table = { table: 'profiles' };
  expect((await away('away', table)).note).toContain('its triggers keep it current');
  await room.query("UPDATE %.users SET about = 'meanwhile' WHERE id = 7");
  await room.query("INSERT INTO %.users (id, email, about) VALUES (70, 'x', 'born later')");
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 51 rows differ');
  await bringBack('away', table);
  expect(await room.query('SELECT bio FROM %.profiles WHERE user_id IN (7, 70) ORDER BY 1')).toEqual([
    { bio: 'born later' },
    { bio: 'meanwhile' },
  ]);
  await room.query("UPDATE %.profiles SET bio = 'by an old client' WHERE user_id = 7");
  expect(await room.value('SELECT about FROM %.users WHERE id = 7')).toBe('by an old client');
  await away('again', table);
  expect((await gone('drop', table)).note).toContain('the triggers of sync went with it');
  await room.query("UPDATE %.users SET about = 'alone' WHERE id = 7");
  expect(
    await room.value(
      `SELECT count(*) FROM pg_attribute WHERE attrelid = '%.users'::regclass AND attname LIKE 'zz%' AND NOT attisdropped`,
    ),
  ).toBe('0');
});

test('columns of the old table go out of use one by one; what only they hold keeps them from being dropped', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(20)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await sync.backfill();
  const { retire: away, drop: gone } = ways(room);
  await away('bio-away', { column: 'users.bio' });
  await room.query("UPDATE %.profiles SET about = 'new' WHERE user_id = 1");
  await room.query("INSERT INTO %.users (id, email, city) VALUES (30, 'x', 'rome')");
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 21 rows differ');
  await expect(gone('bio-drop', { column: 'users.bio' })).rejects.toMatchObject(
    refused('which keeps "city" in step too', 'StillInUse') as object,
  );
  await away('city-away', { column: 'users.city' });
  const retired = await room.value(
    `SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = '%.users'::regclass AND attname LIKE 'zz_retired%bio'`,
  );
  // Past the triggers: what row 2 holds is nowhere else.
  await room.query(
    `SET LOCAL session_replication_role = replica; UPDATE %.users SET ${retired} = 'only here' WHERE id = 2`,
  );
  await expect(gone('city-drop', { column: 'users.city' })).resolves.toMatchObject({
    note: expect.stringContaining('the triggers of sync went with it') as unknown,
  });
  // With the triggers gone the new table goes its own way: what counts is how the values were when they went.
  await room.query("UPDATE %.profiles SET about = 'newer' WHERE user_id < 10");
  await expect(gone('bio-drop', { column: 'users.bio' })).rejects.toMatchObject(
    refused('values of 1 rows, and the plan accepts 0', 'ValuesLost') as object,
  );
  await gone('bio-gone', { column: 'users.bio' }, { acceptedLoss: 1 });
  expect(
    await room.value("SELECT count(*) FROM pg_attribute WHERE attrelid = '%.users'::regclass AND attname LIKE 'zz%'"),
  ).toBe('0');
});

test('a client that is inside the triggers of the other table when a column gets another name is let by first', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(5)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await sync.backfill();
  let client: Promise<unknown> = Promise.resolve();
  const renaming = room.database.transaction(async (session) => {
    await session.query(`ALTER TABLE ${room.schema}.users RENAME COLUMN bio TO story`);
    // Its trigger names bio, and waits for the table.
    client = room.query("UPDATE %.profiles SET about = 'mine' WHERE user_id = 1");
    const waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = '%.users'::regclass";
    while ((await room.value(waits)) === '0') await new Promise((resolve) => setTimeout(resolve, 20));
    await session.query("SET LOCAL lock_timeout = '50ms'");
    await followColumn(session, room.schema, 'users', { from: 'bio', to: 'story' });
  });
  await expect(renaming).rejects.toMatchObject({ sqlState: '55P03' });
  await client;
  expect(await room.value('SELECT bio FROM %.users WHERE id = 1')).toBe('mine');
});
