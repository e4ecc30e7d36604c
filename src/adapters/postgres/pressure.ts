import type { Database } from './database.ts';

/**
 * What weighs on a database while a long step works on one of its tables: one statement, from Postgres's own
 * statistics. It locks nothing, reads no table, and takes a few milliseconds.
 */
export interface Pressure {
  /**
   * Sessions of others that wait for a lock of the table: for the table, a row of it, or anything that one of our
   * sessions holds. Whoever is to blame: ours add to the queue of a lock that others hold. Null where nobody asked.
   */
  lockWaits: number | null;
  /** Sessions of others in this database that run a statement now. */
  activeConnections: number;
  /** Sessions of others in this database whose state this role may not see: it lacks `pg_monitor`. */
  hiddenSessions: number;
  /** Versions of rows of the table, its partitions and heirs that no one needs and vacuum has not removed; estimates. */
  deadRows: number;
  liveRows: number;
  /** `hidden`: an autovacuum is at the table, and what for this role may not see. */
  wraparoundVacuum: 'none' | 'running' | 'hidden';
  /** WAL that waits to be archived; null: nothing archives, `hidden`: it does, and how far it is this role may not see. */
  archiveBacklogBytes: number | 'hidden' | null;
  /** The transaction of others in this database that is open longest and holds a snapshot: vacuum removes nothing newer. */
  oldestSnapshotSeconds: number | null;
}

/** Throws `DatabaseUnreachable` or `StatementFailed`, also where it takes longer than `timeoutMs`. */
export async function readPressure(
  database: Database,
  { schema, table, lockWaits }: { schema: string; table: string; lockWaits: boolean },
  timeoutMs: number,
): Promise<Pressure> {
  const [row = {}] = await database.readOnly(PRESSURE, { timeoutMs, values: [schema, table, lockWaits] });
  const oldest = row['oldest_snapshot'] ?? null;
  return {
    lockWaits: lockWaits ? Number(row['lock_waits']) : null,
    activeConnections: Number(row['active']),
    hiddenSessions: Number(row['hidden']),
    deadRows: Number(row['dead']),
    liveRows: Number(row['live']),
    wraparoundVacuum: row['wraparound'] as Pressure['wraparoundVacuum'],
    archiveBacklogBytes: await archiveBacklog(database, row['archive_backlog'] ?? null, timeoutMs),
    oldestSnapshotSeconds: oldest === null ? null : Number(oldest),
  };
}

async function archiveBacklog(
  database: Database,
  found: string | null,
  timeoutMs: number,
): Promise<Pressure['archiveBacklogBytes']> {
  if (found === null || found === 'hidden') return found;
  if (found !== 'ready') return Number(found);
  const [row] = await database.readOnly(ARCHIVE_READY, { timeoutMs });
  return Number(row?.['bytes']);
}

/**
 * The table, what inherits from it, and the TOAST tables of all: an autovacuum works on each by itself. Sessions of ours
 * are those of the same role whose application is `switchback`; what they wait for they handle themselves.
 */
const SOURCES = `
  WITH RECURSIVE heirs (oid) AS (
    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
    UNION SELECT i.inhrelid FROM pg_inherits i JOIN heirs h ON h.oid = i.inhparent
  ), tables (oid) AS (
    SELECT oid FROM heirs
    UNION SELECT c.reltoastrelid FROM heirs h JOIN pg_class c ON c.oid = h.oid WHERE c.reltoastrelid <> 0
  ), sessions AS MATERIALIZED (
    SELECT a.pid, a.state, a.backend_type, a.backend_xmin, a.xact_start, a.query,
      a.application_name = 'switchback' AND a.usename = current_user AS ours,
      a.usename IS NOT NULL AND a.query = '<insufficient privilege>' AS hidden,
      a.usename IS NULL AND a.query = '<insufficient privilege>' AS hidden_worker
    FROM pg_stat_activity a WHERE a.datname = current_database()
  ), table_locks AS MATERIALIZED (
    SELECT l.pid, l.locktype, l.granted FROM pg_locks l
    WHERE l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.relation IN (SELECT oid FROM tables)
  )`;

