import { describe, expect, test } from 'vitest';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import { retiredName } from '../../src/adapters/postgres/retire-work.ts';
import { recordDeprecation } from '../../src/adapters/postgres/deprecations.ts';
import { type CrashKind, crashLine, type SentStatement } from '../harness/crash-line.ts';
import { type ContractCase, contractRoom } from './contract-room.ts';
import { failure, otherSession } from './other-session.ts';

const USERS = `CREATE TABLE users (id int PRIMARY KEY, full_name text NOT NULL, given_name text, family_name text);
  CREATE INDEX users_full_name ON users (lower(full_name));
  INSERT INTO users (id, full_name) VALUES (1, 'Ada Lovelace'), (2, 'Plato'), (3, 'Grace Brewster Hopper')`;
const SPLIT = {
  given_name: "split_part(full_name, ' ', 1)",
  family_name: "CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END",
};
const JOIN = { full_name: "given_name || coalesce(' ' || family_name, '')" };
const COLUMN = { column: 'users.full_name' };
const NOW = { retention: '0s' };

const room = contractRoom();

/** Kept in step, filled by writing each row once, and out of use. */
async function retired(at: ContractCase, sync: object = { up: SPLIT, down: JOIN }): Promise<string> {
  await at.act('up', at.step('dual-write', { table: 'users', ...sync }));
  await at.query('UPDATE users SET full_name = full_name || $$$$');
  await at.query("UPDATE users SET full_name = full_name || ' x'; UPDATE users SET full_name = left(full_name, -2)");
  await at.act('up', at.step('retire', COLUMN));
  return retiredName(at.run.migration, 'full_name');
}
const columnsOf = async (at: ContractCase, table = 'users'): Promise<string[]> =>
  (
    await at.query(
      `SELECT attname FROM pg_attribute WHERE attrelid = to_regclass('${at.schema}.${table}') AND attnum > 0 AND NOT attisdropped ORDER BY attnum`,
    )
  ).map((row) => row['attname'] ?? '');
const leftOvers = (at: ContractCase): Promise<unknown> =>
  at.query(`SELECT t.tgname AS name FROM pg_trigger t WHERE t.tgrelid = '${at.schema}.users'::regclass`);

