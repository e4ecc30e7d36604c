import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { climbInSession, LADDER } from '../../src/adapters/postgres/lock-ladder.ts';
import { readTableShape } from '../../src/adapters/postgres/table-shape.ts';
import { WriteMeter } from '../../src/adapters/postgres/write-cost.ts';
import { effectBench } from '../harness/effect-context.ts';
import { transactionPooler } from '../harness/transaction-pooler.ts';
import { chain, schemaOf, splitSteps } from '../data/chain.ts';
import { type DataRoom, dataRoom } from '../data/room.ts';
import { byWayOf } from './ways.ts';

const PEOPLE = `CREATE TABLE users (id bigint PRIMARY KEY, full_name text NOT NULL, note text);
  INSERT INTO users SELECT i, CASE i % 3 WHEN 0 THEN 'Solo' || i ELSE 'Ada Lovelace' || i END FROM generate_series(1, 1000) i; ANALYZE users`;

/** What docs/operating.md asks for where a pooler lets `options` fall: given to the role, in this database alone. */
async function giveSettings(room: DataRoom): Promise<void> {
  const settings = {
    row_security: 'off',
    search_path: 'pg_catalog',
    DateStyle: 'ISO, YMD',
    IntervalStyle: 'postgres',
    TimeZone: 'UTC',
    extra_float_digits: '1',
    statement_timeout: '0',
    default_transaction_read_only: 'off',
    default_transaction_isolation: 'read committed',
  };
  for (const [name, value] of Object.entries(settings)) {
    const statement = await room.value(
      `SELECT format('ALTER ROLE %I IN DATABASE %I SET ${name} = %L', current_user, current_database(), $1::text)`,
      [value],
    );
    await room.query(statement ?? '');
  }
}
const CONNECTIONS = { connections: 3, ignores: ['options'] };

test.each(['with directUrl', 'without directUrl'])(
  'must pass 19. a pooler in transaction mode, %s: up and back with clients beside, every row once, no session relied on',
  async (how) => {
    const room = await dataRoom(PEOPLE);
    await giveSettings(room);
    const before = await schemaOf(room.bench);
    const pooler = await transactionPooler(room.url, CONNECTIONS);
    const bench = byWayOf(room.bench, { url: pooler.url, ...(how === 'with directUrl' && { directUrl: room.url }) });
    const migration = chain(bench, splitSteps());
    await migration.up(['columns', 'sync']);
    await room.query(`CREATE TABLE public.filled (id bigint);
      CREATE FUNCTION public.note_fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.filled VALUES (new.id); RETURN new; END $$;
      CREATE TRIGGER note_fill AFTER UPDATE ON public.users FOR EACH ROW EXECUTE FUNCTION public.note_fill()`);
    // Clients come by the same pooler, some with settings that stay on its connections when they have gone.
    const over = new AbortController();
    const clients = [0, 1].map(async (number) => {
      const client = new pg.Client({ connectionString: pooler.url });
      await client.connect();
      for (let i = 0; !over.signal.aborted; i++) {
        await client.query("SET application_name = 'left behind'; SET work_mem = '1MB'; SET lock_timeout = '3s'");
        await client.query('INSERT INTO public.users (id, full_name) VALUES ($1, $2)', [
          5_000 + 2 * i + number,
          'Late Comer',
        ]);
      }
      await client.end();
    });
    await migration.up(['fill']);
    over.abort();
    await Promise.all(clients);
    expect(await room.query('SELECT count(*) AS times, count(DISTINCT id) AS rows FROM public.filled')).toEqual([
      { times: '1000', rows: '1000' },
    ]);
    await room.query(
      'DROP TRIGGER note_fill ON public.users; DROP FUNCTION public.note_fill; DROP TABLE public.filled',
    );
    await migration.up(['check', 'hide']);
    await room.query("UPDATE public.users SET given_name = 'Anna' WHERE id = 4");
    await migration.down();
    expect(await schemaOf(room.bench)).toEqual(before);
    expect(await room.value('SELECT full_name FROM public.users WHERE id = 4')).toBe('Anna Lovelace4');
    // The pooler was what it is meant to be: connections were shared and changed hands.
    expect(pooler.pids).toHaveLength(3);
    expect(pooler.changes).toBeGreaterThan(20);
  },
);

