import { describe, expect, test } from 'vitest';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { EffectResult } from '../../src/activities/effect.ts';
import { retire } from '../../src/activities/retire.ts';
import { namesWord } from '../../src/adapters/postgres/retire-references.ts';
import { retiredName } from '../../src/adapters/postgres/retire-work.ts';
import { retire as retireSchema } from '../../src/plan/steps/retire.ts';
import { dualWrite as dualWriteSchema } from '../../src/plan/steps/dual-write.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure, otherSession } from './other-session.ts';

const USERS = `SET search_path = public;
  CREATE TABLE users (id int PRIMARY KEY, full_name text NOT NULL, given_name text, family_name text);
  COMMENT ON COLUMN users.full_name IS 'as people write it';
  CREATE INDEX users_full_name ON users (lower(full_name));
  INSERT INTO users VALUES (1, 'Ada Lovelace'), (2, 'Plato'), (3, 'Gabriel García Márquez')`;

const step = (fields: object = {}): StepOf<'retire'> =>
  retireSchema.parse({ id: 'retire', uses: 'retire', database: 'app', column: 'users.full_name', ...fields });
const run = (bench: DdlBench, direction: 'up' | 'down', of = step(), generation = 1): Promise<EffectResult> =>
  retire[direction](bench.input<'retire'>(of, { direction, run: bench.run({ generation }) }), bench.context());
const sync = (bench: DdlBench, direction: 'up' | 'down', fields: object = {}): Promise<EffectResult> => {
  const of: StepOf<'dual-write'> = dualWriteSchema.parse({
    id: 'sync',
    uses: 'dual-write',
    database: 'app',
    table: 'users',
    up: {
      given_name: "split_part(full_name, ' ', 1)",
      family_name: "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END",
    },
    down: { full_name: "given_name || coalesce(' ' || family_name, '')" },
    ...fields,
  });
  return dualWrite[direction](bench.input<'dual-write'>(of, { direction }), bench.context());
};
const NAME = retiredName('test-migration', 'full_name');

