import type { Database, Queryable } from './database.ts';
import { type RowChange, stillToDo } from './backfill-change.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { inSavepoint, searchPath } from './table-expressions.ts';
import { rowsGuessed, type TableShape } from './table-shape.ts';

/** What writing rows has cost so far. */
export interface WriteCost {
  /** Bytes of WAL; `exact`: of the sessions watched alone. Otherwise of the whole server, an upper bound. */
  walBytes: number;
  exact: boolean;
  /** Updates of the table meanwhile, others' included, and how many of them were HOT. */
  updates: number;
  hot: number;
}

/**
 * Watches what it costs to change the rows of a table: by what Postgres counts for each session (from 18 on), else by
 * how far the server's WAL has come. Counters that can't be read count as nothing.
 */
export class WriteMeter {
  readonly #database: Database;
  readonly #table: string;
  readonly #start: Readonly<Record<string, number>>;
  #sessions = 0;
  /** A pooler has given a session's statements to several backends: none of them has counted all. */
  #shared = false;

  private constructor(database: Database, table: string, start: Readonly<Record<string, number>>) {
    this.#database = database;
    this.#table = table;
    this.#start = start;
  }

  static async start(database: Database, { oid }: TableShape): Promise<WriteMeter> {
    return new WriteMeter(database, oid, await countersOf(database, oid));
  }

  /** Counts in what `work` writes on this session. */
  async count<T>(session: Queryable & { shared: boolean }, work: () => Promise<T>): Promise<T> {
    this.#shared ||= session.shared;
    if (session.shared) return work();
    const before = await this.#bytesOf(session);
    const result = await work();
    // A session tells its counters no more than once a second, unless it is asked to.
    if (this.#perSession) await session.query('SELECT pg_stat_force_next_flush()');
    this.#sessions += (await this.#bytesOf(session)) - before;
    return result;
  }

  async end(): Promise<WriteCost> {
    const now = await countersOf(this.#database, this.#table);
    const since = (name: string): number => Math.max(0, (now[name] ?? 0) - (this.#start[name] ?? 0));
    const exact = this.#perSession && !this.#shared;
    return { walBytes: exact ? this.#sessions : since('lsn'), exact, updates: since('updates'), hot: since('hot') };
  }

  get #perSession(): boolean {
    return (this.#start['version'] ?? 0) >= 180_000;
  }

  async #bytesOf(session: Queryable): Promise<number> {
    if (!this.#perSession) return 0;
    const [row] = await session.query('SELECT wal_bytes FROM pg_stat_get_backend_wal(pg_backend_pid())');
    return Number(row?.['wal_bytes'] ?? 0);
  }
}

async function countersOf(session: Queryable, table: string): Promise<Record<string, number>> {
  const [row] = await session.query(
    `SELECT current_setting('server_version_num') AS version, pg_current_wal_insert_lsn() - '0/0' AS lsn,
       coalesce(sum(n_tup_upd), 0) AS updates, coalesce(sum(n_tup_hot_upd), 0) AS hot
     FROM pg_stat_all_tables WHERE relid = $1::oid OR relid IN (SELECT relid FROM pg_partition_tree($1::oid))`,
    [table],
  );
  return Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name, Number(value)]));
}

/** Indexes, of partitions too, that hold one of the columns as a key, in an expression, a predicate or INCLUDE. */
export async function indexesHolding(
  session: Queryable,
  { oid }: TableShape,
  columns: readonly string[],
): Promise<string[]> {
  const rows = await session.query(
    `SELECT DISTINCT x.relname AS name FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam AND m.amname <> 'brin'
       JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attname = ANY ($2::text[]) AND NOT a.attisdropped
     WHERE (i.indrelid = $1::oid OR i.indrelid IN (SELECT relid FROM pg_partition_tree($1::oid)))
       AND (a.attnum = ANY (i.indkey::int2[]) OR EXISTS (SELECT FROM pg_depend d
         WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid = a.attnum))
     ORDER BY 1`,
    [oid, columns],
  );
  return rows.map((row) => row['name'] ?? '');
}

/** The table with its partitions, in bytes. TOAST isn't counted: values that aren't set are not written again. */
export async function sizesOf(
  session: Queryable,
  { oid, bytes }: TableShape,
): Promise<{ heapBytes: number; indexBytes: number }> {
  const [row] = await session.query(
    `SELECT coalesce(sum(pg_indexes_size(c.oid)), 0) AS indexes FROM pg_class c
     WHERE c.relkind = 'r' AND (c.oid = $1::oid OR c.oid IN (SELECT relid FROM pg_partition_tree($1::oid)))`,
    [oid],
  );
  return { heapBytes: bytes, indexBytes: Number(row?.['indexes']) };
}

/** The share of the rows that are still to be done, 0 … 1, as Postgres expects it. */
export async function shareMatching(
  session: Queryable,
  shape: TableShape,
  change: Omit<RowChange, 'set'>,
): Promise<number> {
  return inSavepoint(session, async () => {
    await session.query(`SET LOCAL search_path = ${searchPath(shape.schema)}`);
    const [row] = await session.query(
      `EXPLAIN (FORMAT JSON) SELECT FROM ${quoteTable(shape.schema, shape.table)} AS ${quoteIdentifier(shape.table)} WHERE ${stillToDo(change)}`,
    );
    const [explained] = JSON.parse(row?.['QUERY PLAN'] ?? '[]') as { Plan: { 'Plan Rows': number } }[];
    return Math.min(1, (explained?.Plan['Plan Rows'] ?? 0) / Math.max(1, rowsGuessed(shape)));
  });
}
