import { expect, test } from 'vitest';
import { keyAfter, keyUpTo } from '../../src/adapters/postgres/range-key.ts';
import { findTableSyncs } from '../../src/adapters/postgres/table-sync.ts';
import { comparePairs } from '../../src/adapters/postgres/table-sync-verify.ts';
import { filled, MERGE_STEP, MERGE_TABLES, refused, SPLIT_STEP, SPLIT_TABLES, syncHall } from './table-sync-room.ts';

const hall = syncHall();

const COPY_TABLES = `
CREATE TABLE "Kunden ""alt""" (region text COLLATE "C", "Nr" int, name text, PRIMARY KEY (region, "Nr"));
CREATE TABLE customers (id bigint, area text COLLATE "C", full_name text NOT NULL DEFAULT '', UNIQUE (id, area));
ALTER TABLE customers ALTER id SET NOT NULL, ALTER area SET NOT NULL`;
const COPY_STEP = {
  from: { table: 'Kunden "alt"', key: ['Nr', 'region'] },
  to: { table: 'customers', key: ['id', 'area'] },
  up: { full_name: "coalesce(name, '')" },
  down: { name: "nullif(customers.full_name, '')" },
};

test('a table gets another name: rows come and go on either side, with keys of another order and size', async () => {
  const room = await hall.room(
    `${COPY_TABLES}; INSERT INTO "Kunden ""alt""" SELECT 'r' || i % 3, i, CASE i % 4 WHEN 0 THEN NULL ELSE 'n' || i END FROM generate_series(1, 2000) i; ANALYZE`,
  );
  const sync = room.sync(COPY_STEP);
  expect((await sync.up()).note).toContain('rows come and go on either side');
  await room.query("INSERT INTO %.customers (id, area, full_name) VALUES (5000, 'new', 'made here')");
  // The same key is the same row: it is there already, also before anyone has copied it.
  await expect(
    room.query("INSERT INTO %.customers (id, area, full_name) VALUES (7, 'r1', 'again')"),
  ).rejects.toMatchObject({
    fields: { sqlState: '23505' },
  });
  await room.query("UPDATE %.customers SET area = 'moved' WHERE id = 5000");
  await sync.backfill({ chunk: { rows: 100, fixed: true } });
  await room.query(
    "INSERT INTO %.customers (id, area, full_name) VALUES (10, 'r1', 'upserted') ON CONFLICT (id, area) DO UPDATE SET full_name = excluded.full_name",
  );
  await room.query('DELETE FROM %.customers WHERE id = 11');
  expect((await sync.check({ onMismatch: 'fail', chunk: { rows: 100 } })).note).toContain('0 of 2,000 rows differ');
  const old = `%."Kunden ""alt"""`;
  expect(await room.query(`SELECT region, "Nr", name FROM ${old} WHERE "Nr" IN (10, 11, 5000) ORDER BY 2`)).toEqual([
    { region: 'r1', Nr: '10', name: 'upserted' },
    { region: 'moved', Nr: '5000', name: 'made here' },
  ]);
  await room.query(`DELETE FROM ${old} WHERE region = 'r0'`);
  await room.query(`UPDATE ${old} SET "Nr" = -"Nr", name = 'neg' WHERE region = 'r1' AND "Nr" < 10`);
  expect(await room.query('SELECT id, full_name FROM %.customers WHERE id < 0 ORDER BY id DESC')).toEqual([
    { id: '-1', full_name: 'neg' },
    { id: '-4', full_name: 'neg' },
    { id: '-7', full_name: 'neg' },
  ]);
  expect(await room.value("SELECT count(*) FROM %.customers WHERE area = 'r0'")).toBe('0');
  await expect(room.query('TRUNCATE %.customers')).rejects.toMatchObject({ fields: { sqlState: '55006' } });
  await room.query(`TRUNCATE %.customers, ${old}`);
});

