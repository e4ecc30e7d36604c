import { expect, test } from 'vitest';
import { ddl } from '../../src/activities/ddl.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import { verify } from '../../src/activities/verify.ts';
import { returnsOld } from '../../src/adapters/postgres/row-digest.ts';
import { pairChunk } from '../../src/adapters/postgres/table-sync-backfill.ts';
import { readSyncShapes, type TableSyncDetail } from '../../src/adapters/postgres/table-sync-shape.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { filled, MERGE_STEP, MERGE_TABLES, refused, SPLIT_STEP, SPLIT_TABLES, syncHall } from './table-sync-room.ts';

const hall = syncHall();
const SMALL = { chunk: { rows: 20, fixed: true } };

test('a backfill that is stopped goes on where it was, for another worker too; an overtaken one writes nothing', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(2_000)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  const stop = new AbortController();
  // The last chunk can't be done while its row is held: so there is something left to stop.
  const held = await room.database.session(async (session) => {
    await session.query(`BEGIN; UPDATE ${room.schema}.users SET visits = 1 WHERE id = 2000`);
    const first = sync.backfill(SMALL, {
      signal: stop.signal,
      onNote: (note) => note.includes('waits for rows that others hold') && stop.abort(new Error('stopped')),
    });
    await expect(first).rejects.toThrow('stopped');
    const done = await room.value('SELECT count(*) FROM %.profiles');
    await session.query('COMMIT');
    return Number(done);
  });
  expect(held).toBeGreaterThan(1_000);
  expect(held).toBeLessThan(2_000);
  await hall.bench().raiseFence(2, sync.run.migration);
  await expect(sync.backfill(SMALL)).rejects.toMatchObject({ code: 'Fenced' });
  expect(await room.value('SELECT count(*) FROM %.profiles')).toBe(String(held));
  expect((await sync.backfill(SMALL, { run: { generation: 2 } })).note).toContain('2,000 rows changed');
  expect(await room.value('SELECT count(*) FROM %.profiles')).toBe('2000');
});

test('what a client deletes or moves while a chunk waits for it is neither brought back nor lost', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(60)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await room.database.session(async (session) => {
    await session.query(
      `BEGIN; DELETE FROM ${room.schema}.users WHERE id = 5; UPDATE ${room.schema}.users SET id = -6 WHERE id = 6; UPDATE ${room.schema}.users SET bio = 'newest' WHERE id = 7`,
    );
    const seen = Promise.withResolvers<void>();
    const filling = sync.backfill(
      {},
      { onNote: (note) => note.includes('waits for rows that others hold') && seen.resolve() },
    );
    await Promise.race([seen.promise, filling]);
    await session.query('COMMIT');
    await filling;
  });
  expect(await room.query('SELECT user_id, about FROM %.profiles WHERE user_id < 8 ORDER BY 1')).toEqual([
    { user_id: '-6', about: 'bio 6' },
    ...[1, 2, 3, 4].map((id) => ({ user_id: String(id), about: `bio ${id}` })),
    { user_id: '7', about: 'newest' },
  ]);
});

test('a row that can’t have its pair is set aside by its key', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ALTER TABLE profiles ADD CHECK (about <> 'bio 33'); ${filled(100)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await expect(sync.backfill(SMALL)).rejects.toMatchObject(
    refused('1 row could not be changed', 'RowErrors') as object,
  );
  await room.query("UPDATE %.users SET bio = 'mended' WHERE id = 33");
  await sync.backfill(SMALL);
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 100 rows differ');
});

test('rows of partitioned tables change partitions, and pairs keep what only they have', async () => {
  const room = await hall.room(`
    CREATE TABLE people (id bigint, region text, bio text, city text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
    CREATE TABLE people_eu PARTITION OF people FOR VALUES IN ('eu'); CREATE TABLE people_us PARTITION OF people FOR VALUES IN ('us');
    CREATE TABLE notes (area text, nr bigint, about text, place text, extra text, PRIMARY KEY (area, nr)) PARTITION BY LIST (area);
    CREATE TABLE notes_eu PARTITION OF notes FOR VALUES IN ('eu'); CREATE TABLE notes_us PARTITION OF notes FOR VALUES IN ('us');
    INSERT INTO people SELECT i, CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'b' || i, 'oslo' FROM generate_series(1, 100) i; ANALYZE`);
  const sync = room.sync({
    ...SPLIT_STEP,
    from: { table: 'people', key: ['region', 'id'] },
    to: { table: 'notes', key: ['area', 'nr'] },
  });
  await sync.up();
  await sync.backfill();
  await room.query("UPDATE %.notes SET place = 'Oslo', extra = 'kept' WHERE nr IN (2, 4)");
  await room.query("UPDATE %.people SET region = 'us' WHERE id = 2");
  await room.query("UPDATE %.people SET region = 'us', bio = 'changed' WHERE id = 4");
  await room.query("UPDATE %.notes SET area = 'eu', about = 'from the new side' WHERE nr = 3");
  expect(await room.query('SELECT area, nr, about, place FROM %.notes WHERE nr IN (2, 3, 4) ORDER BY nr')).toEqual([
    { area: 'us', nr: '2', about: 'b2', place: 'OSLO' },
    { area: 'eu', nr: '3', about: 'from the new side', place: 'OSLO' },
    { area: 'us', nr: '4', about: 'changed', place: 'OSLO' },
  ]);
  expect(await room.query('SELECT region, bio, city FROM %.people WHERE id = 3')).toEqual([
    { region: 'eu', bio: 'from the new side', city: 'oslo' },
  ]);
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 100 rows differ');
});

