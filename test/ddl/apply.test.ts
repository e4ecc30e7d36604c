import { describe, expect, test } from 'vitest';
import { ddlBench } from './bench.ts';
import { failure, kill, otherSession, ourWaiting } from './other-session.ts';

const USERS = `SET search_path = public;
  CREATE TABLE users (id int PRIMARY KEY, email text, age int);
  INSERT INTO users SELECT i, 'u' || i, i FROM generate_series(1, 50) i`;
const THREE = `ALTER TABLE users ADD COLUMN a text;
  -- the second
  ALTER TABLE users ADD COLUMN b text DEFAULT 'x;y';
  CREATE INDEX users_b ON users (b);`;
const columns = `SELECT string_agg(attname, ',' ORDER BY attnum) AS names FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attnum > 0 AND NOT attisdropped`;

describe('each statement takes effect once', () => {
  test('called again, and by two workers at a time', async () => {
    const bench = await ddlBench(USERS);
    const step = bench.step(THREE);
    await Promise.all([bench.up(step), bench.up(step)]);
    expect(await bench.up(step)).toEqual({ note: 'was applied before', progress: null });
    expect(await bench.query(columns)).toEqual([{ names: 'id,email,age,a,b' }]);
    await Promise.all([bench.down(step), bench.down(step)]);
    expect(await bench.query(columns)).toEqual([{ names: 'id,email,age' }]);
    expect((await bench.down(step)).note).toBe('was undone before');
  });

  test('killed while a statement waits: the next worker goes on with it', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = bench.step(THREE);
    const blocker = await otherSession(bench);
    await bench.up(bench.step('ALTER TABLE users ADD COLUMN early text', { id: 'earlier' }));
    await blocker.query('BEGIN');
    await blocker.query('LOCK TABLE public.users IN ACCESS SHARE MODE');
    const first = failure(bench.up(step));
    await kill(bench, await ourWaiting(bench, 'ALTER TABLE users ADD COLUMN a'));
    expect((await first).code).toBe('DatabaseUnreachable');
    await blocker.query('COMMIT');
    await bench.up(step);
    expect(await bench.query(columns)).toEqual([{ names: 'id,email,age,early,a,b' }]);
    await bench.down(step);
    await bench.down(bench.step('ALTER TABLE users ADD COLUMN early text', { id: 'earlier' }));
    expect(await bench.schema()).toEqual(before);
  });

  test('a failing statement names itself; what came before it is kept for the retry and for the undo', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = bench.step('ALTER TABLE users ADD COLUMN a text;\nALTER TABLE users\n  ADD COLUMN email text');
    const error = await failure(bench.up(step));
    expect(error).toMatchObject({ code: 'StatementFailed', retry: false, fields: { statement: 2, sqlState: '42701' } });
    expect(error.message).toContain('statement 2 (ALTER TABLE users)');
    expect(error.message).toContain('column "email" of relation "users" already exists');
    expect(await bench.query(columns)).toEqual([{ names: 'id,email,age,a' }]);
    expect(await failure(bench.up(step))).toMatchObject({ code: 'StatementFailed', fields: { statement: 2 } });
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('an error says where in the statement', async () => {
    const bench = await ddlBench(USERS);
    const error = await failure(bench.up(bench.step('CREATE INDEX nope ON users (missing)')));
    expect(error).toMatchObject({ code: 'StatementFailed', fields: { sqlState: '42703', statement: 1 } });
    expect(
      (await failure(bench.up(bench.step('CREATE VIEW v AS SELECT nothing FROM users', { id: 'v' })))).message,
    ).toMatch(/column "nothing" does not exist.*at character 25/);
  });

  test('an older generation stops, and so does an up that wakes after the undo', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = bench.step(THREE);
    await bench.raiseFence(2);
    expect(await failure(bench.up(step))).toMatchObject({ code: 'Fenced', retry: false });
    expect(await failure(bench.down(step))).toMatchObject({ code: 'Fenced' });
    const current = { run: { generation: 2 } };
    await bench.down(step, current);
    expect(await failure(bench.up(step, current))).toMatchObject({ code: 'Fenced' });
    expect(await bench.schema()).toEqual(before);
  });

  test('up, down, and up again in the next epoch', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = bench.step(THREE);
    for (const epoch of [1, 2]) {
      await bench.up(step, { run: { epoch } });
      expect(await bench.query(columns)).toEqual([{ names: 'id,email,age,a,b' }]);
      await bench.down(step, { run: { epoch } });
      expect(await bench.schema()).toEqual(before);
    }
  });

  test('another text under the same run is refused', async () => {
    const bench = await ddlBench(USERS);
    await failure(bench.up(bench.step('ALTER TABLE users ADD COLUMN a text; ALTER TABLE nowhere ADD COLUMN b text')));
    const changed = bench.step('ALTER TABLE users ADD COLUMN other text; ALTER TABLE users ADD COLUMN b text');
    expect(await failure(bench.up(changed))).toMatchObject({ code: 'PlanChanged', fields: { statement: 1 } });
  });
});

describe('names', () => {
  const long = 'ä'.repeat(31);
  test('quoted, not ASCII, 63 bytes, in another schema', async () => {
    const bench = await ddlBench(
      `CREATE SCHEMA "Größe ""x"""; CREATE TABLE "Größe ""x"""."User Table" (id int PRIMARY KEY)`,
    );
    const before = await bench.schema();
    const step = bench.step(
      `ALTER TABLE "User Table" ADD COLUMN "${long}" text, ADD COLUMN "a""b 'c' \\ .d" int DEFAULT 1 CHECK ("a""b 'c' \\ .d" > 0);
       CREATE INDEX CONCURRENTLY "${long}" ON "User Table" USING btree (lower("${long}"), "a""b 'c' \\ .d" DESC);
       COMMENT ON COLUMN "User Table"."${long}" IS 'it''s \\ ü';
       CREATE TABLE "select" ("from" text, "User" int REFERENCES "User Table" (id))`,
      { schema: 'Größe "x"' },
    );
    await bench.up(step);
    expect((await bench.snapshot()).has(JSON.stringify(['index', 'Größe "x"', 'User Table', long]))).toBe(true);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });
});