describe('a column', () => {
  test('goes with its triggers, its marker and its index; once, whoever asks how often', async () => {
    const at = await room.open(USERS);
    await retired(at);
    const drop = at.step('drop', { ...COLUMN, ...NOW });
    const notes = await Promise.all([at.act('up', drop), at.act('up', drop)]);
    const dropped = notes.find(({ note }) => note.includes('is dropped'));
    expect(dropped?.note).toContain('the triggers of dual-write went with it');
    expect(dropped?.note).toContain('index');
    expect((await at.act('up', drop)).note).toBe(dropped?.note);
    expect(await columnsOf(at)).toEqual(['id', 'given_name', 'family_name']);
    expect(await leftOvers(at)).toEqual([]);
    const functions = await at.query(
      `SELECT proname FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace AND prosrc LIKE '%given_name%'`,
    );
    expect(functions).toEqual([]);
    await at.query(
      "INSERT INTO users (id, given_name) VALUES (4, 'Sappho'); UPDATE users SET given_name = 'S' WHERE id = 4",
    );
  });

  test('another migration may keep the columns in step that are left', async () => {
    const at = await room.open(USERS);
    await retired(at);
    await at.query('ALTER TABLE users ADD COLUMN initial text');
    const next = { ...at.run, migration: `${at.run.migration}-next` };
    await new StepLedger(room.bench().database).raiseFence(next);
    const sync = at.step('dual-write', { id: 'next', table: 'users', up: { initial: 'left(given_name, 1)' } });
    expect((await failure(at.act('up', sync, { run: next }))).message).toContain(
      'is kept in step by step "dual-write"',
    );
    await at.act('up', at.step('drop', { ...COLUMN, ...NOW }));
    await at.act('up', sync, { run: next });
    await at.query("UPDATE users SET given_name = 'Zoe' WHERE id = 1");
    expect(await at.query('SELECT initial FROM users WHERE id = 1')).toEqual([{ initial: 'Z' }]);
  });

  test('not before its retention is over, by the clock of its database', async () => {
    const at = await room.open(USERS);
    await retired(at);
    const drop = at.step('drop', { ...COLUMN, retention: '1h' });
    const error = await failure(at.act('up', drop));
    expect(error).toMatchObject({ code: 'NotDueYet', retry: false });
    expect(error.message).toMatch(/may be dropped from \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/);
    await at.query("UPDATE switchback.steps SET applied_at = applied_at - interval '61 min' WHERE kind = 'retire'");
    await at.act('up', drop);
    expect(await columnsOf(at)).not.toContain(retiredName(at.run.migration, 'full_name'));
  });

  test('not before the sunset that the migration has announced', async () => {
    const at = await room.open(USERS);
    await retired(at);
    const announce = {
      step: 'announce',
      interface: 'user',
      version: '1.4.0',
      at: '2026-01-01T00:00:00Z',
      sunset: '2999-01-01T00:00:00Z',
      link: null,
    };
    await recordDeprecation(room.bench().database, at.run, announce);
    const error = await failure(at.act('up', at.step('drop', { ...COLUMN, ...NOW })));
    expect(error).toMatchObject({ code: 'NotDueYet', fields: { dueAt: '2999-01-01T00:00:00Z' } });
    expect(error.message).toContain('user 1.4.0');
  });

  test('not while values would be lost, unless the plan accepts so many; their keys are shown, no value is', async () => {
    const at = await room.open(USERS);
    await at.query("INSERT INTO users (id, full_name) VALUES (7, 'double  space'), (8, 'Solo')");
    // What is before the first space alone: only a name of one word comes back.
    await retired(at, { up: { given_name: "split_part(full_name, ' ', 1)" }, down: { full_name: 'given_name' } });
    const error = await failure(at.act('up', at.step('drop', { ...COLUMN, ...NOW })));
    expect(error).toMatchObject({
      code: 'ValuesLost',
      retry: false,
      fields: { rows: 3, accepted: 0, keys: '1, 3, 7' },
    });
    expect(error.message).not.toMatch(/Lovelace|double/);
    const one = await failure(at.act('up', at.step('drop', { ...COLUMN, ...NOW, acceptedLoss: 2 })));
    expect(one).toMatchObject({ code: 'ValuesLost', fields: { accepted: 2 } });
    const { note } = await at.act('up', at.step('drop', { ...COLUMN, ...NOW, acceptedLoss: 3 }));
    expect(note).toContain('values of 3 rows are lost, as the plan accepts');
  });

  test('the rows of a large table are counted in pieces, from the first to the last', async () => {
    const at = await room.open(
      `CREATE TABLE users (id int PRIMARY KEY, full_name text) WITH (autovacuum_enabled = false);
       INSERT INTO users SELECT i, 'x' FROM generate_series(-10000, 9999) i`,
    );
    await at.act('up', at.step('retire', COLUMN));
    await at.query("UPDATE pg_class SET reltuples = 200000 WHERE oid = 'users'::regclass");
    const notes: string[] = [];
    const drop = at.step('drop', { ...COLUMN, ...NOW, acceptedLoss: 19_999 });
    const error = await failure(at.act('up', drop, { onNote: (note) => notes.push(note) }));
    expect(error).toMatchObject({
      code: 'ValuesLost',
      fields: { rows: 20_000, keys: '-10000, -9999, -9998, -9997, -9996' },
    });
    const shares = notes.filter((note) => note.endsWith('% looked at'));
    expect(shares.length).toBeGreaterThan(1);
    expect(shares.at(-1)).toBe(
      'counts the rows of users whose values nothing else keeps: 20,000 so far, 100 % looked at',
    );
  });

  test('that nothing derives loses every value it has', async () => {
    const at = await room.open(
      'CREATE TABLE users (id int PRIMARY KEY, full_name text); INSERT INTO users VALUES (1, $$a$$), (2, NULL)',
    );
    await at.act('up', at.step('retire', COLUMN));
    const drop = at.step('drop', { ...COLUMN, ...NOW });
    expect(await failure(at.act('up', drop))).toMatchObject({ code: 'ValuesLost', fields: { rows: 1, keys: '1' } });
    await at.act('up', at.step('drop', { ...COLUMN, ...NOW, acceptedLoss: 1 }));
    expect(await columnsOf(at)).toEqual(['id']);
  });

  test('not while its dual write keeps another column in step that is in use', async () => {
    const at = await room.open(
      `CREATE TABLE users (id int PRIMARY KEY, full_name text, nick text, pair text); INSERT INTO users VALUES (1, 'a', 'b')`,
    );
    await retired(at, {
      up: { pair: "full_name || '/' || nick" },
      down: { full_name: "split_part(pair, '/', 1)", nick: "split_part(pair, '/', 2)" },
    });
    const drop = at.step('drop', { ...COLUMN, ...NOW });
    const error = await failure(at.act('up', drop));
    expect(error).toMatchObject({ code: 'StillInUse' });
    expect(error.message).toContain('keeps "nick" in step too');
    await at.act('up', at.step('retire', { id: 'retire-nick', column: 'users.nick' }));
    await at.act('up', drop);
    expect(await columnsOf(at)).toEqual(['id', retiredName(at.run.migration, 'nick'), 'pair']);
    await at.query("UPDATE users SET pair = 'c/d'");
    // Nothing keeps the other one current any more; when the triggers went it held nothing of its own.
    await at.act('up', at.step('drop', { id: 'drop-nick', column: 'users.nick', ...NOW }));
    expect(await columnsOf(at)).toEqual(['id', 'pair']);
  });

  test.each([
    ['a view', 'CREATE VIEW names AS SELECT NAME FROM users', 'view SCHEMA.names'],
    ['a policy', 'CREATE POLICY own ON users USING (NAME = current_user)', 'policy own on table SCHEMA.users'],
    [
      'a function',
      `CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS 'SELECT count(NAME) FROM users'`,
      'function SCHEMA.f()',
    ],
    [
      'a trigger',
      'CREATE TRIGGER t BEFORE UPDATE OF NAME ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()',
      'trigger t',
    ],
    [
      'a generated column',
      'ALTER TABLE users ADD COLUMN upper text GENERATED ALWAYS AS (upper(NAME)) STORED',
      'column upper of table SCHEMA.users',
    ],
    [
      'a foreign key',
      'ALTER TABLE users ADD UNIQUE (NAME); CREATE TABLE pets (owner text REFERENCES users (NAME))',
      'constraint pets_owner_fkey on table SCHEMA.pets',
    ],
    [
      'a check over two columns',
      'ALTER TABLE users ADD CONSTRAINT named CHECK (NAME IS NOT NULL OR given_name IS NOT NULL)',
      'constraint named',
    ],
    ['a unique index over two columns', 'CREATE UNIQUE INDEX uniq ON users (NAME, id)', 'unique index'],
  ])('not while %s stands on it', async (_what, sql, named) => {
    const at = await room.open(USERS);
    const name = await retired(at);
    await at.query(sql.replaceAll('NAME', name));
    const before = await columnsOf(at);
    const error = await failure(at.act('up', at.step('drop', { ...COLUMN, ...NOW })));
    expect(error).toMatchObject({ code: 'StillInUse', retry: false });
    expect(error.message).toContain(named.replaceAll('SCHEMA', at.schema));
    expect(await columnsOf(at)).toEqual(before);
    expect(await leftOvers(at)).not.toEqual([]);
  });

  test('what is not out of use, or gone already, is not dropped', async () => {
    const at = await room.open(USERS);
    const drop = at.step('drop', { ...COLUMN, ...NOW });
    expect(await failure(at.act('up', drop))).toMatchObject({ code: 'SchemaDrift' });
    const name = await retired(at);
    await at.act('down', at.step('retire', COLUMN));
    expect(await failure(at.act('up', drop))).toMatchObject({ code: 'SchemaDrift' });
    const again = { ...at.run, epoch: 2 };
    await at.act('up', at.step('retire', COLUMN), { run: again });
    await at.query(`ALTER TABLE users DROP COLUMN ${name} CASCADE`);
    expect(await failure(at.act('up', drop, { run: again }))).toMatchObject({ code: 'SchemaDrift' });
  });

  test('a rollback doesn’t try: what is dropped is refused, what isn’t can’t be any more', async () => {
    const at = await room.open(USERS);
    await retired(at);
    const drop = at.step('drop', { ...COLUMN, ...NOW });
    await at.act('up', drop);
    expect(await failure(at.act('down', drop))).toMatchObject({ code: 'NotReversible', retry: false });
    const other = at.step('drop', { id: 'other', ...COLUMN, ...NOW });
    expect((await at.act('down', other)).note).toBe('nothing had been dropped');
    expect(await failure(at.act('up', other))).toMatchObject({ code: 'SchemaDrift' });
    const early = await room.open(USERS);
    await retired(early);
    await early.act('down', drop);
    expect(await failure(early.act('up', early.step('drop', { ...COLUMN, ...NOW })))).toMatchObject({ code: 'Fenced' });
    expect(await columnsOf(early)).toContain(retiredName(early.run.migration, 'full_name'));
  });

  test('waits for its lock as the ladder says, and names who holds it', async () => {
    const at = await room.open(USERS);
    await retired(at);
    const reader = await otherSession(room.bench(), 'long-report');
    await reader.query(`BEGIN; SELECT 1 FROM ${at.schema}.users`);
    const waiting = Promise.withResolvers<string>();
    const done = at.act('up', at.step('drop', { ...COLUMN, ...NOW }), {
      onNote: (note) => note.includes('waits for a lock') && waiting.resolve(note),
    });
    expect(await waiting.promise).toContain('long-report');
    await reader.query('COMMIT');
    await done;
  });
});

