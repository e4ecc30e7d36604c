import type { Queryable } from './database.ts';

/** A session that holds a lock which another one waits for. */
export interface Blocker {
  pid: string;
  backendStart: string | null;
  application: string;
  state: string;
  /** How long its transaction has been open, in seconds. */
  ageSeconds: number;
  /** The first characters of its current or last statement, without the values in it. */
  query: string;
}
const QUERY_CHARACTERS_SHOWN = 80;

/** Who blocks the session `pid` right now. */
export async function blockersOf(queryable: Queryable, pid: string): Promise<Blocker[]> {
  const rows = await queryable.query(
    `SELECT b.pid, a.backend_start::text AS started, coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown') AS application, a.state, a.query,
       extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))::bigint AS age
     FROM unnest(pg_blocking_pids($1::int)) AS b(pid) LEFT JOIN pg_stat_activity a ON a.pid = b.pid`,
    [pid],
  );
  return rows.map((row) => ({
    pid: row['pid'] ?? '',
    backendStart: row['started'] ?? null,
    application: row['application'] ?? 'unknown',
    state: row['state'] ?? 'unknown state',
    ageSeconds: Number(row['age'] ?? 0),
    query: withoutValues(row['query'] ?? '').slice(0, QUERY_CHARACTERS_SHOWN),
  }));
}

/** Ends these very sessions: a pid that belongs to another session by now is left alone. */
export async function terminate(
  queryable: Queryable,
  sessions: readonly Pick<Blocker, 'pid' | 'backendStart'>[],
): Promise<void> {
  await queryable.query(
    `SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity a
     JOIN unnest($1::int[], $2::text[]) AS s(pid, started) ON s.pid = a.pid AND s.started = a.backend_start::text`,
    [sessions.map(({ pid }) => pid), sessions.map(({ backendStart }) => backendStart)],
  );
}

/** `pid 123 (psql, idle in transaction for 5 min): UPDATE users SET …` */
export const describeBlockers = (blockers: readonly Blocker[]): string =>
  blockers
    .map(({ pid, application, state, ageSeconds, query }) => {
      const statement = query === '' ? '' : `: ${query}`;
      return pid === '0'
        ? 'a prepared transaction'
        : `pid ${pid} (${application}, ${state} for ${inWords(ageSeconds)})${statement}`;
    })
    .join('; ');

/** A statement's literals and numbers can be a row's values or a secret: they are not for notes and errors. */
export const withoutValues = (sql: string): string =>
  sql
    .replace(/\$(\w*)\$[\s\S]*?(?:\$\1\$|$)/g, '?')
    .replace(/'(?:[^']|'')*(?:'|$)/g, '?')
    .replace(/(?<![\w"$])\d+(?:\.\d+)?/g, '?')
    .replace(/\s+/g, ' ')
    .trim();

const inWords = (seconds: number): string =>
  seconds < 60
    ? `${seconds} s`
    : seconds < 3600
      ? `${Math.floor(seconds / 60)} min`
      : `${Math.floor(seconds / 3600)} h`;
