import { expect, test } from 'vitest';
import { maskOf } from '../../src/activities/masking.ts';
import { Database, Databases } from '../../src/adapters/postgres/database.ts';
import { PostgresError } from '../../src/adapters/postgres/database-error.ts';
import { hidingValues, showKey } from '../../src/adapters/postgres/hidden-values.ts';
import { hashPads, keyHash, keyHashSql, saltOf } from '../../src/adapters/postgres/key-hash.ts';
import { dataRoom } from './room.ts';

const CANARY = 'pii-canary-17';
const RAISES = `
CREATE TABLE users (email text PRIMARY KEY, n int CHECK (n < 10));
CREATE FUNCTION grumble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE EXCEPTION 'no % here', old.email USING ERRCODE = '42501', HINT = 'ask ' || old.email, DETAIL = old.email, CONSTRAINT = old.email;
END $$;
CREATE TRIGGER grumble BEFORE UPDATE ON users FOR EACH ROW WHEN (new.n = 9) EXECUTE FUNCTION grumble();
INSERT INTO users VALUES ('${CANARY}')`;

/** What a failing statement says, all of it: as people, logs and histories get it. */
async function told(database: Database, sql: string, hide: boolean): Promise<{ error: PostgresError; all: string }> {
  const error = await hidingValues(hide ? () => '#hash' : null, async () => {
    try {
      await database.query(sql);
    } catch (thrown) {
      return thrown;
    }
    return null;
  });
  if (!(error instanceof PostgresError)) throw new Error(`it was to fail: ${sql}`);
  const { message, hint, fields, stack, cause } = error;
  const all = JSON.stringify([
    message,
    hint,
    fields,
    stack,
    cause,
    Object.entries(error),
    (cause as Error | undefined)?.message,
  ]);
  return { error, all };
}

test('what Postgres says of rows is hidden at its source, and what it says of statements is not', async () => {
  const room = await dataRoom(RAISES);
  const { database } = room;
  const rows: [string, string][] = [
    ['SELECT email::int FROM public.users', 'app: invalid_text_representation (SQLSTATE 22P02;'],
    [
      `INSERT INTO public.users VALUES ('${CANARY}')`,
      'app: unique_violation of constraint "users_pkey" (SQLSTATE 23505;',
    ],
    ['UPDATE public.users SET n = 99', 'app: check_violation of constraint "users_n_check" (SQLSTATE 23514;'],
    ['UPDATE public.users SET n = 9', 'app: insufficient_privilege (SQLSTATE 42501;'],
    [`DO $$ BEGIN RAISE EXCEPTION '${CANARY}' USING ERRCODE = 'ZZ001'; END $$`, 'app: SQLSTATE ZZ001 (SQLSTATE ZZ001;'],
  ];
  for (const [sql, words] of rows) {
    const { error, all } = await told(database, sql, true);
    expect(error.message.startsWith(words), error.message).toBe(true);
    expect(all, sql).not.toContain(CANARY);
    expect((await told(database, sql, false)).error.message).toBe(error.inItsOwnWords());
  }
  const missing = await told(database, 'SELECT nobody FROM public.users', true);
  expect(missing.error.message).toBe('app: column "nobody" does not exist (SQLSTATE 42703)');
});

test('the hash of a key is the same in Node and in SQL, within a run and not across runs', async () => {
  const room = await dataRoom('');
  const home = room.database;
  const run = room.bench.run();
  const salt = await saltOf(home, run);
  expect(salt).toMatch(/^[0-9a-f]{64}$/);
  expect(await saltOf(home, run)).toBe(salt);
  expect(await saltOf(home, { ...run, epoch: 2 })).not.toBe(salt);
  const { inner, outer } = hashPads(salt);
  for (const key of [['42'], [''], ['a', '1:b'], ['a1:', 'b'], ['Zoë 🎉', "it's", '\\']]) {
    const texts = key.map((_, index) => `$${index + 3}::text`);
    const sql = `SELECT ${keyHashSql(texts, { inner: '$1', outer: '$2' })} AS hash`;
    expect(await room.value(sql, [inner, outer, ...key])).toBe(keyHash(salt, key));
  }
  expect(keyHash(salt, ['a1:', 'b'])).not.toBe(keyHash(salt, ['a', '1:b']));
  expect(keyHash('00'.repeat(32), ['42'])).not.toBe(keyHash(salt, ['42']));
});

test('labels are those of the configuration and of the plan, and partitions and heirs are meant too', async () => {
  const room = await dataRoom(`
    CREATE TABLE users (id int, at int) PARTITION BY RANGE (at);
    CREATE TABLE users_1 PARTITION OF users FOR VALUES FROM (0) TO (10);
    CREATE TABLE orders (id int); CREATE TABLE orders_old () INHERITS (orders);
    CREATE SCHEMA crm; CREATE TABLE crm.contacts (id int); CREATE TABLE contacts (id int)`);
  const databases = new Databases({ app: { url: room.url, labels: { users: ['pii'], 'crm.contacts': ['pii'] } } });
  const { deps } = room.bench.context({ databases });
  const run = room.bench.run();
  const hides = async (table: string, schema = 'public') =>
    (await maskOf(deps, run, { database: 'app', schema, table })).hides;
  expect(await hides('users')).toBe(true);
  expect(await hides('users_1')).toBe(true);
  expect(await hides('contacts', 'crm')).toBe(true);
  expect(await hides('contacts')).toBe(false);
  expect(await hides('orders_old')).toBe(false);
  const both = await maskOf(deps, run, [
    { database: 'app', schema: 'public', table: 'orders' },
    { database: 'app', schema: 'public', table: 'users' },
  ]);
  expect(both.hides).toBe(true);
  expect(both.key(['a', 'b'])).toBe(keyHash(await saltOf(room.database, run), ['a', 'b']));
  expect(both.message(`Key (email)=(${CANARY}) already exists`, '23505')).toBe('unique_violation');

  const planSays = async (pii: string): Promise<void> => {
    await room.query('DELETE FROM switchback.migrations');
    await room.query(
      `INSERT INTO switchback.migrations (migration, version, digest, epoch, generation, direction, state, owner, requested_by, run_id, plan)
       VALUES ($1, 1, '', 1, 1, 'up', 'running', '', '', '', jsonb_build_object('metadata', jsonb_build_object('labels', jsonb_build_object('pii', $2::text))))`,
      [run.migration, pii],
    );
  };
  await planSays('app/orders');
  expect([await hides('orders_old'), await hides('contacts')]).toEqual([true, false]);
  await planSays('true');
  expect(await hides('contacts')).toBe(true);
  await planSays('what is this');
  expect(await hides('contacts')).toBe(true);
  await databases.close();
});

test('a key is written as its hash wherever values are hidden, and as it is elsewhere', async () => {
  expect(
    await hidingValues(
      (key) => `#${key.length}`,
      async () => showKey([CANARY]),
    ),
  ).toBe('#1');
  expect([showKey(['42']), showKey(['a', '7'])]).toEqual(['42', '(a, 7)']);
});
