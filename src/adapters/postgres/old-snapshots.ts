import { type Blocker, BLOCKER_COLUMNS, blockerOf, PREPARED } from './blockers.ts';
import type { Queryable } from './database.ts';

/** From this age on, transactions are named that a concurrent build or drop of an index will have to wait for. */
const OLD_TRANSACTION_MS = 60_000;

/** The build or drop of an index by CONCURRENTLY. */
export interface ConcurrentWork {
  as: 'build' | 'drop';
  schema: string;
  /** The table, or any index of it. */
  relation: string;
}

/** A build waits for whoever may write to the table, and again; a drop for everyone who uses it. */
const WRITES = ['RowExclusive', 'ShareUpdateExclusive', 'ShareRowExclusive', 'Exclusive', 'AccessExclusive'];
const USES = [...WRITES, 'AccessShare', 'RowShare', 'Share'];

/**
 * Whom the session `pid` will wait for, oldest first: transactions with such locks on the table, prepared ones too, and for a build
 * everyone in this database who holds a snapshot, whatever they read. Postgres doesn't make it wait for vacuums, other
 * databases, standbys or replication slots.
 */
export async function oldTransactions(
  queryable: Queryable,
  pid: string,
  {
    on: { as, schema, relation },
    olderThanMs = OLD_TRANSACTION_MS,
  }: { on: ConcurrentWork; olderThanMs?: number | undefined },
): Promise<Blocker[]> {
  const rows = await queryable.query(
    `WITH holders AS (
       SELECT l.pid, l.virtualtransaction FROM pg_class c
       JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_index i ON i.indexrelid = c.oid
       JOIN pg_locks l ON l.locktype = 'relation' AND l.relation = coalesce(i.indrelid, c.oid) AND l.granted
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       WHERE n.nspname = $1 AND c.relname = $2 AND l.mode = ANY ($3)
     )
     SELECT * FROM (
       SELECT a.pid::text AS pid, ${BLOCKER_COLUMNS}
       FROM pg_stat_activity a
       WHERE a.datname = current_database() AND a.pid NOT IN (pg_backend_pid(), $5::int)
         AND a.backend_type IS DISTINCT FROM 'autovacuum worker' AND a.query NOT ILIKE 'vacuum%'
         AND ((a.backend_xmin IS NOT NULL AND $6::boolean) OR a.pid IN (SELECT pid FROM holders))
       UNION ALL
       SELECT '0', NULL, p.prepared::text, NULL, p.gid, 'prepared', NULL, false,
         extract(epoch FROM clock_timestamp() - p.prepared)::bigint
       FROM (${PREPARED}) p WHERE p.database = current_database()
         AND p.virtualtransaction IN (SELECT virtualtransaction FROM holders WHERE pid IS NULL)
     ) AS t
     WHERE since::timestamptz <= clock_timestamp() - $4::float8 * interval '1 ms' ORDER BY since::timestamptz`,
    [schema, relation, (as === 'build' ? WRITES : USES).map((mode) => `${mode}Lock`), olderThanMs, pid, as === 'build'],
  );
  return rows.map(blockerOf);
}