describe('retire', () => {
  test('out of use and back: the schema is as before', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    await Promise.all([run(bench, 'up'), run(bench, 'up')]);
    expect((await failure(bench.query('SELECT full_name FROM public.users'))).message).toContain('does not exist');
    await bench.query(`INSERT INTO public.users (id, given_name) VALUES (4, 'Sappho')`);
    await bench.query('DELETE FROM public.users WHERE id = 4');
    await Promise.all([run(bench, 'down'), run(bench, 'down')]);
    expect(await bench.schema()).toEqual(before);
    expect((await run(bench, 'down')).note).toContain('had not been retired');
  });

  test('its triggers keep it current, so that what was written meanwhile is there when it is back', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    await sync(bench, 'up');
    expect((await run(bench, 'up')).note).toContain('its triggers keep it current');
    await bench.query(`INSERT INTO public.users (id, given_name, family_name) VALUES (4, 'Grace', 'Hopper')`);
    await bench.query(`UPDATE public.users SET given_name = 'Augusta' WHERE id = 1`);
    expect(await bench.query(`SELECT id, "${NAME}" AS name FROM public.users WHERE id IN (1, 4) ORDER BY id`)).toEqual([
      { id: '1', name: 'Augusta Lovelace' },
      { id: '4', name: 'Grace Hopper' },
    ]);
    await run(bench, 'down');
    expect(await bench.query('SELECT id, full_name FROM public.users ORDER BY id')).toEqual([
      { id: '1', full_name: 'Augusta Lovelace' },
      { id: '2', full_name: 'Plato' },
      { id: '3', full_name: 'Gabriel García Márquez' },
      { id: '4', full_name: 'Grace Hopper' },
    ]);
    await bench.query(`UPDATE public.users SET full_name = 'Grace B. Hopper' WHERE id = 4`);
    expect(await bench.query('SELECT given_name, family_name FROM public.users WHERE id = 4')).toEqual([
      { given_name: 'Grace', family_name: 'B. Hopper' },
    ]);
    await sync(bench, 'down');
    expect(await bench.schema()).toEqual(before);
  });

  test('writers on another connection never fail meanwhile', async () => {
    const bench = await ddlBench(USERS);
    await sync(bench, 'up');
    const writer = await otherSession(bench, 'web');
    let writing = true;
    let written = 0;
    const writes = (async () => {
      while (writing) {
        await writer.query(`UPDATE public.users SET family_name = 'n' || ${++written} WHERE id = 2`);
      }
    })();
    await run(bench, 'up');
    await run(bench, 'down');
    writing = false;
    await writes;
    expect(await bench.query('SELECT full_name FROM public.users WHERE id = 2')).toEqual([
      { full_name: `Plato n${written}` },
    ]);
  });

  test('rows that got no value meanwhile: it is back in use, and says what NOT NULL lacks', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    await run(bench, 'up');
    await bench.query(`INSERT INTO public.users (id, given_name) VALUES (4, 'Sappho')`);
    const error = await failure(run(bench, 'down'));
    expect(error).toMatchObject({ code: 'StatementFailed', retry: false, fields: { column: 'full_name' } });
    expect(error.message).toContain('holds NULL in some rows');
    await bench.query(`UPDATE public.users SET full_name = given_name WHERE full_name IS NULL`);
    await run(bench, 'down');
    expect(await bench.schema()).toEqual(before);
  });

  test.each([
    ['a view', 'CREATE VIEW names AS SELECT full_name FROM users', 'view public.names'],
    [
      'a materialized view',
      'CREATE MATERIALIZED VIEW names AS SELECT full_name FROM users',
      'materialized view public.names',
    ],
    [
      'a trigger and its function',
      `CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.Full_Name := upper(NEW.Full_Name); RETURN NEW; END';
       CREATE TRIGGER shouting BEFORE UPDATE OF full_name ON users FOR EACH ROW EXECUTE FUNCTION shout()`,
      'function public.shout(), trigger shouting',
    ],
    [
      'a function by its text',
      `CREATE FUNCTION find(n text) RETURNS SETOF int LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT id FROM users WHERE full_name = n; END'`,
      'function public.find(text)',
    ],
    [
      'a function of its row',
      `CREATE FUNCTION label(u users) RETURNS text LANGUAGE sql AS 'SELECT u.full_name'`,
      'function public.label(public.users)',
    ],
    [
      'a function with a parsed body',
      'CREATE FUNCTION first() RETURNS text LANGUAGE sql BEGIN ATOMIC SELECT full_name FROM users LIMIT 1; END',
      'function public.first()',
    ],
  ])('is refused while it is named by %s', async (_name, sql, named) => {
    const bench = await ddlBench(`${USERS}; ${sql}`);
    const before = await bench.schema();
    const error = await failure(run(bench, 'up'));
    expect(error).toMatchObject({ code: 'StillInUse', retry: false });
    expect(error.message).toContain(named);
    expect(await bench.schema()).toEqual(before);
    await run(bench, 'down');
    expect(await bench.schema()).toEqual(before);
  });

  test('functions that only look like it are in nobody’s way', async () => {
    const bench = await ddlBench(`${USERS};
      CREATE FUNCTION other() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT full_name FROM pets); END';
      CREATE FUNCTION longer() RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT full_name_2 FROM users); END'`);
    expect((await run(bench, 'up')).note).toContain(`out of use as "${NAME}"`);
  });

  test('a column of the primary key and one that isn’t there are refused', async () => {
    const bench = await ddlBench(USERS);
    expect((await failure(run(bench, 'up', step({ column: 'users.id' })))).message).toContain(
      'is part of the primary key',
    );
    expect((await failure(run(bench, 'up', step({ column: 'users.nothing' })))).message).toContain('does not exist');
  });

  test('a new column of the old name is left alone', async () => {
    const bench = await ddlBench(USERS);
    await run(bench, 'up');
    await bench.query('ALTER TABLE public.users ADD COLUMN full_name text');
    expect(await failure(run(bench, 'down'))).toMatchObject({ code: 'ForeignObject' });
    await bench.query('ALTER TABLE public.users DROP COLUMN full_name');
    await run(bench, 'down');
  });

  test('an older generation stops', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    await bench.raiseFence(2);
    expect(await failure(run(bench, 'up'))).toMatchObject({ code: 'Fenced' });
    await run(bench, 'down', step(), 2);
    expect(await failure(run(bench, 'up', step(), 2))).toMatchObject({ code: 'Fenced' });
    expect(await bench.schema()).toEqual(before);
  });

  test('names of 63 bytes, quoted, in another schema', async () => {
    const column = `${'ü'.repeat(30)} "`;
    const quoted = `"${column.replaceAll('"', '""')}"`;
    const bench = await ddlBench(
      `CREATE SCHEMA "My App"; CREATE TABLE "My App"."User Table" (id int PRIMARY KEY, ${quoted} text NOT NULL)`,
    );
    const before = await bench.schema();
    const of = step({ schema: 'My App', column: `User Table.${column}` });
    await run(bench, 'up', of);
    expect(
      (await bench.snapshot()).has(
        JSON.stringify(['column', 'My App', 'User Table', retiredName('test-migration', column)]),
      ),
    ).toBe(true);
    await run(bench, 'down', of);
    expect(await bench.schema()).toEqual(before);
  });
});

test('a retired name is at most 63 bytes, whole characters, and differs by migration', () => {
  const name = retiredName('split-names', 'ü'.repeat(31));
  expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
  expect(name).toMatch(/^zz_retired_[0-9a-f]{8}_ü+$/);
  expect(retiredName('other', 'a')).not.toBe(retiredName('split-names', 'a'));
});

test('a word is found whole, in any case, whatever characters it has', () => {
  expect(namesWord('new.Full_Name', 'full_name')).toBe(true);
  expect(namesWord('full_names', 'full_name')).toBe(false);
  expect(namesWord('größer', 'größe')).toBe(false);
  expect(namesWord('SELECT "a.b"', 'a.b')).toBe(true);
  expect(namesWord('SELECT axb', 'a.b')).toBe(false);
});
