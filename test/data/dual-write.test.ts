import { expect, test } from 'vitest';
import { dualWriteNames, renameInDualWrites } from '../../src/adapters/postgres/dual-write.ts';
import { readTableShape } from '../../src/adapters/postgres/table-shape.ts';
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

test('INSERT ON CONFLICT, MERGE and COPY go through the triggers', async () => {
  const room = await dataRoom(users(10));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await room.query(
    "INSERT INTO public.users (id, full_name) VALUES (1, 'Niels Bohr') ON CONFLICT (id) DO UPDATE SET full_name = excluded.full_name",
  );
  await room.query(
    "INSERT INTO public.users (id, given_name, family_name) VALUES (2, 'Max', 'Planck') ON CONFLICT (id) DO UPDATE SET given_name = excluded.given_name, family_name = excluded.family_name",
  );
  await room.query(`MERGE INTO public.users u USING (VALUES (3, 'Lise Meitner'), (50, 'Emmy Noether')) v (id, name) ON u.id = v.id
    WHEN MATCHED THEN UPDATE SET full_name = v.name WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (v.id, v.name)`);
  await room.query(`COPY public.users (id, full_name) FROM PROGRAM 'printf "60\\tAda Yonath\\n"'`);
  expect(
    await room.query(
      'SELECT id, full_name, given_name, family_name FROM public.users WHERE id IN (1, 2, 3, 50, 60) ORDER BY id',
    ),
  ).toEqual([
    { id: '1', full_name: 'Niels Bohr', given_name: 'Niels', family_name: 'Bohr' },
    { id: '2', full_name: 'Max Planck', given_name: 'Max', family_name: 'Planck' },
    { id: '3', full_name: 'Lise Meitner', given_name: 'Lise', family_name: 'Meitner' },
    { id: '50', full_name: 'Emmy Noether', given_name: 'Emmy', family_name: 'Noether' },
    { id: '60', full_name: 'Ada Yonath', given_name: 'Ada', family_name: 'Yonath' },
  ]);
});

test('both sides in one write: what agrees is kept, else `bothWritten` decides, on INSERT and on UPDATE', async () => {
  const written = async (bothWritten: 'new' | 'old' | 'error') => {
    const room = await dataRoom(users(3));
    await dualWrite.up(room.dualWrite({ bothWritten }), room.bench.context());
    await room.query(
      "INSERT INTO public.users (id, full_name, given_name, family_name) VALUES (9, 'A B C', 'A B', 'C')",
    );
    expect(await room.query(row(9))).toMatchObject([{ full_name: 'A B C', given_name: 'A B', family_name: 'C' }]);
    await room.query("INSERT INTO public.users (id, full_name, given_name) VALUES (10, 'Old Name', 'New')");
    await room.query(
      "UPDATE public.users SET full_name = 'Older Name', given_name = 'Newer', family_name = NULL WHERE id = 1",
    );
    return room.query('SELECT full_name, given_name, family_name FROM public.users WHERE id IN (1, 10) ORDER BY id');
  };
  expect(await written('new')).toEqual([
    { full_name: 'Newer Lovelace1', given_name: 'Newer', family_name: 'Lovelace1' },
    { full_name: 'New', given_name: 'New', family_name: null },
  ]);
  expect(await written('old')).toEqual([
    { full_name: 'Older Name', given_name: 'Older', family_name: 'Name' },
    { full_name: 'Old Name', given_name: 'Old', family_name: 'Name' },
  ]);
  await expect(written('error')).rejects.toMatchObject({ fields: { sqlState: '23000' } });
});

