import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { retiredName } from '../../src/adapters/postgres/retire-work.ts';
import { type PostgresServer, startPostgres } from '../../src/dev/postgres.ts';
import { effectBench } from '../harness/effect-context.ts';
import { type ContractCase, openCase } from './contract-room.ts';
import { failure } from './other-session.ts';

/** Who still reads is known to pg_stat_statements, which a server has to load at its start: hence one of our own. */
let server: PostgresServer;
let directory: string;
let bench: Parameters<typeof openCase>[0];
let close: () => Promise<void>;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'switchback-test-readers-'));
  await chmod(directory, 0o711);
  const start = (): Promise<PostgresServer> =>
    startPostgres({ dir: join(directory, 'data'), password: 'readers', logFile: join(directory, 'log') });
  const first = await start();
  await execute(first.url('postgres'), "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'");
  await first.stop();
  server = await start();
  const url = await server.createDatabase('app');
  await execute(url, 'CREATE EXTENSION pg_stat_statements');
  const of = await effectBench(url);
  const database = of.databases.get('app');
  bench = { ...of, database, query: (sql) => database.session((session) => session.query(sql)) };
  close = of.close;
});
afterAll(async () => {
  await close();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});
async function execute(url: string, sql: string): Promise<void> {
  const session = new pg.Client({ connectionString: url });
  await session.connect();
  await session.query(sql);
  await session.end();
}

/** A client that runs a statement over and over; resolves when it has done so once. */
async function client(at: ContractCase, sql: string): Promise<{ stop(): Promise<void> }> {
  const connection = new pg.Client({ connectionString: server.url('app') });
  await connection.connect();
  await connection.query(`SET search_path = ${at.schema}`);
  await connection.query(sql);
  let going = true;
  const work = (async () => {
    while (going) await connection.query(sql);
    await connection.end();
  })();
  const stop = async (): Promise<void> => {
    going = false;
    await work;
  };
  onTestFinished(stop);
  return { stop };
}

const USERS = `CREATE TABLE users (id int PRIMARY KEY, full_name text, given_name text);
  INSERT INTO users VALUES (1, NULL, 'Ada')`;
const COLUMN = { column: 'users.full_name' };

test('a column is not retired while clients use it; the name of a result is no use of it', async () => {
  const at = await openCase(bench, 'reads', USERS);
  const old = await client(at, "SELECT id FROM users WHERE full_name = 'a secret'");
  await client(at, 'SELECT given_name AS full_name FROM users ORDER BY full_name');
  await client(at, 'SELECT * FROM users');
  const retire = at.step('retire', COLUMN);
  const error = await failure(at.act('up', retire));
  expect(error).toMatchObject({ code: 'StillInUse', retry: false });
  expect(error.message).toContain('is still used by a statement of clients: SELECT id FROM users WHERE full_name = $1');
  expect(error.message).not.toContain('secret');
  await old.stop();
  expect((await at.act('up', retire)).note).toContain('no statement used it for 3 s');
});

test('a table is not retired while clients use it', async () => {
  const at = await openCase(bench, 'reads_table', 'CREATE TABLE old_users (id int); INSERT INTO old_users VALUES (1)');
  const old = await client(at, 'SELECT count(*) FROM old_users');
  const retire = at.step('retire', { table: 'old_users' });
  const error = await failure(at.act('up', retire));
  expect(error).toMatchObject({ code: 'StillInUse' });
  expect(error.message).toContain('SELECT count(*) FROM old_users');
  await old.stop();
  await at.act('up', retire);
  const reader = await client(at, `SELECT count(*) FROM ${retiredName(at.run.migration, 'old_users')}`);
  await reader.stop();
  const drop = at.step('drop', { table: 'old_users', retention: '0s', acceptedLoss: 1 });
  expect((await failure(at.act('up', drop))).message).toContain('SELECT count(*) FROM zz_retired_');
});

test('a column is not dropped once a client has used it by its retired name; that we look at it is no use', async () => {
  const at = await openCase(bench, 'reads_retired', USERS);
  await at.act(
    'up',
    at.step('dual-write', { table: 'users', up: { given_name: 'full_name' }, down: { full_name: 'given_name' } }),
  );
  await at.act('up', at.step('retire', COLUMN));
  const drop = at.step('drop', { ...COLUMN, retention: '0s' });
  // Refused for what it would lose; it has read the column for that, and does so again.
  expect(await failure(at.act('up', drop))).toMatchObject({ code: 'ValuesLost' });
  expect(await failure(at.act('up', drop))).toMatchObject({ code: 'ValuesLost' });
  const name = retiredName(at.run.migration, 'full_name');
  const reader = await client(at, `SELECT ${name} FROM users WHERE id = 1`);
  await reader.stop();
  const error = await failure(at.act('up', drop));
  expect(error).toMatchObject({ code: 'StillInUse' });
  expect(error.message).toContain(`SELECT ${name} FROM users WHERE id = $1`);
  // What was there before a retirement doesn't count against it.
  await at.act('down', at.step('retire', COLUMN));
  const again = { ...at.run, epoch: 2 };
  await at.act('up', at.step('retire', COLUMN), { run: again });
  expect(await failure(at.act('up', drop, { run: again }))).toMatchObject({ code: 'ValuesLost' });
});