test('triggers come back from what pg_dump writes of them, and the lineage has digests of the pairs', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(200)}`);
  const sync = room.sync(SPLIT_STEP);
  await sync.up();
  const triggers = `SELECT tgname, tgrelid::regclass::text AS on_table, pg_get_triggerdef(oid) AS definition FROM pg_trigger
    WHERE tgrelid IN ('%.users'::regclass, '%.profiles'::regclass) AND NOT tgisinternal ORDER BY 2, 1`;
  const made = await room.query(triggers);
  expect(made.length).toBeGreaterThan(8);
  for (const { tgname, on_table } of made) await room.query(`DROP TRIGGER "${tgname}" ON ${on_table}`);
  for (const { definition } of made) await room.query(definition ?? '');
  expect(await room.query(triggers)).toEqual(made);
  await room.query("INSERT INTO %.profiles (user_id, about) VALUES (1, 'mine')");
  await sync.backfill();
  await room.query(`ALTER TABLE %.profiles DISABLE TRIGGER USER`);
  await room.query(
    "UPDATE %.profiles SET about = 'broken' WHERE user_id = 7; DELETE FROM %.profiles WHERE user_id = 8",
  );
  await room.query(`ALTER TABLE %.profiles ENABLE TRIGGER USER`);
  expect((await sync.check({ onMismatch: 'repair' })).note).toContain('2 repaired');
  const digests = await room.query(
    'SELECT kind, rows_changed, before_digest, after_digest FROM switchback.lineage WHERE migration = $1 ORDER BY id',
    [sync.run.migration],
  );
  // No pair was there before the backfill; of the two that were repaired one was, with other values.
  expect(digests).toEqual([
    { kind: 'backfill', rows_changed: '199', before_digest: '0', after_digest: expect.stringMatching(/^-?[1-9]/) },
    {
      kind: 'repair',
      rows_changed: '2',
      before_digest: expect.stringMatching(/^-?[1-9]/),
      after_digest: expect.stringMatching(/^-?[1-9]/),
    },
  ]);
});

test('one way: the new table follows, and what a new client writes stays until the old side changes', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(300)}`);
  const { down: _, ...step } = SPLIT_STEP;
  const sync = room.sync(step);
  await sync.up();
  await room.query("INSERT INTO %.profiles (user_id, about) VALUES (1, 'mine'), (2, 'half')");
  await sync.backfill();
  await room.query("UPDATE %.profiles SET place = 'Mine' WHERE user_id = 4");
  const place = (id: number) => room.query(`SELECT about, place FROM %.profiles WHERE user_id = ${id}`);
  expect(await place(1)).toEqual([{ about: 'mine', place: 'OSLO 1' }]);
  expect((await sync.check({ onMismatch: 'fail' })).note).toContain('0 of 300 rows differ');
  expect(await room.value('SELECT city FROM %.users WHERE id = 4')).toBe('oslo 4');
  await room.query("UPDATE %.users SET bio = 'old' WHERE id = 4");
  expect(await place(4)).toEqual([{ about: 'old', place: 'OSLO 4' }]);
  await room.query('DELETE FROM %.users WHERE id = 4');
  expect(await place(4)).toEqual([]);
  expect(
    await room.value(`SELECT count(*) FROM pg_attribute WHERE attrelid = '%.users'::regclass AND attname LIKE 'zz%'`),
  ).toBe('0');
});

test('COPY, ON CONFLICT, MERGE and many rows at once go through, from either side', async () => {
  const room = await hall.room(`${SPLIT_TABLES}; ${filled(10)}`);
  await room.sync(SPLIT_STEP).up();
  await room.query(`COPY %.users (id, email, bio) FROM PROGRAM 'printf "60\\tx\\tcopied\\n61\\tx\\talso\\n"'`);
  await room.query(
    "INSERT INTO %.users (id, email, bio) VALUES (1, 'x', 'upserted') ON CONFLICT (id) DO UPDATE SET bio = excluded.bio",
  );
  await room.query(`MERGE INTO %.users u USING (VALUES (2, 'merged'), (50, 'made')) v (id, bio) ON u.id = v.id
    WHEN MATCHED THEN UPDATE SET bio = v.bio WHEN NOT MATCHED THEN INSERT (id, email, bio) VALUES (v.id, 'x', v.bio)`);
  await room.query(
    "INSERT INTO %.profiles (user_id, about) SELECT id, 'p' || id FROM %.users WHERE id IN (3, 61) ON CONFLICT (user_id) DO UPDATE SET about = excluded.about",
  );
  await room.query(`MERGE INTO %.profiles p USING (VALUES (1, 'm1'), (4, 'm4')) v (id, about) ON p.user_id = v.id
    WHEN MATCHED THEN UPDATE SET about = v.about WHEN NOT MATCHED THEN INSERT (user_id, about) VALUES (v.id, v.about)`);
  await room.query(`COPY %.profiles (user_id, about) FROM PROGRAM 'printf "5\\tc5\\n60\\tc60\\n"'`);
  expect(
    await room.query(
      'SELECT id, bio, about FROM %.users JOIN %.profiles ON user_id = id WHERE bio IS DISTINCT FROM about',
    ),
  ).toEqual([]);
  expect(await room.query('SELECT id, bio FROM %.users WHERE id < 6 OR id > 49 ORDER BY id')).toEqual(
    Object.entries({ 1: 'm1', 2: 'merged', 3: 'p3', 4: 'm4', 5: 'c5', 50: 'made', 60: 'c60', 61: 'p61' }).map(
      ([id, bio]) => ({ id, bio }),
    ),
  );
});

