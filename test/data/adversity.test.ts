import { expect, test } from 'vitest';
import { walkRange } from '../../src/adapters/postgres/backfill.ts';
import { effectBench } from '../harness/effect-context.ts';
import { chain, schemaOf, splitSteps } from './chain.ts';
import { dataRoom, effects, users } from './room.ts';

const PEOPLE = `INSERT INTO users (id, full_name) SELECT i, CASE i % 4 WHEN 0 THEN 'Solo' || i WHEN 1 THEN 'Ada Lovelace' || i WHEN 2 THEN ' lead' || i ELSE 'Jean Luc Picard' || i END
  FROM generate_series(1, 200) i; ANALYZE users`;
const TABLES: Record<string, string> = {
  plain: `CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL DEFAULT '', note text); ${PEOPLE}`,
  'with a named NOT NULL, checks, indexes, a view on other columns and a trigger of the user': `
    CREATE TABLE users (id bigint PRIMARY KEY, full_name text CONSTRAINT named_so NOT NULL CHECK (length(full_name) < 500), note text,
      initials text GENERATED ALWAYS AS (left(full_name, 1)) STORED);
    CREATE INDEX by_name ON users (lower(full_name)) INCLUDE (full_name); CREATE VIEW notes AS SELECT id, note FROM users;
    CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.note := coalesce(new.note, 'touched'); RETURN new; END $$;
    CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
    COMMENT ON COLUMN users.full_name IS 'as people write it'; GRANT SELECT (full_name) ON users TO PUBLIC; ${PEOPLE}`,
  'under row-level security of its owner': `CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL, note text);
    ALTER TABLE users ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON users USING (full_name <> '') WITH CHECK (length(full_name) > 0); ${PEOPLE}`,
  'partitioned, one partition attached with a NOT NULL of its own': `
    CREATE TABLE users (id bigint, full_name text NOT NULL, note text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
    CREATE TABLE users_low PARTITION OF users FOR VALUES FROM (MINVALUE) TO (100);
    CREATE TABLE users_high (id bigint NOT NULL, full_name text CONSTRAINT its_own NOT NULL, note text);
    ALTER TABLE users ATTACH PARTITION users_high FOR VALUES FROM (100) TO (MAXVALUE); ${PEOPLE}`,
  'with a composite key of mixed directions': `CREATE TABLE users (id bigint, full_name text NOT NULL, note text NOT NULL DEFAULT 'n');
    CREATE UNIQUE INDEX by_note ON users (note DESC, id); ${PEOPLE}`,
};

test.each(Object.keys(TABLES))('rolled back from every point, and up again, with clients at work: %s', async (name) => {
  const room = await dataRoom(TABLES[name] ?? '');
  const before = await schemaOf(room.bench);
  const steps = splitSteps();
  for (const [at] of steps.entries()) {
    const migration = chain(room.bench, steps, { epoch: at + 1 });
    const row = 1000 + at;
    await migration.up(steps.slice(0, at).map(({ id }) => id));
    await room.query('INSERT INTO public.users (id, full_name) VALUES ($1, $2)', [row, 'Old Client']);
    await migration.up(steps.slice(at, at + 1).map(({ id }) => id));
    if (at === 1 || at === 2)
      await room.query('UPDATE public.users SET full_name = $2 WHERE id = $1', [row, 'Old Changed']);
    if (at >= 1) {
      await room.query('INSERT INTO public.users (id, given_name, family_name) VALUES ($1, $2, $3)', [
        row + 100,
        'New',
        'Client',
      ]);
      await room.query('UPDATE public.users SET given_name = $2 WHERE id = $1', [row, 'Anna']);
    }
    await migration.down();
    if (at === steps.length - 1) await migration.down();
    expect(await schemaOf(room.bench)).toEqual(before);
    const family = at === 1 || at === 2 ? 'Changed' : 'Client';
    expect(await room.value('SELECT full_name FROM public.users WHERE id = $1', [row])).toBe(
      at >= 1 ? `Anna ${family}` : 'Old Client',
    );
    if (at >= 1)
      expect(await room.value('SELECT full_name FROM public.users WHERE id = $1', [row + 100])).toBe('New Client');
  }
  expect(
    await room.value(
      "SELECT count(*) FROM public.users WHERE id <= 200 AND (full_name LIKE 'Solo%' OR full_name LIKE '% %')",
    ),
  ).toBe('200');
});