test('must pass 19. CONCURRENTLY through a pooler is refused by name, and done past it', async () => {
  const room = await dataRoom(PEOPLE);
  await giveSettings(room);
  const { url } = await transactionPooler(room.url, CONNECTIONS);
  const steps = ['CREATE INDEX CONCURRENTLY by_name ON users (full_name)', 'DROP INDEX CONCURRENTLY by_name'].map(
    (up, index) => ({ id: `index-${index}`, uses: 'ddl', database: 'app', up }) as const,
  );
  const [through, past] = [{ url }, { url, directUrl: room.url }].map((urls) =>
    chain(byWayOf(room.bench, urls), steps),
  );
  const refused = { code: 'Unsupported', retry: false, hint: expect.stringContaining('databases.app.directUrl') };
  await expect(through?.up(['index-0'])).rejects.toMatchObject(refused);
  await past?.up(['index-0']);
  await expect(through?.up(['index-1'])).rejects.toMatchObject(refused);
  await past?.up(['index-1']);
  await past?.down();
  expect(await room.value("SELECT count(*) FROM pg_class WHERE relname = 'by_name'")).toBe('0');
});

test('must pass 19. behind a pooler too, blockers are those of our transaction, and an abort ends nothing else', async () => {
  const room = await dataRoom(PEOPLE);
  await giveSettings(room);
  const { url } = await transactionPooler(room.url, CONNECTIONS);
  const database = byWayOf(room.bench, { url }).databases.get('app');
  const blocker = new pg.Client({ connectionString: room.url });
  await blocker.connect();
  onTestFinished(() => blocker.end());
  const { rows } = await blocker
    .query<{ pid: number }>('BEGIN; LOCK TABLE public.users; SELECT pg_backend_pid() AS pid')
    .then((results) => (results as unknown as { rows: { pid: number }[] }[]).at(-1) ?? { rows: [] });
  const climb = (triesMax: number, lockTimeoutMs: number, signal: AbortSignal): Promise<unknown> =>
    climbInSession(
      {
        database,
        limits: { ...LADDER, triesMax, lockTimeoutFirstMs: lockTimeoutMs, lockTimeoutMaxMs: lockTimeoutMs },
        signal,
        purpose: 'a test',
        onWait: () => undefined,
      },
      async (transaction) => {
        await transaction.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
        await transaction.query('LOCK TABLE public.users');
      },
    );
  await expect(climb(1, 400, new AbortController().signal)).rejects.toMatchObject({
    code: 'LockNotObtained',
    fields: { blockers: String(rows[0]?.pid) },
  });
  const abort = new AbortController();
  const reason = new Error('paused by a person');
  const climbed = climb(1, 60_000, abort.signal).catch((error: unknown) => error);
  const waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'public.users'::regclass AND NOT granted";
  await expect.poll(() => room.value(waiting)).toBe('1');
  abort.abort(reason);
  expect(await climbed).toBe(reason);
});

test('must pass 19. what a backfill’s sessions write is not counted by backends that others have too', async () => {
  const room = await dataRoom(PEOPLE);
  await giveSettings(room);
  const { url } = await transactionPooler(room.url, CONNECTIONS);
  const database = byWayOf(room.bench, { url }).databases.get('app');
  const shape = await database.transaction((session) => readTableShape(session, 'public', 'users'));
  const meter = await WriteMeter.start(database, shape);
  await database.session((session) => meter.count(session, () => session.query("UPDATE public.users SET note = 'x'")));
  const { walBytes, exact } = await meter.end();
  expect(exact).toBe(false);
  expect(walBytes).toBeGreaterThan(50_000);
});

test('must pass 19. the pooler of these tests breaks what relies on a session', async () => {
  const room = await dataRoom(PEOPLE);
  const pooler = await transactionPooler(room.url, CONNECTIONS);
  const client = new pg.Client({ connectionString: pooler.url });
  await client.connect();
  onTestFinished(() => client.end());
  const setting = async () =>
    (await client.query<{ zone: string }>("SELECT current_setting('TimeZone') AS zone")).rows[0]?.zone;
  await client.query("SET TimeZone = 'Asia/Tokyo'");
  const seen = [await setting(), await setting(), await setting()];
  expect(seen.filter((zone) => zone === 'Asia/Tokyo')).toHaveLength(1);
  const named = { name: 'kept', text: 'SELECT 1' };
  await client.query(named);
  await expect(client.query(named)).rejects.toMatchObject({ code: '26000' });
});

test('must pass 19. a pooler that knows no `options` says so, one that drops them is found out, before anything is changed', async () => {
  const room = await dataRoom(PEOPLE);
  const begin = async (ignores: readonly string[]) =>
    effectBench((await transactionPooler(room.url, { connections: 2, ignores })).url);
  await expect(begin([])).rejects.toMatchObject({
    code: 'DatabaseUnreachable',
    hint: expect.stringContaining('ignore_startup_parameters'),
  });
  await expect(begin(['options'])).rejects.toMatchObject({
    code: 'Unsupported',
    hint: expect.stringContaining("ALTER ROLE … SET row_security = 'off'"),
  });
});
