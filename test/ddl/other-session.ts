import pg from 'pg';
import { onTestFinished } from 'vitest';
import type { DdlBench } from './bench.ts';

/** Another client of the database, as an application or a person at psql is. Closed when the test ends. */
export interface OtherSession {
  pid: string;
  query(sql: string): Promise<Record<string, string>[]>;
}

export async function otherSession(bench: Pick<DdlBench, 'url'>, application = 'reporting'): Promise<OtherSession> {
  const client = new pg.Client({ connectionString: bench.url, application_name: application });
  client.on('error', () => undefined);
  await client.connect();
  onTestFinished(() => client.end().catch(() => undefined));
  const query: OtherSession['query'] = async (sql) => (await client.query(sql)).rows as Record<string, string>[];
  const [row] = await query('SELECT pg_backend_pid()::text AS pid');
  return { pid: row?.['pid'] ?? '', query };
}

const POLL_MS = 5;
const PATIENCE_MS = 20_000;

/** Polls the database until the query gives a row; answers with its first column. */
export async function until(bench: DdlBench, sql: string): Promise<string> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const [row] = await bench.database.query(sql);
    if (row !== undefined) return Object.values(row)[0] ?? '';
    if (Date.now() > end) throw new Error(`nothing came of: ${sql}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** The pid of the session of ours that is at `query`, once it waits for a lock. */
export const ourWaiting = (bench: DdlBench, query: string): Promise<string> =>
  until(
    bench,
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'switchback%'
       AND pid <> pg_backend_pid() AND query LIKE '${query}%' AND cardinality(pg_blocking_pids(pid)) > 0`,
  );

/** Ends a session as a crash of its client or an administrator does. */
export const kill = (bench: DdlBench, pid: string): Promise<unknown> =>
  bench.database.query('SELECT pg_terminate_backend($1::int, 5000)', [pid]);

/** Settles to the error, and fails the test where there is none. */
export async function failure(
  promise: Promise<unknown>,
): Promise<Error & { code?: string; hint?: string | null; retry?: boolean; fields?: Record<string, unknown> }> {
  try {
    await promise;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it did not fail');
}