test('a worker without superuser that may create in the database and owns the tables can do and undo all of it', async () => {
  const room = await dataRoom(
    `CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL, note text); ${PEOPLE}`,
  );
  const name = (await room.value('SELECT current_database()')) ?? '';
  const role = `worker_${name}`;
  await room.query(`CREATE ROLE "${role}" LOGIN PASSWORD 'w'; GRANT CREATE ON DATABASE "${name}" TO "${role}"; GRANT CREATE, USAGE ON SCHEMA public TO "${role}";
    ALTER TABLE public.users OWNER TO "${role}"; DROP SCHEMA switchback CASCADE`);
  const url = new URL(room.url);
  url.username = role;
  url.password = 'w';
  const bench = await effectBench(url.href);
  try {
    const before = await schemaOf(bench);
    const migration = chain(bench, [
      ...splitSteps(),
      {
        id: 'index',
        uses: 'ddl',
        database: 'app',
        up: 'CREATE INDEX CONCURRENTLY by_given ON users (given_name); CREATE TABLE extra (a int)',
      },
    ]);
    await migration.up();
    expect(await room.value('SELECT count(*) FROM public.users WHERE given_name IS NOT NULL')).toBe('200');
    await room.query("INSERT INTO public.users (id, given_name) VALUES (1000, 'Plato')");
    await migration.down();
    expect(await schemaOf(bench)).toEqual(before);
    expect(await room.value('SELECT full_name FROM public.users WHERE id = 1000')).toBe('Plato');
  } finally {
    await bench.close();
    await room.query(`DROP OWNED BY "${role}" CASCADE; DROP ROLE "${role}"`);
  }
});

test('names in quotes, not ASCII, of 63 bytes, that are words of SQL and of PL/pgSQL, in another schema', async () => {
  const [schema, table] = ['Größe "x"', `${'ä'.repeat(30)}"Ü`.slice(0, 31)];
  const [full, given, family] = ['new', 'old', '名'.repeat(21)];
  const q = (of: string): string => `"${of.replaceAll('"', '""')}"`;
  const on = `${q(schema)}.${q(table)}`;
  const room =
    await dataRoom(`CREATE SCHEMA ${q(schema)}; CREATE TABLE ${on} ("Select" bigint PRIMARY KEY, "new" text NOT NULL, "tg_op" text, zz_up_1 text);
    INSERT INTO ${on} ("Select", "new") SELECT i, 'Ada Lovelace' || i FROM generate_series(1, 300) i; ANALYZE ${on}`);
  const before = await schemaOf(room.bench);
  const where = { database: 'app', schema };
  const migration = chain(room.bench, [
    {
      ...where,
      id: 'columns',
      uses: 'ddl',
      up: `ALTER TABLE ${q(table)} ADD COLUMN ${q(given)} text, ADD COLUMN ${q(family)} text`,
    },
    {
      ...where,
      id: 'sync',
      uses: 'dual-write',
      table,
      up: { [given]: `split_part("new", ' ', 1)`, [family]: `split_part(${q(table)}."new", ' ', 2)` },
      down: { [full]: `"old" || ' ' || ${q(family)}` },
    },
    { id: 'fill', uses: 'backfill', of: 'sync' },
    { id: 'check', uses: 'verify', of: 'sync', onMismatch: 'fail' },
    { ...where, id: 'hide', uses: 'retire', column: `${table}.new` },
  ]);
  await migration.up(['columns', 'sync']);
  await room.query(`UPDATE ${on} SET "old" = 'Anna' WHERE "Select" = 1`);
  await migration.up(['fill', 'check', 'hide']);
  await room.query(`UPDATE ${on} SET "old" = 'Bea' WHERE "Select" = 2`);
  await migration.down();
  expect(await schemaOf(room.bench)).toEqual(before);
  expect(await room.query(`SELECT "new" FROM ${on} WHERE "Select" < 3 ORDER BY "Select"`)).toEqual([
    { new: 'Anna Lovelace1' },
    { new: 'Bea Lovelace2' },
  ]);
});

const NICK = {
  id: 'nick',
  uses: 'dual-write',
  database: 'app',
  table: 'users',
  up: { nick: 'lower(note)' },
  down: { note: 'upper(nick)' },
} as const;

test('two dual writes of one table in one plan, with columns of their own', async () => {
  const room = await dataRoom(
    `CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL, note text, nick text); ${PEOPLE}`,
  );
  const before = await schemaOf(room.bench);
  const [columns, sync, ...rest] = splitSteps();
  const migration = chain(room.bench, [
    ...[columns, sync].flatMap((step) => step ?? []),
    NICK,
    { id: 'fill-nick', uses: 'backfill', of: 'nick' },
    ...rest,
    { id: 'check-nick', uses: 'verify', of: 'nick', onMismatch: 'fail' },
  ]);
  await migration.up(['columns', 'sync', 'nick']);
  await room.query("UPDATE public.users SET note = 'X', given_name = 'Anna' WHERE id = 5");
  await migration.up();
  await room.query("INSERT INTO public.users (id, given_name, nick) VALUES (1000, 'Plato', 'p')");
  await migration.down();
  expect(await schemaOf(room.bench)).toEqual(before);
  expect(await room.query('SELECT full_name, note FROM public.users WHERE id IN (5, 1000) ORDER BY id')).toEqual([
    { full_name: 'Anna Lovelace5', note: 'X' },
    { full_name: 'Plato', note: 'P' },
  ]);
});