describe('only what the step itself changed is taken back', () => {
  test('ADD COLUMN IF NOT EXISTS on a column that exists', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = bench.step(
      'ALTER TABLE users ADD COLUMN IF NOT EXISTS email text, ADD COLUMN IF NOT EXISTS fresh text',
    );
    await bench.up(step);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
    expect(await bench.query('SELECT count(email) FROM public.users')).toEqual([{ count: '50' }]);
  });

  test('an index that someone else makes while the statement waits for its lock', async () => {
    const bench = await ddlBench(USERS);
    const other = await otherSession(bench);
    await other.query('BEGIN');
    await other.query('CREATE INDEX theirs ON public.users (age)');
    const step = bench.step('ALTER TABLE users ADD COLUMN ours text');
    const applied = bench.up(step);
    await ourWaiting(bench, 'ALTER TABLE users ADD COLUMN ours');
    await other.query('COMMIT');
    await applied;
    await bench.down(step);
    expect(await bench.query(columns)).toEqual([{ names: 'id,email,age' }]);
    expect(await bench.query("SELECT to_regclass('public.theirs')::text AS index")).toEqual([
      { index: 'public.theirs' },
    ]);
  });

  test('nothing was applied: nothing is done', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    expect((await bench.down(bench.step(THREE))).note).toBe('nothing had been applied');
    expect(await bench.schema()).toEqual(before);
  });

  test('an index of someone else that would go along stops the undo, by name', async () => {
    const bench = await ddlBench(USERS);
    const step = bench.step('ALTER TABLE users ADD COLUMN a text');
    await bench.up(step);
    await bench.query('CREATE INDEX theirs ON public.users (email, a)');
    const error = await failure(bench.down(step));
    expect(error).toMatchObject({ code: 'SchemaDrift', retry: false });
    expect(error.message).toContain('index "public.users.theirs"');
    await bench.query('DROP INDEX public.theirs');
    await bench.down(step);
    expect(await bench.query(columns)).toEqual([{ names: 'id,email,age' }]);
  });

  test('a default that someone changed since is drift', async () => {
    const bench = await ddlBench(USERS);
    const step = bench.step('ALTER TABLE users ALTER COLUMN age SET DEFAULT 18');
    await bench.up(step);
    await bench.query('ALTER TABLE public.users ALTER COLUMN age SET DEFAULT 21');
    const error = await failure(bench.down(step));
    expect(error).toMatchObject({ code: 'SchemaDrift' });
    expect(error.message).toContain('default of column "public.users.age" is "21"');
  });

  test('what is gone already counts as undone', async () => {
    const bench = await ddlBench(USERS);
    const step = bench.step('ALTER TABLE users ADD COLUMN a text');
    await bench.up(step);
    await bench.query('ALTER TABLE public.users DROP COLUMN a');
    await bench.down(step);
    expect(await bench.query(columns)).toEqual([{ names: 'id,email,age' }]);
  });
});

describe('what the catalog can’t bring back', () => {
  test.each([
    ['a type', 'ALTER TABLE users ALTER COLUMN age TYPE bigint', 'type of column "public.users.age"'],
    ['a dropped column', 'ALTER TABLE users DROP COLUMN age', 'column "public.users.age" was dropped'],
    ['a label of an enum', `ALTER TYPE mood ADD VALUE 'new'`, 'labels of type "public.mood"'],
    ['a widened view', 'CREATE OR REPLACE VIEW v AS SELECT id, email FROM users', 'column "public.v.email"'],
    [
      'an inherited NOT NULL that becomes the heir’s own',
      'ALTER TABLE heirs ALTER COLUMN id SET NOT NULL',
      'local of constraint "public.heirs.users_id_not_null"',
    ],
    ['a cast', 'CREATE CAST (mood AS int) WITH FUNCTION as_int(mood)', 'write `down`'],
  ])('%s is refused before it is committed', async (_name, sql, named) => {
    const bench =
      await ddlBench(`${USERS}; CREATE VIEW v AS SELECT id FROM users; CREATE TABLE heirs () INHERITS (users);
      CREATE TYPE mood AS ENUM ('good');
      CREATE FUNCTION as_int(mood) RETURNS int LANGUAGE sql AS 'SELECT 1'`);
    const before = await bench.schema();
    const error = await failure(bench.up(bench.step(sql)));
    expect(error).toMatchObject({ code: 'NotReversible', retry: false });
    expect(`${error.message} ${error.hint}`).toContain(named);
    expect(await bench.schema()).toEqual(before);
  });

  test('`down` undoes it, once', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = bench.step('ALTER TABLE users ALTER COLUMN age TYPE bigint; CREATE TABLE extra (a int)', {
      down: 'DROP TABLE extra; ALTER TABLE users ALTER COLUMN age TYPE int',
    });
    await bench.up(step);
    expect(await bench.schema()).not.toEqual(before);
    await Promise.all([bench.down(step), bench.down(step)]);
    expect(await bench.schema()).toEqual(before);
  });

  test('a `down` for the whole isn’t run on the half that the record can undo', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = bench.step('CREATE TABLE extra (a int); CREATE TABLE users (a int)', {
      down: 'DROP TABLE users; DROP TABLE extra',
    });
    await failure(bench.up(step));
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });
});
