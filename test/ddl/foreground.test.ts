import pg from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { LADDER, lockTimeoutOf } from '../../src/adapters/postgres/lock-ladder.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { type OtherSession, otherSession, ourWaiting, until } from './other-session.ts';

/**
 * The experiment behind the lock ladder: 50 readers and writers a second are at a table, someone holds a lock on it, and
 * a change of the table waits. How long does each of their statements wait?
 *
 * The server's own clock tells: from the arrival of a statement to the moment when it has its locks. A busy machine adds
 * to that. How much is measured at the same time, at the server's own timer: a control session runs into a known lock
 * timeout again and again, and another one works on a table that nobody changes. What these overrun is the machine's.
 */
const EVERY_MS = 20;
const GRACE_MS = 50;
const TRIES_WATCHED = 4;
const CONTROL_TIMEOUT_MS = 50;
const ROWS = 200;

const tableOf = (name: string): string =>
  `CREATE TABLE public.${name} (id int PRIMARY KEY, n int); INSERT INTO public.${name} SELECT i, 0 FROM generate_series(0, ${ROWS}) i`;
const WAITED = 'extract(epoch FROM clock_timestamp() - statement_timestamp()) * 1000';

interface Statement {
  startedAt: number;
  waitedMs: number;
}
/** Reads and writes in turn, at a fixed rate: who waits doesn't keep the next one from coming. */
function traffic(bench: DdlBench, table: string): { done: Statement[]; end(): Promise<void> } {
  const pool = new pg.Pool({ connectionString: bench.url, max: 40, application_name: 'web' });
  // Its connections end with the database.
  pool.on('error', () => undefined);
  const done: Statement[] = [];
  const running = new Set<Promise<void>>();
  const failures: unknown[] = [];
  let count = 0;
  const one = async (): Promise<void> => {
    count += 1;
    const client = await pool.connect();
    try {
      const startedAt = performance.now();
      const id = 1 + (count % ROWS);
      const { rows } = await client.query<{ waited: string }>(
        count % 2 === 0
          ? `SELECT ${WAITED} AS waited FROM public.${table} WHERE id = ${id}`
          : `UPDATE public.${table} SET n = n + 1 WHERE id = ${id} RETURNING ${WAITED} AS waited`,
      );
      done.push({ startedAt, waitedMs: Number(rows[0]?.waited) });
    } finally {
      client.release();
    }
  };
  const timer = setInterval(() => {
    const under = one()
      .catch((error: unknown) => void failures.push(error))
      .finally(() => running.delete(under));
    running.add(under);
  }, EVERY_MS);
  onTestFinished(async () => {
    clearInterval(timer);
    await pool.end();
  });
  return {
    done,
    async end() {
      clearInterval(timer);
      await Promise.all(running);
      if (failures.length > 0) throw failures[0];
    },
  };
}

const CONTROL = `CREATE FUNCTION public.overrun() RETURNS float LANGUAGE plpgsql SET lock_timeout = ${CONTROL_TIMEOUT_MS} AS $$
  DECLARE since timestamptz := clock_timestamp();
  BEGIN LOCK TABLE public.control;
  EXCEPTION WHEN lock_not_available THEN
    RETURN extract(epoch FROM clock_timestamp() - since) * 1000 - ${CONTROL_TIMEOUT_MS};
  END $$`;
/** By how many milliseconds a lock timeout is overrun at worst, while the experiment runs. */
async function control(bench: DdlBench): Promise<{ end(): Promise<number> }> {
  const [holder, waiter] = [await otherSession(bench), await otherSession(bench)];
  await holder.query('BEGIN; LOCK TABLE public.control');
  let ended = false;
  const measuring = (async () => {
    let worst = 0;
    while (!ended) {
      const [row] = await waiter.query('SELECT public.overrun() AS ms');
      worst = Math.max(worst, Number(row?.['ms']));
    }
    return worst;
  })();
  return {
    end() {
      ended = true;
      return measuring;
    },
  };
}

const HOLDS = {
  'an idle transaction with ACCESS SHARE': (table: string) => `BEGIN; SELECT n FROM public.${table} WHERE id = 0`,
  'a long writer with ROW EXCLUSIVE': (table: string) => `BEGIN; UPDATE public.${table} SET n = 1 WHERE id = 0`,
};