test('a dual write that would take turns with another one over a column is refused, by both names', async () => {
  const room = await dataRoom(`${users(10)}; ALTER TABLE users ADD COLUMN greeting text`);
  await effects.dualWrite.up(room.dualWrite(), room.bench.context());
  const chained = room.dualWrite({
    id: 'greet',
    up: { greeting: "'Hi ' || given_name" },
    down: { given_name: 'substr(greeting, 4)' },
  });
  const second = { ...chained, run: room.bench.run({ migration: 'second' }) };
  await room.database.query("INSERT INTO switchback.fences VALUES ('second', 1)");
  await expect(effects.dualWrite.up(second, room.bench.context())).rejects.toMatchObject({
    code: 'StatementFailed',
    message: expect.stringMatching(/given_name.*step "sync" of migration "test-migration"/),
  });
  await effects.dualWrite.down({ ...room.dualWrite(), direction: 'down' }, room.bench.context());
  await effects.dualWrite.up(second, room.bench.context());
});

test('a migration after one that completed, with a column of the name that was retired', async () => {
  const room = await dataRoom(TABLES['plain'] ?? '');
  await chain(room.bench, splitSteps()).up();
  await room.database.query("INSERT INTO switchback.fences VALUES ('second', 1)");
  const before = await schemaOf(room.bench);
  const second = chain(
    room.bench,
    [
      {
        id: 'again',
        uses: 'ddl',
        database: 'app',
        up: 'ALTER TABLE users ADD COLUMN full_name text, ADD COLUMN title text',
      },
      {
        id: 'titles',
        uses: 'dual-write',
        database: 'app',
        table: 'users',
        up: { title: 'upper(full_name)' },
        down: { full_name: 'lower(title)' },
      },
      { id: 'fill', uses: 'backfill', of: 'titles' },
      { id: 'check', uses: 'verify', of: 'titles', onMismatch: 'fail' },
      { id: 'hide', uses: 'retire', database: 'app', column: 'users.full_name' },
      { id: 'hide-given', uses: 'retire', database: 'app', column: 'users.given_name' },
    ],
    { migration: 'second' },
  );
  await second.up();
  await room.query("UPDATE public.users SET title = 'DR' WHERE id = 5");
  await room.query("UPDATE public.users SET family_name = 'Byron' WHERE id = 5");
  await second.down();
  expect(await schemaOf(room.bench)).toEqual(before);
  await room.query("UPDATE public.users SET given_name = 'Augusta' WHERE id = 9");
  // The first one's rollback is no longer possible in a run, but its steps still know their way back.
  await chain(room.bench, splitSteps()).down();
  expect(await room.query('SELECT full_name FROM public.users WHERE id IN (5, 9) ORDER BY id')).toEqual([
    { full_name: 'Ada Byron' },
    { full_name: 'Augusta Lovelace9' },
  ]);
});

test('a `ddl` step that renames a column of a dual write takes its triggers along, and back', async () => {
  const room = await dataRoom(TABLES['plain'] ?? '');
  const before = await schemaOf(room.bench);
  const migration = chain(room.bench, [
    ...splitSteps().slice(0, 4),
    {
      id: 'rename',
      uses: 'ddl',
      database: 'app',
      up: 'ALTER TABLE users RENAME COLUMN given_name TO first_name; ALTER TABLE users RENAME COLUMN full_name TO whole',
      allow: [{ rule: 'rename-column-under-readers', reason: 'no clients here' }],
    },
    { id: 'hide', uses: 'retire', database: 'app', column: 'users.whole' },
  ]);
  await migration.up();
  await room.query("UPDATE public.users SET first_name = 'Anna' WHERE id = 5");
  await room.query("INSERT INTO public.users (id, first_name, family_name) VALUES (1000, 'Marie', 'Curie')");
  await migration.down();
  expect(await schemaOf(room.bench)).toEqual(before);
  expect(await room.query('SELECT full_name FROM public.users WHERE id IN (5, 1000) ORDER BY id')).toEqual([
    { full_name: 'Anna Lovelace5' },
    { full_name: 'Marie Curie' },
  ]);
});