describe('a table', () => {
  const OLD = `CREATE TABLE old (id serial PRIMARY KEY, note text); INSERT INTO old (note) VALUES ('a'), ('b')`;
  const TABLE = { table: 'old' };

  test('goes with all its rows, where the plan accepts so many', async () => {
    const at = await room.open(OLD);
    await at.act('up', at.step('retire', TABLE));
    const error = await failure(at.act('up', at.step('drop', { ...TABLE, ...NOW, acceptedLoss: 1 })));
    expect(error).toMatchObject({ code: 'ValuesLost', fields: { rows: 2, accepted: 1 } });
    const { note } = await at.act('up', at.step('drop', { ...TABLE, ...NOW, acceptedLoss: 2 }));
    expect(note).toContain('"old" is dropped');
    expect(await at.query(`SELECT relname FROM pg_class WHERE relnamespace = '${at.schema}'::regnamespace`)).toEqual(
      [],
    );
  });

  test.each([
    ['a foreign key', 'CREATE TABLE parts (old_id int REFERENCES old)', 'parts_old_id_fkey'],
    ['a view made since', '', 'view SCHEMA.names'],
    ['a default that takes its numbers', "CREATE TABLE other (id int DEFAULT nextval('old_id_seq'))", 'other'],
  ])('not while %s stands on it: nothing goes by CASCADE', async (what, sql, named) => {
    const at = await room.open(`${OLD}; ${sql}`);
    const { note } = await at.act('up', at.step('retire', TABLE));
    if (what === 'a foreign key') expect(note).toContain('foreign keys that go on holding: parts_old_id_fkey of');
    if (what === 'a view made since')
      await at.query(`CREATE VIEW names AS SELECT note FROM ${retiredName(at.run.migration, 'old')}`);
    const error = await failure(at.act('up', at.step('drop', { ...TABLE, ...NOW, acceptedLoss: 9 })));
    expect(error).toMatchObject({ code: 'StillInUse', retry: false });
    expect(error.message).toContain(named.replaceAll('SCHEMA', at.schema));
    await at.act('down', at.step('retire', TABLE));
    expect(await at.query('SELECT count(*) AS n FROM old')).toEqual([{ n: '2' }]);
  });
});

