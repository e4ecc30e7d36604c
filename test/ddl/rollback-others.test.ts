import { afterAll, beforeAll, expect, test } from 'vitest';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure, otherSession, until } from './other-session.ts';

/** What others do to the schema and its rows between a step and its rollback. One database; a schema for each case. */

let bench: DdlBench;
beforeAll(async () => {
  bench = await ddlBench();
});
afterAll(() => bench.drop());

interface Room {
  name: string;
  step(up: string): StepOf<'ddl'>;
  /** As another client does. */
  sql(statements: string): Promise<Record<string, string | null>[]>;
  schema(): Promise<unknown>;
}
let rooms = 0;
async function room(setUp: string): Promise<Room> {
  const name = `room_${++rooms}`;
  const sql: Room['sql'] = (statements) =>
    bench.database.session(async (session) => {
      await session.query(`SET search_path = ${name}`);
      return session.query(statements);
    });
  await bench.query(`CREATE SCHEMA ${name}`);
  await sql(setUp);
  return {
    name,
    step: (up) => bench.step(up, { id: name, schema: name }),
    sql,
    schema: () =>
      bench.database.session(async (session) => catalogJson(await catalogSnapshot(session, { schemas: [name] }))),
  };
}
const USERS = `CREATE TABLE users (id int PRIMARY KEY, mail text, age int);
  INSERT INTO users SELECT i, 'u' || i, i FROM generate_series(1, 20) i;`;

test('what existed before is left alone, whatever IF NOT EXISTS and OR REPLACE found', async () => {
  const { step, sql, schema } = await room(`${USERS} CREATE INDEX by_mail ON users (mail); CREATE SEQUENCE numbers;
    CREATE VIEW adults AS SELECT id FROM users WHERE age > 17; CREATE SCHEMA IF NOT EXISTS extras;
    CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE MATERIALIZED VIEW m AS SELECT 1`);
  const before = await schema();
  const everything =
    step(`CREATE TABLE IF NOT EXISTS users (other int); ALTER TABLE users ADD COLUMN IF NOT EXISTS mail text;
    CREATE INDEX IF NOT EXISTS by_mail ON users (mail); CREATE SEQUENCE IF NOT EXISTS numbers;
    CREATE OR REPLACE VIEW adults AS SELECT id FROM users WHERE age > 20; CREATE SCHEMA IF NOT EXISTS extras;
    CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'; CREATE MATERIALIZED VIEW IF NOT EXISTS m AS SELECT 2`);
  await bench.up(everything);
  await bench.down(everything);
  expect(await schema()).toEqual(before);
  expect(await sql('SELECT count(*) FROM users; ')).toEqual([{ count: '20' }]);
  expect(await bench.query(`SELECT to_regnamespace('extras') IS NOT NULL AS there`)).toEqual([{ there: 't' }]);
});

test('what a statement made and a later one dropped is not made again', async () => {
  const { step, sql, schema } = await room(USERS);
  const before = await schema();
  const scaffold = step(`ALTER TABLE users ADD CONSTRAINT scaffold CHECK (mail IS NOT NULL) NOT VALID;
    ALTER TABLE users VALIDATE CONSTRAINT scaffold; ALTER TABLE users DROP CONSTRAINT scaffold;
    CREATE TYPE mood AS ENUM ('good'); ALTER TYPE mood ADD VALUE 'bad'; DROP TYPE mood;
    CREATE TABLE t (a int); ALTER TABLE t ALTER COLUMN a TYPE text`);
  await bench.up(scaffold);
  // With the scaffold made again this row would stop the rollback.
  await sql('UPDATE users SET mail = NULL WHERE id = 1');
  await bench.down(scaffold);
  expect(await schema()).toEqual(before);
});