test('a `ddl` step may give the new table and its columns other names, and take them back', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(20)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await sync.backfill();
  const step: StepOf<'ddl'> = stepKinds.ddl.parse({
    id: 'names',
    uses: 'ddl',
    database: 'app',
    schema: room.schema,
    up: 'ALTER TABLE profiles RENAME TO "the profiles"; ALTER TABLE "the profiles" RENAME COLUMN about TO bio',
    allow: [
      { rule: 'rename-table-under-readers', reason: 'a test' },
      { rule: 'rename-column-under-readers', reason: 'a test' },
    ],
  });
  const input = hall.bench().input<'ddl'>(step, { run: sync.run });
  await ddl.up(input, hall.bench().context());
  await room.query("UPDATE %.users SET bio = 'after' WHERE id = 1");
  await room.query(`UPDATE %."the profiles" SET bio = 'new' WHERE user_id = 2`);
  expect(await room.value('SELECT bio FROM %."the profiles" WHERE user_id = 1')).toBe('after');
  expect(await room.value('SELECT bio FROM %.users WHERE id = 2')).toBe('new');
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 20 rows differ');
  await ddl.down({ ...input, direction: 'down' }, hall.bench().context());
  await room.query("UPDATE %.users SET bio = 'back' WHERE id = 1");
  expect(await room.value('SELECT about FROM %.profiles WHERE user_id = 1')).toBe('back');
  await sync.down();
  await room.query("UPDATE %.users SET bio = 'alone' WHERE id = 1");
});

test('a chunk of a merge finds its pairs by their index, however large the new table is', async () => {
  const room = await hall.room(
    `${MERGE_TABLES}; INSERT INTO users (id, email) SELECT i, 'u' || i FROM generate_series(1, 10000) i; INSERT INTO profiles (user_id, bio) SELECT i, 'b' FROM generate_series(1, 10000) i; ANALYZE`,
  );
  const sync = room.sync(MERGE_STEP);
  await sync.up();
  const plan = await room.database.transaction(async (session) => {
    const [row] = await session.query(
      `SELECT detail->'tableSync' AS detail FROM switchback.steps WHERE migration = $1 AND step = 'sync'`,
      [sync.run.migration],
    );
    const shapes = await readSyncShapes(session, JSON.parse(row?.['detail'] ?? '{}') as TableSyncDetail);
    const { change } = pairChunk(shapes, await returnsOld(session));
    await session.query(
      'SET LOCAL plan_cache_mode = force_generic_plan; SET LOCAL enable_seqscan = off; SET LOCAL enable_sort = off',
    );
    await session.query(
      `PREPARE chunk (bigint, bigint) AS ${change('profiles.user_id > $1 AND profiles.user_id <= $2')}`,
    );
    const rows = await session.query('EXPLAIN EXECUTE chunk (1000, 2000)');
    await session.query('DEALLOCATE chunk');
    return rows.map((one) => one['QUERY PLAN']).join('\n');
  });
  expect(plan).toMatch(/Index Scan using users_pkey on users/);
  expect(plan).toMatch(/Index Cond: \(id = /);
});

test('nobody writes past it: neither repairs of other steps, nor another dual write; a table that leaves its schema stays', async () => {
  const room = await hall.room(
    `${SPLIT_TABLES}; ${filled(20)}; CREATE TABLE truth (user_id bigint PRIMARY KEY, theme text); INSERT INTO truth VALUES (1, 'dark')`,
  );
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  await sync.backfill();
  const bench = hall.bench();
  const at = { database: 'app', schema: room.schema };
  const expected = stepKinds.verify.parse({
    ...{ id: 'expected', uses: 'verify', ...at, table: 'profiles' },
    ...{ expect: { place: "'X'" }, onMismatch: 'repair' },
  });
  await expect(verify.up(bench.input(expected, { run: sync.run }), bench.context())).rejects.toMatchObject({
    fields: { differing: 20 },
    hint: expect.stringContaining('column "place" is kept in step by the dual write "sync"'),
  });
  // The right side's rows come and go with the users: a repair would delete those that the left side lacks.
  const across = stepKinds.verify.parse({
    ...{ id: 'across', uses: 'verify', settle: '50ms', onMismatch: 'repair' },
    left: { ...at, table: 'truth', columns: ['theme'] },
    right: { ...at, table: 'profiles', columns: ['theme'] },
  });
  await expect(verify.up(bench.input(across, { run: sync.run }), bench.context())).rejects.toMatchObject({
    code: 'VerifyMismatch',
    fields: { differing: 20 },
    hint: expect.stringContaining('"theme" of the right side is kept in step by a dual write'),
  });
  expect(await room.value("SELECT count(*) FROM %.users WHERE bio IS NULL OR city = 'x'")).toBe('0');
  expect(await room.value("SELECT count(*) FROM %.profiles WHERE theme = 'light'")).toBe('20');
  const another = stepKinds['dual-write'].parse({
    ...{ id: 'another', uses: 'dual-write', ...at, table: 'profiles' },
    up: { place: 'upper(theme)' },
  });
  await expect(dualWrite.up(bench.input(another, { run: sync.run }), bench.context())).rejects.toEqual(
    refused('column "place"'),
  );
  await room.query(`CREATE SCHEMA ${room.schema}_away`);
  const away = stepKinds.ddl.parse({
    ...{ id: 'away', uses: 'ddl', ...at },
    up: `ALTER TABLE profiles SET SCHEMA ${room.schema}_away`,
    down: 'SELECT 1',
    allow: [{ rule: 'set-schema-under-readers', reason: 'nobody reads it' }],
  });
  await expect(ddl.up(bench.input(away, { run: sync.run }), bench.context())).rejects.toEqual(
    refused('renames a table whose columns step "sync"'),
  );
  await room.query("UPDATE %.users SET bio = 'still there' WHERE id = 1");
  expect(await room.value('SELECT about FROM %.profiles WHERE user_id = 1')).toBe('still there');
});