test('both sides there before they are a pair: `bothWritten` decides', async () => {
  const written = async (bothWritten: string) => {
    const room = await hall.room(SPLIT_TABLES.replace('REFERENCES users (id)', ''));
    await room.sync({ ...SPLIT_STEP, bothWritten }).up();
    await room.query("INSERT INTO %.profiles (user_id, about) VALUES (1, 'young'), (2, 'only')");
    await room.query("INSERT INTO %.users (id, email) VALUES (2, 'x')");
    await room.query("INSERT INTO %.users (id, email, bio) VALUES (1, 'x', 'old')");
    return room.query('SELECT bio, about FROM %.users JOIN %.profiles ON user_id = id ORDER BY id');
  };
  expect(await written('new')).toEqual([
    { bio: 'young', about: 'young' },
    { bio: 'only', about: 'only' },
  ]);
  expect(await written('old')).toEqual([
    { bio: 'old', about: 'old' },
    { bio: 'only', about: 'only' },
  ]);
  await expect(written('error')).rejects.toMatchObject({ fields: { sqlState: '23000' } });
});

test('undone without a trace, twice, and installed again; a marker that is not ours is left alone', async () => {
  const room = await hall.room(`${MERGE_TABLES}; INSERT INTO users (id, email) VALUES (1, 'x')`);
  const traces = () =>
    room.query(`SELECT (SELECT string_agg(tgname, ',') FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN ('%.users'::regclass, '%.profiles'::regclass)) AS triggers,
      (SELECT count(*) FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace) AS functions,
      (SELECT string_agg(attname, ',' ORDER BY attrelid, attnum) FROM pg_attribute WHERE attrelid IN ('%.users'::regclass, '%.profiles'::regclass) AND attnum > 0 AND NOT attisdropped) AS columns`);
  const before = await traces();
  const sync = room.sync(MERGE_STEP);
  expect((await sync.down()).note).toBe('nothing to remove');
  const again = room.sync({ ...MERGE_STEP, id: 'again' });
  await again.up();
  expect(await traces()).not.toEqual(before);
  await expect(room.sync({ ...MERGE_STEP, id: 'third' }).up()).rejects.toMatchObject(refused('"bio" of') as object);
  await room.query("UPDATE %.users SET about = 'kept' WHERE id = 1");
  expect((await again.down()).note).toContain('triggers and markers removed');
  expect(await traces()).toEqual(before);
  expect((await again.down()).note).toBe('nothing to remove');
  expect(await room.query('SELECT user_id, bio FROM %.profiles')).toEqual([{ user_id: '1', bio: 'kept' }]);
});