test('changes are told by image: a numeric scale, a letter under a nondeterministic collation, json', async () => {
  const room =
    await dataRoom(`CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE users (id int PRIMARY KEY, n numeric, name text COLLATE folded, doc json, n2 text, name2 text, doc2 text);
    INSERT INTO users VALUES (1, 1.0, 'bob', '{"a":1}')`);
  const up = { n2: 'n::text', name2: 'name', doc2: 'doc::text' };
  const { down: _, ...step } = { ...room.dualWrite({ up }).step };
  await dualWrite.up({ ...room.dualWrite(), step }, room.bench.context());
  await room.query('UPDATE public.users SET n = 1.00 WHERE id = 1');
  expect(await room.value('SELECT n2 FROM public.users')).toBe('1.00');
  await room.query("UPDATE public.users SET name = 'BOB' WHERE id = 1");
  expect(await room.value('SELECT name2 COLLATE "C" FROM public.users')).toBe('BOB');
  await room.query(`UPDATE public.users SET doc = '{"a": 1}' WHERE id = 1`);
  expect(await room.value('SELECT doc2 FROM public.users')).toBe('{"a": 1}');
});

test('one way only: new columns follow, and what a new client writes stays', async () => {
  const room = await dataRoom(users(10));
  const { down: _, ...step } = room.dualWrite().step;
  await dualWrite.up({ ...room.dualWrite(), step }, room.bench.context());
  await room.query("UPDATE public.users SET given_name = 'Anna' WHERE id = 1");
  expect(await room.query(row(1))).toMatchObject([
    { full_name: 'Ada Lovelace1', given_name: 'Anna', family_name: 'Lovelace1' },
  ]);
  await room.query("UPDATE public.users SET full_name = 'Mary Shelley' WHERE id = 1");
  expect(await room.query(row(1))).toMatchObject([{ given_name: 'Mary', family_name: 'Shelley' }]);
});

test('a client that writes back a whole row with an older marker undoes nothing', async () => {
  const room = await dataRoom(users(10));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await room.query('CREATE TABLE public.read_earlier AS SELECT * FROM public.users WHERE id = 1');
  await backfill.up(room.backfill(), room.bench.context());
  const marker = await room.value(
    "SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname LIKE 'zz\\_switchback\\_%'",
  );
  await room.query(
    `UPDATE public.users u SET full_name = 'Later Name', "${marker}" = r."${marker}" FROM public.read_earlier r WHERE u.id = r.id`,
  );
  expect(
    await room.query(
      `SELECT given_name, family_name, "${marker}" IS NULL AS unmigrated FROM public.users WHERE id = 1`,
    ),
  ).toEqual([{ given_name: 'Later', family_name: 'Name', unmigrated: 'f' }]);
});

test('generated columns are expanded as sources; triggers of others before ours are heeded', async () => {
  const room =
    await dataRoom(`CREATE TABLE users (id int PRIMARY KEY, first text, last text, full_name text GENERATED ALWAYS AS (first || ' ' || last) STORED, label text);
    CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.first := trim(new.first); RETURN new; END $$;
    CREATE TRIGGER tidy BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION tidy();
    INSERT INTO users (id, first, last) VALUES (1, 'Ada', 'Lovelace'), (2, 'Max', 'Born')`);
  const { down: _, ...step } = room.dualWrite({ up: { label: "'<' || users.full_name || '>'" } }).step;
  await dualWrite.up({ ...room.dualWrite(), step }, room.bench.context());
  await room.query("UPDATE public.users SET first = '  Augusta ' WHERE id = 1");
  expect(await room.value('SELECT label FROM public.users WHERE id = 1')).toBe('<Augusta Lovelace>');
});