test('an index that became a constraint’s, and one that was attached to a partitioned table’s, go with it', async () => {
  const { step, schema } = await room(`${USERS} CREATE TABLE log (id int, at int) PARTITION BY RANGE (at);
    CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (10); CREATE TABLE log_2 PARTITION OF log DEFAULT`);
  const before = await schema();
  const attached = step(`CREATE UNIQUE INDEX CONCURRENTLY one_mail ON users (mail);
    ALTER TABLE users ADD CONSTRAINT mail_is_one UNIQUE USING INDEX one_mail;
    CREATE INDEX log_at ON ONLY log (at); CREATE INDEX CONCURRENTLY log_1_at ON log_1 (at);
    ALTER INDEX log_at ATTACH PARTITION log_1_at; CREATE INDEX log_2_at ON log_2 (at);
    ALTER INDEX log_at ATTACH PARTITION log_2_at`);
  await bench.up(attached);
  await bench.down(attached);
  expect(await schema()).toEqual(before);
});

test.each([
  [
    'an index that was there before and becomes a constraint’s',
    'ALTER TABLE users ADD CONSTRAINT c UNIQUE USING INDEX by_mail',
  ],
  ['an index that was there before and becomes a part of another', 'CREATE INDEX log_at ON log (at)'],
])('%s would go with it: that needs a down', async (_name, up) => {
  const { step, schema } = await room(`${USERS} CREATE UNIQUE INDEX by_mail ON users (mail);
    CREATE TABLE log (id int, at int) PARTITION BY RANGE (at); CREATE TABLE log_1 PARTITION OF log DEFAULT;
    CREATE INDEX theirs ON log_1 (at)`);
  const before = await schema();
  expect((await failure(bench.up(step(up)))).code).toBe('NotReversible');
  expect(await schema()).toEqual(before);
});

/** What the step makes, what others build on it, and what the refusal names. */
const BUILT_ON: [what: string, up: string, others: string, named: RegExp, away: string][] = [
  [
    'an index on its table',
    'CREATE TABLE t (a int)',
    'CREATE INDEX theirs ON t (a)',
    /index "room_\d+\.t\.theirs"/,
    'DROP INDEX theirs',
  ],
  [
    'a column of its table',
    'CREATE TABLE t (a int)',
    'ALTER TABLE t ADD theirs int',
    /column "room_\d+\.t\.theirs"/,
    'ALTER TABLE t DROP theirs',
  ],
  [
    'a foreign key to its table',
    'CREATE TABLE t (a int PRIMARY KEY)',
    'ALTER TABLE users ADD CONSTRAINT theirs FOREIGN KEY (id) REFERENCES t NOT VALID',
    /constraint theirs on table/,
    'ALTER TABLE users DROP CONSTRAINT theirs',
  ],
  [
    'a partition of its table',
    'CREATE TABLE t (a int) PARTITION BY RANGE (a)',
    'CREATE TABLE theirs PARTITION OF t DEFAULT',
    /table "room_\d+\.theirs"/,
    'DROP TABLE theirs',
  ],
  [
    'a view of its column',
    'ALTER TABLE users ADD COLUMN a int',
    'CREATE VIEW theirs AS SELECT a FROM users',
    /view theirs|theirs depends on column a/,
    'DROP VIEW theirs',
  ],
  [
    'an index of its column',
    'ALTER TABLE users ADD COLUMN a int',
    'CREATE INDEX theirs ON users (age, a)',
    /index "room_\d+\.users\.theirs"/,
    'DROP INDEX theirs',
  ],
  [
    'a check of its column',
    'ALTER TABLE users ADD COLUMN a int',
    'ALTER TABLE users ADD CONSTRAINT theirs CHECK (a > age)',
    /constraint "room_\d+\.users\.theirs"/,
    'ALTER TABLE users DROP CONSTRAINT theirs',
  ],
  [
    'a column of its type',
    "CREATE TYPE t AS ENUM ('x')",
    'ALTER TABLE users ADD theirs t',
    /theirs of table/,
    'ALTER TABLE users DROP theirs',
  ],
  [
    'a default by its function',
    "CREATE FUNCTION t() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    'ALTER TABLE users ALTER age SET DEFAULT t()',
    /column age of table/,
    'ALTER TABLE users ALTER age DROP DEFAULT',
  ],
  [
    'a view of its view',
    'CREATE VIEW t AS SELECT id FROM users',
    'CREATE VIEW theirs AS SELECT * FROM t',
    /theirs depends on/,
    'DROP VIEW theirs',
  ],
  [
    'another index by its name',
    'CREATE INDEX t ON users (mail)',
    'DROP INDEX t; CREATE INDEX t ON users (age)',
    /index "room_\d+\.users\.t" is not the one/,
    'DROP INDEX t',
  ],
  [
    'another table by its name',
    'CREATE TABLE t (a int)',
    'DROP TABLE t; CREATE TABLE t (a int)',
    /table "room_\d+\.t" is not the one/,
    'DROP TABLE t',
  ],
];
test.each(BUILT_ON)('others have built on it: %s', async (_what, up, others, named, away) => {
  const { step, sql, schema } = await room(USERS);
  const before = await schema();
  const made = step(up);
  await bench.up(made);
  await sql(others);
  const theirs = await schema();
  const error = await failure(bench.down(made));
  expect(error.code).toBe('SchemaDrift');
  expect(error.message).toMatch(named);
  expect(await schema()).toEqual(theirs);
  await sql(away);
  await bench.down(made);
  expect(await schema()).toEqual(before);
});

