import type { Database, Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';

/** A session that holds a lock which another one waits for, or a snapshot. */
export interface Blocker {
  /** `0`: a prepared transaction, which no session is at. */
  pid: string;
  backendStart: string | null;
  /** When its transaction began. */
  since: string | null;
  /**
   * `client`: whoever uses the database. `ours`: a worker of Switchback. `vacuum`: autovacuum, which gives way.
   * `wraparound`: autovacuum that doesn't, and mustn't. `system`: any other process of the server.
   */
  kind: 'client' | 'ours' | 'vacuum' | 'wraparound' | 'system' | 'prepared';
  application: string;
  state: string;
  /** How long its transaction has been open, in seconds. */
  ageSeconds: number;
  /** The first characters of its current or last statement, without the values in it. */
  query: string;
}
const QUERY_CHARACTERS_SHOWN = 80;
const BLOCKERS_NAMED_MAX = 5;

/** The columns of a `Blocker`, from a row `a` of pg_stat_activity and a `pid`. */
export const BLOCKER_COLUMNS = `a.backend_start::text AS started, a.xact_start::text AS since, a.backend_type AS type,
  coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown') AS application, a.state, a.query,
  a.application_name = current_setting('application_name') AND a.usename = current_user AS ours,
  extract(epoch FROM clock_timestamp() - coalesce(a.xact_start, a.backend_start))::bigint AS age`;

/** Prepared transactions as pg_locks knows them: each holds the lock of its own number, and no session has it. */
export const PREPARED = `SELECT l.virtualtransaction, p.gid, p.prepared, p.database FROM pg_prepared_xacts p
  JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = p.transaction AND l.granted AND l.pid IS NULL`;

/**
 * A backend in one of its transactions. Behind a pooler in transaction mode it works for somebody else afterwards: what
 * is done to it then would be done to a stranger.
 */
export interface Backend {
  pid: string;
  /** When the transaction began, in seconds since 1970; null: a session of its own, in whatever it does. */
  began: string | null;
}
/** True for `a` of pg_stat_activity, the backend of `$1` and `$2`. Of other roles Postgres doesn't show when it began. */
export const IS_BACKEND =
  'a.pid = $1::int AND ($2::text IS NULL OR a.xact_start IS NULL OR extract(epoch FROM a.xact_start) = $2::numeric)';

/** Who blocks the backend right now. A prepared transaction is named where its lock is found too. */
export async function blockersOf(queryable: Queryable, { pid, began }: Backend): Promise<Blocker[]> {
  const rows = await queryable.query(
    `WITH b AS MATERIALIZED (SELECT DISTINCT unnest(pg_blocking_pids(a.pid)) AS pid FROM pg_stat_activity a WHERE ${IS_BACKEND}),
     prepared AS (
       SELECT DISTINCT p.gid, p.prepared FROM pg_locks w
       JOIN pg_locks h ON h.pid IS NULL AND h.granted AND h.locktype = w.locktype
         AND (h.database, h.relation) IS NOT DISTINCT FROM (w.database, w.relation)
       JOIN (${PREPARED}) p ON p.virtualtransaction = h.virtualtransaction
       WHERE w.pid = $1::int AND NOT w.granted
     )
     SELECT b.pid::text AS pid, ${BLOCKER_COLUMNS} FROM b LEFT JOIN pg_stat_activity a ON a.pid = b.pid WHERE b.pid <> 0
     UNION ALL
     SELECT '0', NULL, p.prepared::text, NULL, coalesce(p.gid, 'unknown'), 'prepared', NULL, false,
       extract(epoch FROM clock_timestamp() - p.prepared)::bigint
     FROM b LEFT JOIN prepared p ON true WHERE b.pid = 0`,
    [pid, began],
  );
  return rows.map(blockerOf);
}

export function blockerOf(row: Record<string, string | null>): Blocker {
  return {
    pid: row['pid'] ?? '',
    backendStart: row['started'] ?? null,
    since: row['since'] ?? null,
    kind: kindOf(row),
    application: row['application'] ?? 'unknown',
    state: row['state'] ?? 'running',
    ageSeconds: Math.max(0, Number(row['age'] ?? 0)),
    query: withoutValues(row['query'] ?? '').slice(0, QUERY_CHARACTERS_SHOWN),
  };
}

function kindOf({ pid, type, ours, query }: Record<string, string | null>): Blocker['kind'] {
  if (pid === '0') return 'prepared';
  if (type === 'autovacuum worker') return query?.includes('(to prevent wraparound)') ? 'wraparound' : 'vacuum';
  // Without the rights to see it, a session's type is hidden: ending it is refused by Postgres where it isn't allowed.
  if (type !== null && type !== undefined && type !== 'client backend') return 'system';
  return ours === 't' ? 'ours' : 'client';
}

/**
 * Ends these very sessions, where `since` is given in this very transaction: a pid that belongs to another session by
 * now, or that a pooler has given to another client, is left alone. Answers with how many.
 */
export async function terminate(
  queryable: Queryable,
  sessions: readonly (Pick<Blocker, 'pid' | 'backendStart'> & Partial<Pick<Blocker, 'since'>>)[],
): Promise<number> {
  const ended = await queryable.query(
    `SELECT pg_terminate_backend(a.pid, 5000) FROM pg_stat_activity a
     JOIN unnest($1::int[], $2::text[], $3::text[]) AS s(pid, started, since)
       ON s.pid = a.pid AND s.started = a.backend_start::text AND (s.since IS NULL OR s.since = a.xact_start::text)`,
    [
      sessions.map(({ pid }) => pid),
      sessions.map(({ backendStart }) => backendStart),
      sessions.map(({ since }) => since ?? null),
    ],
  );
  return ended.length;
}

const INSUFFICIENT_PRIVILEGE = '42501';

/**
 * Ends blocking clients, one by one. Answers with those that Postgres doesn't let this role end: a superuser's, or those
 * of a role that ours is no member of (`pg_signal_backend` would allow it).
 */
export async function endClients(database: Database, clients: readonly Blocker[]): Promise<Blocker[]> {
  const refused: Blocker[] = [];
  for (const client of clients) {
    try {
      // A session whose beginning this role may not see can't be told from a later one of the same pid.
      if ((await terminate(database, [client])) === 0 && client.backendStart === null) refused.push(client);
    } catch (error) {
      if (!isRefused(error)) throw error;
      refused.push(client);
    }
  }
  return refused;
}

/**
 * Asks autovacuum to give way, as Postgres itself does for whoever has waited for `deadlock_timeout`: our tries are
 * shorter than that. It comes back later. False where this role may not ask.
 */
export async function askVacuum(database: Database, { pid, backendStart }: Blocker): Promise<boolean> {
  try {
    await database.query(
      `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE pid = $1::int AND backend_start::text = $2
         AND backend_type = 'autovacuum worker' AND query NOT LIKE '%(to prevent wraparound)%'`,
      [pid, backendStart],
    );
    return true;
  } catch (error) {
    if (!isRefused(error)) throw error;
    return false;
  }
}

const isRefused = (error: unknown): boolean =>
  error instanceof PostgresError && error.sqlState === INSUFFICIENT_PRIVILEGE;

/** `pid 123 (psql, idle in transaction for 5 min): UPDATE users SET …` */
export function describeBlockers(blockers: readonly Blocker[]): string {
  const named = blockers.slice(0, BLOCKERS_NAMED_MAX).map(describe);
  const more = blockers.length - named.length;
  return [...named, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

function describe({ pid, application, kind, state, ageSeconds, query }: Blocker): string {
  const age = `for ${inWords(ageSeconds)}`;
  if (kind === 'prepared')
    return application === 'unknown' ? 'a prepared transaction' : `prepared transaction "${application}" (${age})`;
  const whose = kind === 'ours' ? ', another session of Switchback' : '';
  return `pid ${pid} (${application}${whose}, ${state} ${age})${query === '' ? '' : `: ${query}`}`;
}

/** What may hold values, each from its first character on; names in double quotes, so that quotes in them open nothing. */
const QUOTED =
  /\$([A-Za-z_]\w*)?\$[\s\S]*?(?:\$\1\$|$)|\/\*[\s\S]*?(?:\*\/|$)|--[^\n]*|\be'(?:[^'\\]|\\[\s\S]|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)|"(?:[^"]|"")*(?:"|$)/gi;

/** A statement's literals, numbers and comments can be a row's values or a secret: they are not for notes and errors. */
export const withoutValues = (sql: string): string =>
  sql
    .replace(QUOTED, (text) => (text.startsWith('"') ? text : /^(\/\*|--)/.test(text) ? ' ' : '?'))
    .replace(/(?<![\w"$])\d+(?:\.\d+)?/g, '?')
    .replace(/\s+/g, ' ')
    .trim();

const inWords = (seconds: number): string =>
  seconds < 60
    ? `${seconds} s`
    : seconds < 3600
      ? `${Math.floor(seconds / 60)} min`
      : `${Math.floor(seconds / 3600)} h`;