test('what can’t be kept in step is refused by name', async () => {
  const room =
    await dataRoom(`${users(3)}; CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
    ALTER TABLE users ADD COLUMN with_default text DEFAULT '', ADD COLUMN computed text GENERATED ALWAYS AS (full_name) STORED`);
  const attempt = (fields: object) => dualWrite.up(room.dualWrite(fields), room.bench.context());
  const refused = (text: string) => ({ code: 'StatementFailed', retry: false, message: expect.stringContaining(text) });
  await expect(
    attempt({ up: { with_default: 'full_name' }, down: { full_name: 'with_default' } }),
  ).rejects.toMatchObject(refused('"with_default" of "public"."users" has a DEFAULT'));
  await expect(attempt({ up: { computed: 'full_name' } })).rejects.toMatchObject(
    refused('"computed" is a generated column'),
  );
  await expect(attempt({ up: { nope: 'full_name' } })).rejects.toMatchObject(refused('no column "nope"'));
  await expect(attempt({ up: { given_name: 'nope' } })).rejects.toMatchObject(refused('up.given_name'));
  await expect(attempt({ up: { given_name: 'users::text' } })).rejects.toMatchObject(refused('up.given_name'));
  await expect(attempt({ up: { given_name: 'max(full_name)' } })).rejects.toMatchObject(refused('up.given_name'));
  await expect(attempt({ table: 'nobody' })).rejects.toMatchObject(refused('"public"."nobody" does not exist'));
  await expect(attempt({ down: { given_name: 'full_name' } })).rejects.toMatchObject(
    refused('written by `up` and by `down`'),
  );
  await room.query('CREATE TRIGGER zzz_last BEFORE UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.noop()');
  await expect(attempt({})).rejects.toMatchObject(refused('trigger zzz_last on public.users would run after ours'));
  await room.query('ALTER TRIGGER zzz_last ON public.users RENAME TO before_ours');
  await attempt({});
});

test('undone without a trace, twice, and installed again', async () => {
  const room = await dataRoom(users(10));
  const traces = (): Promise<unknown[]> =>
    room.query(`SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = 'public.users'::regclass) AS triggers,
      (SELECT count(*) FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace) AS functions,
      (SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attnum > 0 AND NOT attisdropped) AS columns`);
  const before = await traces();
  const down = () => dualWrite.down({ ...room.dualWrite(), direction: 'down' }, room.bench.context());
  expect((await down()).note).toBe('nothing to remove');
  await dualWrite.up({ ...room.dualWrite(), run: room.bench.run({ epoch: 2 }) }, room.bench.context());
  expect(await traces()).not.toEqual(before);
  const undo = () =>
    dualWrite.down({ ...room.dualWrite(), direction: 'down', run: room.bench.run({ epoch: 2 }) }, room.bench.context());
  expect((await undo()).note).toBe('triggers and marker removed');
  expect(await traces()).toEqual(before);
  expect((await undo()).note).toBe('nothing to remove');
});

test('a column of our name that is not ours is left alone', async () => {
  const room = await dataRoom(users(1));
  const { marker } = dualWriteNames(room.bench.run(), 'sync');
  await room.query(`ALTER TABLE public.users ADD COLUMN "${marker}" smallint`);
  await expect(dualWrite.up(room.dualWrite(), room.bench.context())).rejects.toMatchObject({ code: 'ForeignObject' });
  await dualWrite.down({ ...room.dualWrite(), direction: 'down' }, room.bench.context());
  expect(await room.value(`SELECT count("${marker}") FROM public.users`)).toBe('0');
});

test('the triggers follow a column that is renamed and comes back', async () => {
  const room = await dataRoom(users(5));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const rename = (from: string, to: string) =>
    room.database.transaction(async (session) => {
      await session.query(`ALTER TABLE public.users RENAME COLUMN "${from}" TO "${to}"`);
      expect(await renameInDualWrites(session, 'public', 'users', { from, to })).toBe(1);
    });
  await rename('full_name', 'zz_retired_1');
  await room.query("UPDATE public.users SET given_name = 'Anna' WHERE id = 1");
  await room.query("INSERT INTO public.users (id, given_name, family_name) VALUES (9, 'Marie', 'Curie')");
  expect(await room.query('SELECT zz_retired_1 FROM public.users WHERE id IN (1, 9) ORDER BY id')).toEqual([
    { zz_retired_1: 'Anna Lovelace1' },
    { zz_retired_1: 'Marie Curie' },
  ]);
  await effects.verify.up(room.verify({ where: 'id IN (1, 9)', onMismatch: 'fail' }), room.bench.context());
  await rename('zz_retired_1', 'full_name');
  await room.query("UPDATE public.users SET full_name = 'Old Client' WHERE id = 9");
  expect(await room.query(row(9))).toMatchObject([{ given_name: 'Old', family_name: 'Client' }]);
});