/** Changes the table under traffic while someone holds it; answers with the tries and what the traffic went through. */
async function underTraffic(bench: DdlBench, table: string, holds: string) {
  const holder = await otherSession(bench, 'nightly-report');
  await holder.query(holds);
  const foreground = traffic(bench, table);
  const triesEndedAt: number[] = [];
  const enough = Promise.withResolvers<void>();
  const step = bench.step(`ALTER TABLE ${table} ADD COLUMN a text`, { id: table, lockTimeout: '300ms' });
  const applied = bench.up(step, {
    onNote: (note) => {
      if (note.includes('waits for a lock')) triesEndedAt.push(performance.now());
      if (triesEndedAt.length === TRIES_WATCHED) enough.resolve();
    },
  });
  await Promise.race([enough.promise, applied]);
  await holder.query('COMMIT');
  await applied;
  await foreground.end();
  return { triesEndedAt, statements: foreground.done };
}

test('must pass 10. an idle transaction holding ACCESS SHARE while ALTER waits: none of 50 readers and writers a second waits longer than the try, and the change lands', async () => {
  const tables = ['read', 'written'];
  const bench = await ddlBench(`${[...tables, 'control', 'quiet'].map(tableOf).join(';')}; ${CONTROL}`);
  const measured = await control(bench);
  const quiet = traffic(bench, 'quiet');
  const cases = await Promise.all(
    Object.values(HOLDS).map((holds, at) => underTraffic(bench, tables[at] ?? '', holds(tables[at] ?? ''))),
  );
  await quiet.end();
  const slowMs = (await measured.end()) + Math.max(...quiet.done.map(({ waitedMs }) => waitedMs));
  const limits = { ...LADDER, lockTimeoutMaxMs: 300 };
  for (const [at, { triesEndedAt, statements }] of cases.entries()) {
    const name = Object.keys(HOLDS)[at];
    expect(triesEndedAt.length, name).toBeGreaterThanOrEqual(TRIES_WATCHED);
    const tooLong = statements.filter(({ startedAt, waitedMs }) => {
      const tryNumber = 1 + triesEndedAt.filter((endedAt) => endedAt < startedAt).length;
      return waitedMs > lockTimeoutOf(limits, tryNumber) + GRACE_MS + slowMs;
    });
    console.log(
      name,
      triesEndedAt.length,
      statements.length,
      slowMs,
      statements
        .map((s) => s.waitedMs)
        .sort((a, b) => b - a)
        .slice(0, 5),
    );
    expect(tooLong, `${name}; the machine's own delay: ${slowMs.toFixed(0)} ms`).toEqual([]);
    // The change was in their way: else nothing is proven.
    expect(statements.filter(({ waitedMs }) => waitedMs > 20).length, name).toBeGreaterThan(TRIES_WATCHED);
    expect(await bench.query(`SELECT a FROM public.${tables[at]} LIMIT 1`), name).toEqual([{ a: null }]);
  }
});

test('the same without the ladder: everyone waits for as long as the lock is held', async () => {
  const bench = await ddlBench(tableOf('read'));
  const holder: OtherSession = await otherSession(bench, 'nightly-report');
  await holder.query(HOLDS['an idle transaction with ACCESS SHARE']('read'));
  const plain = await otherSession(bench, 'switchback-plain');
  const altered = plain.query('ALTER TABLE public.read ADD COLUMN a text');
  await ourWaiting(bench, 'ALTER TABLE public.read');
  const foreground = traffic(bench, 'read');
  // Ten statements have waited for longer than any try of the ladder above.
  await until(
    bench,
    `SELECT 1 FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.application_name = 'web'
       AND l.relation = 'public.read'::regclass AND clock_timestamp() - l.waitstart > interval '400 ms' HAVING count(*) >= 10`,
  );
  await holder.query('COMMIT');
  await altered;
  await foreground.end();
  expect(foreground.done.filter(({ waitedMs }) => waitedMs > 400).length).toBeGreaterThanOrEqual(10);
});