/**
 * Who waits for a row holds or awaits the row's tuple lock and waits for the transaction that has the row; who waits to
 * insert a key that another transaction is inserting shows nothing of the table: those are found by whom they wait for.
 */
const LOCK_WAITS = `
  (SELECT count(DISTINCT w.pid) FROM pg_locks w JOIN sessions s ON s.pid = w.pid AND NOT s.ours
   WHERE NOT w.granted AND (
     w.pid IN (SELECT t.pid FROM table_locks t WHERE NOT t.granted OR t.locktype = 'tuple')
     OR pg_blocking_pids(w.pid) && ARRAY(SELECT o.pid FROM sessions o WHERE o.ours)))`;

/** `autovacuum: VACUUM public.users (to prevent wraparound)` is how Postgres itself shows it. */
const WRAPAROUND = `
  CASE
    WHEN EXISTS (SELECT FROM sessions s JOIN table_locks t USING (pid)
      WHERE s.backend_type = 'autovacuum worker' AND s.query LIKE '%(to prevent wraparound)') THEN 'running'
    WHEN EXISTS (SELECT FROM sessions s JOIN table_locks t USING (pid) WHERE s.hidden_worker) THEN 'hidden'
    ELSE 'none'
  END`;

/**
 * Whole segments between the last one archived and the one being written; the name of a segment holds its number in
 * its last 16 digits. Where nothing has been archived since statistics began, what lies ready is counted instead: by a
 * statement of its own, because Postgres refuses one that only might call a function that the role may not.
 */
const ARCHIVE_BACKLOG = `
  (SELECT CASE
     WHEN NOT pg_is_in_recovery() AND a.last_archived_wal ~ '^[0-9A-F]{24}' THEN
       greatest(0, s.bytes * (floor((pg_current_wal_lsn() - '0/0'::pg_lsn) / s.bytes)
         - (('x' || substr(a.last_archived_wal, 9, 8))::bit(32)::bigint * (4294967296 / s.bytes)
           + ('x' || substr(a.last_archived_wal, 17, 8))::bit(32)::bigint) - 1))::bigint::text
     WHEN has_function_privilege('pg_ls_archive_statusdir()', 'EXECUTE') THEN 'ready'
     ELSE 'hidden' END
   FROM pg_stat_archiver a, (SELECT pg_size_bytes(current_setting('wal_segment_size')) AS bytes) s)`;

const ARCHIVE_READY = `
  SELECT count(*) * pg_size_bytes(current_setting('wal_segment_size')) AS bytes
  FROM pg_ls_archive_statusdir() f WHERE f.name LIKE '%.ready'`;

const PRESSURE = `${SOURCES}
  SELECT
    CASE WHEN $3::boolean THEN ${LOCK_WAITS} END AS lock_waits,
    (SELECT count(*) FROM sessions s WHERE s.state = 'active' AND s.backend_type = 'client backend' AND NOT s.ours) AS active,
    (SELECT count(*) FROM sessions s WHERE s.hidden) AS hidden,
    (SELECT coalesce(sum(pg_stat_get_dead_tuples(h.oid)), 0)::bigint FROM heirs h) AS dead,
    (SELECT coalesce(sum(pg_stat_get_live_tuples(h.oid)), 0)::bigint FROM heirs h) AS live,
    ${WRAPAROUND} AS wraparound,
    CASE WHEN current_setting('archive_mode') <> 'off' THEN ${ARCHIVE_BACKLOG} END AS archive_backlog,
    (SELECT floor(extract(epoch FROM clock_timestamp() - min(s.xact_start)))::bigint FROM sessions s
      WHERE s.backend_xmin IS NOT NULL AND NOT s.ours AND s.backend_type IS DISTINCT FROM 'autovacuum worker') AS oldest_snapshot`;
