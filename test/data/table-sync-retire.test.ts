import { expect, test } from 'vitest';
import { drop } from '../../src/activities/drop.ts';
import { retire } from '../../src/activities/retire.ts';
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
  await expect(gone('city-drop', { column: 'users.city' })).resolves.toMatchObject({
    note: expect.stringContaining('the triggers of sync went with it') as unknown,
  });
});