test('what another session builds while the drop waits for its lock is seen', async () => {
  const { name, step, schema } = await room(USERS);
  const before = await schema();
  const column = step('ALTER TABLE users ADD COLUMN a int');
  await bench.up(column);
  const other = await otherSession(bench);
  await other.query(`BEGIN; CREATE INDEX theirs ON ${name}.users (age, a)`);
  const undone = failure(bench.down(column));
  await until(
    bench,
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'switchback%'
       AND cardinality(pg_blocking_pids(pid)) > 0`,
  );
  await other.query('COMMIT');
  expect((await undone).message).toContain(`index "${name}.users.theirs"`);
  await other.query(`DROP INDEX ${name}.theirs`);
  await bench.down(column);
  expect(await schema()).toEqual(before);
});

test('a large table’s index goes while a reader stays on it and writers come; a worker that dies meanwhile leaves no harm', async () => {
  const { name, step, sql, schema } = await room(
    "CREATE TABLE large (id int PRIMARY KEY, text text); INSERT INTO large SELECT i, repeat('x', 100) FROM generate_series(1, 9000) i",
  );
  const before = await schema();
  const index = step('CREATE INDEX large_text ON large (text)');
  await bench.up(index);
  const reader = await otherSession(bench);
  await reader.query(`BEGIN; SELECT id FROM ${name}.large LIMIT 1`);
  const waiting = (): Promise<string> =>
    until(
      bench,
      `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'DROP INDEX CONCURRENTLY%'
         AND state = 'active' AND wait_event_type = 'Lock'`,
    );
  const over = new AbortController();
  const first = failure(bench.down(index, { signal: over.signal }));
  await waiting();
  over.abort(new Error('the worker is gone'));
  expect((await first).message).toBe('the worker is gone');
  const second = bench.down(index);
  await waiting();
  await sql(`SET lock_timeout = '100ms'; INSERT INTO large VALUES (0, 'y'); SELECT count(*) FROM large`);
  await reader.query('COMMIT');
  await second;
  expect(await schema()).toEqual(before);
});

test('a constraint comes back unchecked first; a worker that died before the check is no matter', async () => {
  const { step, sql, schema } = await room(`${USERS} ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 0);
    ALTER TABLE users ALTER mail SET NOT NULL; CREATE TABLE pets (owner int REFERENCES users)`);
  const before = await schema();
  const dropped = step(`ALTER TABLE users DROP CONSTRAINT grown; ALTER TABLE users ALTER mail DROP NOT NULL;
    ALTER TABLE pets DROP CONSTRAINT pets_owner_fkey`);
  await bench.up(dropped);
  await sql(`ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 0) NOT VALID;
    ALTER TABLE pets ADD CONSTRAINT pets_owner_fkey FOREIGN KEY (owner) REFERENCES users NOT VALID`);
  await bench.down(dropped);
  expect(await schema()).toEqual(before);
});

test('rows that the former constraint refuses are named as the reason, and the rollback goes on once they are right', async () => {
  const { step, sql, schema } = await room(`${USERS} ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 0)`);
  const before = await schema();
  const dropped = step('ALTER TABLE users DROP CONSTRAINT grown');
  await bench.up(dropped);
  await sql('UPDATE users SET age = -1 WHERE id = 3');
  const error = await failure(bench.down(dropped));
  expect(error).toMatchObject({ code: 'StatementFailed', retry: false });
  expect(error.message).toContain('check constraint "grown"');
  await sql('UPDATE users SET age = 1 WHERE id = 3');
  await bench.down(dropped);
  expect(await schema()).toEqual(before);
});

test('a record of 0.1.0 is undone as it was then', async () => {
  const { name, step, schema } = await room(USERS);
  const before = await schema();
  const made = step(
    'CREATE TABLE t (id serial PRIMARY KEY, a int REFERENCES users); ALTER TABLE users ADD COLUMN b text NOT NULL DEFAULT 1',
  );
  await bench.up(made);
  await bench.query(`UPDATE switchback.steps SET detail = jsonb_set(detail, '{up,done}',
      (SELECT jsonb_agg((d #- '{difference,parts}') - 'statement' - 'unit') FROM jsonb_array_elements(detail->'up'->'done') d)) - 'units'
    WHERE step = '${name}'`);
  await bench.down(made);
  expect(await schema()).toEqual(before);
});

test('a table with several foreign keys, and several tables: one lock on clients’ tables at a time', async () => {
  const { name, step, schema } = await room(`${USERS} CREATE TABLE teams (id int PRIMARY KEY)`);
  const before = await schema();
  const made = step('CREATE TABLE t (a int REFERENCES users, b int REFERENCES teams)');
  await bench.up(made);
  const reader = await otherSession(bench);
  await reader.query(`BEGIN; SELECT id FROM ${name}.teams LIMIT 1`);
  const undone = bench.down(made);
  await until(
    bench,
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'switchback%'
       AND cardinality(pg_blocking_pids(pid)) > 0
       AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.pid = pg_stat_activity.pid AND l.relation = '${name}.users'::regclass AND l.mode = 'AccessExclusiveLock')`,
  );
  await reader.query('COMMIT');
  await undone;
  expect(await schema()).toEqual(before);
});

test('a partition goes though others refer to its table and gave it an index; a large one with its rows', async () => {
  const { step, sql, schema, name } = await room('SELECT 1');
  const empty = await schema();
  await sql(`CREATE TABLE log (id int PRIMARY KEY, text text) PARTITION BY RANGE (id);
    CREATE TABLE notes (log int REFERENCES log)`);
  const made = step(`CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (100000);
    CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (100000) TO (200000)`);
  await bench.up(made);
  await sql(`INSERT INTO log SELECT i, repeat('x', 200) FROM generate_series(1, 8000) i; INSERT INTO log VALUES (100001, 'y');
    CREATE INDEX theirs ON log (text)`);
  await bench.down(made);
  await sql('DROP INDEX theirs; DROP TABLE notes; DROP TABLE log');
  expect(await schema()).toEqual(empty);
  expect(
    await bench.query(
      `SELECT "table", count(*) FROM switchback.rescued WHERE "schema" = '${name}' GROUP BY 1 ORDER BY 1`,
    ),
  ).toEqual([
    { table: 'log_1', count: '8000' },
    { table: 'log_2', count: '1' },
  ]);
});