test('a table of a dual write can’t be renamed under it', async () => {
  const room = await dataRoom(TABLES['plain'] ?? '');
  const migration = chain(room.bench, [
    ...splitSteps().slice(0, 2),
    {
      id: 'rename',
      uses: 'ddl',
      database: 'app',
      up: 'ALTER TABLE users RENAME TO people',
      allow: [{ rule: 'rename-table-under-readers', reason: 'no clients here' }],
    },
  ]);
  await expect(migration.up()).rejects.toMatchObject({
    code: 'StatementFailed',
    message: expect.stringContaining('step "sync" of migration "test-migration"'),
  });
  await room.query("INSERT INTO public.users (id, full_name) VALUES (1000, 'Marie Curie')");
});

test('a trigger of the user that reads what ours derives is refused by name', async () => {
  const room = await dataRoom(`${users(5)};
    CREATE FUNCTION greet() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN new.note := 'Hi ' || new.given_name; RETURN new; END $$;
    CREATE TRIGGER greets BEFORE INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION greet()`);
  await expect(effects.dualWrite.up(room.dualWrite(), room.bench.context())).rejects.toMatchObject({
    code: 'StatementFailed',
    message: expect.stringMatching(/trigger greets.*given_name/),
  });
});

test('a client that writes back a whole row read before the new side changed leaves both sides in step', async () => {
  const room = await dataRoom(users(10));
  await effects.dualWrite.up(room.dualWrite(), room.bench.context());
  await effects.backfill.up(room.backfill(), room.bench.context());
  const assignments = await room.value(
    `SELECT string_agg(format('%I = r.%I', attname, attname), ', ') FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attnum > 1 AND NOT attisdropped AND attname <> 'full_name'`,
  );
  await room.query('CREATE TABLE public.read_before AS SELECT * FROM public.users');
  await room.query("UPDATE public.users SET given_name = 'Bea' WHERE id = 1");
  await room.query("UPDATE public.users SET full_name = 'Cleo Two' WHERE id = 6");
  await room.query(
    `UPDATE public.users u SET ${assignments}, full_name = 'Written Back' FROM public.read_before r WHERE r.id = u.id AND u.id IN (1, 6)`,
  );
  expect((await effects.verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toContain(
    '0 of 10',
  );
});

test('a worker that comes to a range which another one has finished, and the procedure with it, goes on', async () => {
  const room = await dataRoom(users(50));
  await effects.dualWrite.up(room.dualWrite(), room.bench.context());
  await effects.backfill.up(room.backfill(), room.bench.context());
  const [range] = await room.query("SELECT id, keys_done FROM switchback.ranges WHERE step = 'fill'");
  const seen: boolean[] = [];
  await room.database.session((session) =>
    walkRange(
      session,
      {
        id: range?.['id'] ?? '',
        ordinal: 0,
        lower: null,
        upper: null,
        cursor: null,
        open: true,
        keysDone: 0,
        rowsDone: 0,
        chunkRows: 100,
        digests: { before: null, after: null },
      },
      {
        database: room.database,
        owner: { run: room.bench.run(), step: 'fill' },
        work: undefined as never,
        procedure: 'backfill_dropped',
        requestedBy: 'test',
        pace: () => Promise.resolve({ rest: 0, chunkRows: null }),
        maxRowErrors: 0,
        signal: new AbortController().signal,
        chunkSize: () => ({ rows: 100, chunksMax: 1, observe: () => undefined }),
        onSlice: ({ open }) => void seen.push(open),
      },
    ),
  );
  expect(seen).toEqual([false]);
});

test.each(['dual-write', 'backfill', 'verify'] as const)(
  '%s that waits for a table which someone holds can be stopped',
  async (kind) => {
    const room = await dataRoom(users(10));
    if (kind !== 'dual-write') await effects.dualWrite.up(room.dualWrite(), room.bench.context());
    const over = new AbortController();
    const input = {
      'dual-write': () => room.dualWrite(),
      backfill: () => room.backfill(),
      verify: () => room.verify(),
    }[kind]();
    const effect = { 'dual-write': effects.dualWrite, backfill: effects.backfill, verify: effects.verify }[kind];
    await room.database.session((holder) =>
      holder.transaction(async (open) => {
        await open.query('LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE');
        const running = (effect.up as (i: unknown, c: unknown) => Promise<unknown>)(
          input,
          room.bench.context({ signal: over.signal }),
        );
        const ended = running.then(
          () => 'done',
          (error: unknown) => error,
        );
        for (let waits = '0'; waits === '0'; ) {
          waits =
            (await room.value(
              'SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND $1::int = ANY (pg_blocking_pids(pid))',
              [holder.pid],
            )) ?? '0';
        }
        over.abort(new Error('stopped'));
        expect(await ended).toMatchObject({ message: 'stopped' });
      }),
    );
  },
  15_000,
);