test('what can’t be kept in step is refused by name', async () => {
  const room = await hall.room(
    `${SPLIT_TABLES}; CREATE TABLE plain (id bigint PRIMARY KEY, about text DEFAULT '', place text, must text NOT NULL);
     CREATE TABLE late (id bigint UNIQUE DEFERRABLE NOT NULL, about text, place text); CREATE TABLE words (id text PRIMARY KEY, about text, place text);
     CREATE TABLE loose (id bigint, about text, place text); CREATE TABLE child (id bigint PRIMARY KEY REFERENCES users, about text, place text, must text NOT NULL);
     CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.about := trim(new.about); RETURN new; END $$;
     CREATE TABLE tidied (id bigint PRIMARY KEY REFERENCES users, about text, place text);
     CREATE TRIGGER tidy BEFORE INSERT ON tidied FOR EACH ROW EXECUTE FUNCTION tidy()`,
  );
  const attempt = (fields: object) => room.sync({ ...SPLIT_STEP, ...fields }).up();
  const to = (table: string, key = 'id') => ({ to: { table, key } });
  const refusal = (fields: object, text: string, code?: string) =>
    expect(attempt(fields)).rejects.toMatchObject(refused(text, code) as object);
  await refusal(to('nobody'), 'does not exist');
  await refusal({ from: { table: 'users', key: 'nr' } }, 'no column "nr"');
  await refusal(to('loose'), 'no unique index over (id)', 'KeyMissing');
  await refusal(to('late'), 'checked late (DEFERRABLE)', 'KeyMissing');
  await refusal(to('words'), 'are not compared alike');
  await refusal({ to: { table: 'profiles', key: 'user_id' }, up: { nope: 'bio' } }, 'no column "nope"');
  await refusal({ up: { about: 'nope' } }, 'up.about');
  await refusal({ up: { about: 'max(bio)' } }, 'up.about');
  await refusal({ down: { bio: 'users.bio' } }, 'down.bio');
  await refusal({ up: { user_id: 'id' } }, 'part of the key');
  await refusal({ up: { about: 'bio', theme: "'dark'" } }, '"theme" of');
  await refusal(to('plain'), 'has a DEFAULT');
  await refusal(
    { ...to('plain'), up: { place: 'city' }, down: { city: 'place' }, from: { table: 'users', key: 'id' } },
    '"email" is NOT NULL',
  );
  await refusal(to('child'), '"must" is NOT NULL without a DEFAULT');
  await refusal(to('tidied'), 'trigger tidy on');
  await attempt({});
});

test.each([
  ['serial_no', 'int'],
  ['numeric(6)', 'numeric(9)'],
  ['int', 'bigint'],
  ['bigint', 'smallint'],
])('keys of %s and %s are walked in one order: what differs is found wherever it is', async (old, young) => {
  const room = await hall.room(
    `CREATE DOMAIN serial_no AS int CHECK (VALUE > 0); CREATE TABLE events (id ${old} PRIMARY KEY, name text);
     CREATE TABLE texts (event_id ${young} PRIMARY KEY, title text);
     INSERT INTO events SELECT i, 'n' || i FROM generate_series(1, 1000) i; ANALYZE events`,
  );
  const sync = room.sync({
    from: { table: 'events', key: 'id' },
    to: { table: 'texts', key: 'event_id' },
    up: { title: 'name' },
    down: { name: 'title' },
  });
  await sync.up();
  await sync.backfill({ chunk: { rows: 100, fixed: true } });
  await room.query(
    "ALTER TABLE %.texts DISABLE TRIGGER USER; UPDATE %.texts SET title = 'x' WHERE event_id IN (7, 999)",
  );
  await room.query('ALTER TABLE %.texts ENABLE TRIGGER USER');
  await expect(sync.check({ onMismatch: 'fail', chunk: { rows: 100 } })).rejects.toMatchObject({
    fields: { differing: 2, checked: 1_000 },
  });
});

test.each([
  ['int', 'bigint'],
  ['bigint', 'int'],
  ['bigint', 'bigint'],
])(
  'a piece of the walk over keys of %s and %s reads that piece of both tables, by their indexes',
  async (old, young) => {
    const rows = "SELECT i, 'n' || i FROM generate_series(1, 20000) i";
    const room = await hall.room(
      `CREATE TABLE events (id ${old} PRIMARY KEY, name text); CREATE TABLE texts (event_id ${young} PRIMARY KEY, title text);
     INSERT INTO events ${rows}; INSERT INTO texts ${rows}`,
    );
    await room
      .sync({ from: { table: 'events', key: 'id' }, to: { table: 'texts', key: 'event_id' }, up: { title: 'name' } })
      .up();
    await room.query('ANALYZE %.events; ANALYZE %.texts');
    const plan = await room.database.transaction(async (session) => {
      const [found] = await findTableSyncs(session, room.schema, 'events');
      if (found === undefined) throw new Error('the triggers are not in force');
      const { fromWithin, differs } = await comparePairs(session, found.detail);
      const from = fromWithin?.((key, alias) =>
        [keyAfter(key, alias, ['5000::bigint']), keyUpTo(key, alias, ['5100::bigint'])].join(' AND '),
      );
      return session.query(`EXPLAIN SELECT count(*) FILTER (WHERE ${differs}) FROM ${from}`);
    });
    const text = plan.map((row) => row['QUERY PLAN']).join('\n');
    expect(text).not.toContain('Seq Scan');
    expect(text.match(/Index Cond: .*5000/g)).toHaveLength(4);
  },
);