test('rows that move between partitions keep both sides, before and after the backfill', async () => {
  const room =
    await dataRoom(`CREATE TABLE users (id int, region text, full_name text, given_name text, family_name text, PRIMARY KEY (region, id)) PARTITION BY LIST (region);
    CREATE TABLE users_eu PARTITION OF users FOR VALUES IN ('eu'); CREATE TABLE users_us PARTITION OF users FOR VALUES IN ('us');
    INSERT INTO users SELECT i, CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'Ada Lovelace' || i FROM generate_series(1, 200) i; ANALYZE users`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await room.query("UPDATE public.users SET region = 'us' WHERE id = 2");
  await room.query("UPDATE public.users SET given_name = 'A B', family_name = 'C', region = 'us' WHERE id = 4");
  await backfill.up(room.backfill({ chunk: { rows: 20, fixed: true } }), room.bench.context());
  await room.query("UPDATE public.users SET region = 'eu' WHERE id IN (4, 5)");
  expect(
    await room.query(
      'SELECT id, region, full_name, given_name, family_name FROM public.users WHERE id IN (2, 4, 5) ORDER BY id',
    ),
  ).toEqual([
    { id: '2', region: 'us', full_name: 'Ada Lovelace2', given_name: 'Ada', family_name: 'Lovelace2' },
    { id: '4', region: 'eu', full_name: 'A B C', given_name: 'A B', family_name: 'C' },
    { id: '5', region: 'eu', full_name: 'Ada Lovelace5', given_name: 'Ada', family_name: 'Lovelace5' },
  ]);
  expect((await effects.verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toBe(
    '0 of 200 rows differ (1 pass)',
  );
});

test('a lock that is not to be had: readers queue no longer than the lock timeout, and the blocker is named', async () => {
  const room = await dataRoom(users(10));
  const named = Promise.withResolvers<string>();
  const held = await room.database.session((session) =>
    session.transaction(async (open) => {
      await open.query('LOCK TABLE public.users IN ACCESS SHARE MODE');
      const running = dualWrite.up(room.dualWrite(), room.bench.context({ onNote: named.resolve }));
      running.catch(named.reject);
      const note = await named.promise;
      const began = performance.now();
      await room.query('SELECT count(*) FROM public.users');
      expect(performance.now() - began).toBeLessThan(1_500);
      expect(note).toContain(`pid ${session.pid}`);
      return { running };
    }),
  );
  expect((await held.running).note).toContain('kept in step');
});

test('row-level security that would hide rows from the worker is refused by name', async () => {
  const room = await dataRoom(
    `${users(10)}; ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY half ON users USING (id % 2 = 0)`,
  );
  const role = `limited_${room.bench.run().epoch}_${Date.now()}`;
  await room.query(
    `CREATE ROLE ${role} LOGIN PASSWORD 'limited'; GRANT ALL ON public.users TO ${role}; GRANT USAGE ON SCHEMA public TO ${role}`,
  );
  try {
    const shape = room.database.transaction(async (session) => {
      await session.query(`SET LOCAL ROLE ${role}`);
      return readTableShape(session, 'public', 'users');
    });
    await expect(shape).rejects.toMatchObject({
      code: 'StatementFailed',
      message: expect.stringContaining('row-level security of "public"."users"'),
    });
    // The owner sees all rows: the same table is fine then.
    await dualWrite.up(room.dualWrite(), room.bench.context());
  } finally {
    await room.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('what a write costs is measured on a copy, told and kept; of a table with few rows nothing is said', async () => {
  const room = await dataRoom(users(100));
  const { note } = await dualWrite.up(room.dualWrite(), room.bench.context());
  expect(note).toMatch(/kept in step; a write of full_name takes [\d.]+ µs longer \([\d.]+ → [\d.]+ µs\)$/);
  const cost = await room.value("SELECT detail->'cost' FROM switchback.steps WHERE step = 'sync'");
  expect(JSON.parse(cost ?? '')).toMatchObject({ column: 'full_name', writes: expect.any(Number) });
  expect(await room.value("SELECT count(*) FROM pg_class WHERE relname = 'zz_switchback_cost'")).toBe('0');
  expect(await room.value('SELECT count(*) FROM public.users WHERE given_name IS NOT NULL')).toBe('0');
  const few = await dataRoom(users(5));
  expect((await dualWrite.up(few.dualWrite(), few.bench.context())).note).toMatch(/kept in step$/);
});

test('the function says whose it is, belongs to the worker’s role, and nobody else may call it', async () => {
  const room = await dataRoom(users(1));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const [made] = await room.query(
    `SELECT p.prosrc AS source, p.prosecdef AS definer, p.proconfig::text AS settings, p.proowner::regrole::text = current_user AS owned,
       has_function_privilege('pg_monitor', p.oid, 'EXECUTE') AS others, obj_description(p.oid, 'pg_proc') AS comment,
       (SELECT string_agg(DISTINCT obj_description(t.oid, 'pg_trigger'), ' ') FROM pg_trigger t WHERE t.tgfoid = p.oid) AS triggers
     FROM pg_proc p WHERE p.pronamespace = 'switchback'::regnamespace AND p.proname LIKE 'sync%'`,
  );
  const { migration, version } = room.bench.run();
  const summary = `Switchback: migration "${migration}" version ${version}, step "sync" keeps columns of "public"."users" in step`;
  expect(made).toMatchObject({ definer: 't', owned: 't', others: 'f', comment: summary, triggers: summary });
  expect(made?.['settings']).toContain('search_path=pg_catalog, public, pg_temp');
  expect(made?.['source']).toContain(`-- ${summary}`);
});

test('triggers that an older version made go on, and follow a column that is renamed', async () => {
  const room = await dataRoom(users(5));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const { marker, trigger } = dualWriteNames(room.bench.run(), 'sync');
  const sync = await room.value("SELECT 'switchback.' || proname FROM pg_proc WHERE proname LIKE 'sync%'");
  // Such a WHEN they had, and no `madeBy` in the ledger.
  await room.query(`DROP TRIGGER "${trigger}_u" ON public.users;
    CREATE TRIGGER "${trigger}_u" BEFORE UPDATE ON public.users FOR EACH ROW WHEN (
      (new."${marker}" IS NOT DISTINCT FROM old."${marker}" AND (old."${marker}" IS NULL OR ROW(new.full_name, new.given_name, new.family_name)::record *<> ROW(old.full_name, old.given_name, old.family_name)::record))
      OR (new."${marker}" IS DISTINCT FROM old."${marker}" AND new."${marker}" IS DISTINCT FROM (CASE WHEN old."${marker}" IS NULL THEN 2 WHEN old."${marker}" = 0 THEN 3 WHEN old."${marker}" > 1 THEN old."${marker}" + 1 END)))
      EXECUTE FUNCTION ${sync}();
    UPDATE switchback.steps SET detail = detail #- '{dualWrite,madeBy}' WHERE step = 'sync'`);
  await room.database.transaction(async (session) => {
    await session.query('ALTER TABLE public.users RENAME COLUMN full_name TO whole_name');
    await renameInDualWrites(session, 'public', 'users', { from: 'full_name', to: 'whole_name' });
  });
  await room.query("UPDATE public.users SET whole_name = 'Old Client' WHERE id = 1");
  await room.query("UPDATE public.users SET given_name = 'Anna' WHERE id = 2");
  expect(await room.query('SELECT whole_name, given_name FROM public.users WHERE id < 3 ORDER BY id')).toEqual([
    { whole_name: 'Old Client', given_name: 'Old' },
    { whole_name: 'Anna lead2', given_name: 'Anna' },
  ]);
  await dualWrite.down({ ...room.dualWrite(), direction: 'down' }, room.bench.context());
  expect(await room.value("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'zz%'")).toBe('0');
});