test('a worker that dies in its transaction or before the answer: another one finds what was done, and it is done once', async () => {
  const bench = room.bench();
  const line = await crashLine(bench.url, (pid) =>
    bench.database.query('SELECT pg_terminate_backend($1::int, 5000)', [pid]),
  );
  const once = async (death: { at: number; kind: CrashKind } | null): Promise<readonly SentStatement[]> => {
    const one = await room.open(USERS);
    await retired(one);
    const drop = one.step('drop', { ...COLUMN, ...NOW });
    const databases = new Databases({ app: { url: line.url } });
    line.arm(death?.at ?? Number.POSITIVE_INFINITY, death?.kind ?? 'lost');
    try {
      await one.act('up', drop, { databases });
    } catch (error) {
      if (line.brokenAt === null) throw error;
    } finally {
      await databases.close();
    }
    if (death !== null) expect(line.brokenAt).not.toBeNull();
    const sent = [...line.statements];
    expect((await one.act('up', drop)).note, line.brokenAt ?? '').toContain('is dropped');
    expect(await columnsOf(one)).toEqual(['id', 'given_name', 'family_name']);
    expect(await leftOvers(one)).toEqual([]);
    const lineage = `SELECT count(*) AS n FROM switchback.lineage WHERE kind = 'drop' AND migration = '${one.run.migration}'`;
    expect(await one.query(lineage)).toEqual([{ n: '1' }]);
    return sent;
  };
  const sent = await once(null);
  // Only its own transaction changes anything; what comes before it is looking.
  const commit = sent.findLastIndex(({ text }) => text === 'COMMIT') + 1;
  const begin = sent.findLastIndex(({ text }) => text === 'BEGIN') + 1;
  const change = sent.findIndex(({ text }) => text.includes('DROP COLUMN "zz_retired')) + 1;
  expect(change).toBeGreaterThan(begin);
  for (const at of [begin, change, commit - 1]) await once({ at, kind: 'lost' });
  for (const kind of ['lost', 'running', 'ended'] as const) await once({ at: commit, kind });
  line.close();
});
