import { describe, expect, test } from 'vitest';
import { withoutValues } from '../../src/adapters/postgres/blockers.ts';
import { climbTransaction } from '../../src/adapters/postgres/lock-ladder.ts';
import { ddlBench } from './bench.ts';
import { failure, otherSession, ourWaiting, until } from './other-session.ts';

const USERS = 'CREATE TABLE public.users (id int); INSERT INTO public.users SELECT generate_series(1, 10)';
const ADD = 'ALTER TABLE users ADD COLUMN a text';
const IDLE_IN_TRANSACTION = `BEGIN; SELECT 'secret', 4711 FROM public.users LIMIT 1`;

describe('lock ladder', () => {
  test('names the blocker while it waits, and goes on when it is gone', async () => {
    const bench = await ddlBench(USERS);
    const blocker = await otherSession(bench, 'nightly-report');
    await blocker.query(IDLE_IN_TRANSACTION);
    const noted = Promise.withResolvers<string>();
    const applied = bench.up(bench.step(ADD), { onNote: (note) => noted.resolve(note) });
    const note = await noted.promise;
    expect(note).toContain('waits for a lock for statement 1 (ALTER TABLE users ADD COLUMN a text)');
    expect(note).toMatch(new RegExp(`pid ${blocker.pid} \\(nightly-report, idle in transaction for \\d+ s\\)`));
    expect(note).not.toMatch(/secret|4711/);
    await blocker.query('COMMIT');
    await applied;
    expect(
      await bench.query(
        `SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname = 'a'`,
      ),
    ).toEqual([{ count: '1' }]);
  });

  test('readers that queue behind it are held up no longer than the lock timeout', async () => {
    const bench = await ddlBench(USERS);
    const blocker = await otherSession(bench);
    const reader = await otherSession(bench, 'web');
    await blocker.query(IDLE_IN_TRANSACTION);
    let tries = 0;
    const applied = bench.up(bench.step(ADD, { lockTimeout: '200ms' }), { onNote: () => (tries += 1) });
    let longestMs = 0;
    while (tries < 3) {
      // The server's own clock: it begins when the statement arrives and ends when its lock is there.
      const [row] = await reader.query(
        'SELECT extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000 AS ms FROM public.users LIMIT 1',
      );
      longestMs = Math.max(longestMs, Number(row?.['ms']));
    }
    await blocker.query('COMMIT');
    await applied;
    expect(longestMs).toBeGreaterThan(20);
    expect(longestMs).toBeLessThan(200 + 50);
  });

  test('tries again where another session has changed the same row of the catalog meanwhile', async () => {
    const bench = await ddlBench(USERS);
    const other = await otherSession(bench);
    await other.query('BEGIN; GRANT SELECT ON public.users TO PUBLIC');
    const applied = bench.up(bench.step('GRANT INSERT ON users TO PUBLIC', { down: 'SELECT 1' }));
    await ourWaiting(bench, 'GRANT INSERT');
    await other.query('COMMIT');
    await applied;
    expect(bench.notes.join()).toContain('the catalog was changed by someone else meanwhile');
    const [row] = await bench.query(`SELECT relacl::text AS acl FROM pg_class WHERE oid = 'public.users'::regclass`);
    expect(row?.['acl']).toContain('=ar/');
  });

  test('gives up after the last try and says who was in the way', async () => {
    const bench = await ddlBench(USERS);
    const blocker = await otherSession(bench);
    await blocker.query(IDLE_IN_TRANSACTION);
    const limits = { triesMax: 3, lockTimeoutFirstMs: 100, lockTimeoutMaxMs: 100, waitFirstMs: 10, waitMaxMs: 20 };
    const waits: string[] = [];
    const error = await failure(
      bench.database.session((session) =>
        climbTransaction(
          session,
          {
            database: bench.database,
            limits,
            signal: new AbortController().signal,
            purpose: 'a test',
            onWait: (note) => waits.push(note),
          },
          async (transaction, timeoutMs) => {
            await transaction.query(`SET LOCAL lock_timeout = ${timeoutMs}`);
            await transaction.query('LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE');
          },
        ),
      ),
    );
    expect(error).toMatchObject({ code: 'LockNotObtained', retry: false, fields: { tries: 3, blockers: blocker.pid } });
    expect(error.message).toContain(`pid ${blocker.pid} (reporting, idle in transaction`);
    expect(waits).toHaveLength(2);
  });

  test('an abort ends the wait at once', async () => {
    const bench = await ddlBench(USERS);
    const blocker = await otherSession(bench);
    await blocker.query(IDLE_IN_TRANSACTION);
    const abort = new AbortController();
    const reason = new Error('paused by a person');
    let abortedAt = 0;
    const onNote = (): void => {
      abortedAt = performance.now();
      abort.abort(reason);
    };
    expect(await failure(bench.up(bench.step(ADD), { signal: abort.signal, onNote }))).toBe(reason);
    expect(performance.now() - abortedAt).toBeLessThan(250);
  });

  test('an abort cancels a statement that runs, and nothing of it stays', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const abort = new AbortController();
    const reason = new Error('aborted by a person');
    const applied = failure(
      bench.up(bench.step('CREATE TABLE slow AS SELECT 1 AS a FROM pg_sleep(30)'), { signal: abort.signal }),
    );
    await until(
      bench,
      `SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE TABLE slow%' AND wait_event = 'PgSleep'`,
    );
    abort.abort(reason);
    expect(await applied).toBe(reason);
    expect(await bench.schema()).toEqual(before);
  });

  test('ends blockers only where the plan says so', async () => {
    const bench = await ddlBench(USERS);
    const blocker = await otherSession(bench);
    await blocker.query(IDLE_IN_TRANSACTION);
    await bench.up(bench.step(ADD, { killBlockers: true }));
    expect(bench.notes.some((note) => note.includes('ends the blockers'))).toBe(true);
    expect((await failure(blocker.query('SELECT 1'))).message).toMatch(/terminat|connection error/);
  });
});

test('a blocker’s statement is shown without its values', () => {
  expect(withoutValues(`UPDATE users\n SET a = 'it''s', b2 = 17.5 WHERE id = 42 AND c = $x$se'cret$x$`)).toBe(
    'UPDATE users SET a = ?, b2 = ? WHERE id = ? AND c = ?',
  );
  expect(withoutValues(`SELECT 'cut off in the midd`)).toBe('SELECT ?');
  expect(withoutValues(String.raw`SELECT E'it\'s secret', "it's" FROM t /* secret */ -- secret`)).toBe(
    `SELECT ?, "it's" FROM t`,
  );
  expect(withoutValues("SELECT '--'\n, 'secret', '/*', 'secret', 1 /* secret")).toBe('SELECT ? , ?, ?, ?, ?');
});
