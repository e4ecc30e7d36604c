import { type RowChange, stillToDo } from './backfill-change.ts';
import { ROW_LOCK_TIMEOUT_MS } from './backfill-procedure.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { inSavepoint, searchPath } from './table-expressions.ts';
import type { TableShape } from './table-shape.ts';

/**
 * Without a dual write, rows that others write behind the cursor have to be looked for again. That needs a `where`
 * that no longer holds once a row was changed: else a sweep would change rows twice.
 */
const ROWS_TRIED = 1_000;

/** Whether `where` stops holding when `set` is applied, tried on rows of the table without changing them. */
export async function whereEnds(session: Queryable, work: RowChange): Promise<boolean> {
  if (work.where === null) return false;
  const { shape } = work;
  const alias = quoteIdentifier(shape.table);
  const columns = [...shape.columns.values()].map(({ name, type }) => {
    const expression = work.set[name];
    return expression === undefined
      ? `${alias}.${quoteIdentifier(name)}`
      : `CAST((\n${expression}\n) AS ${type}) AS ${quoteIdentifier(name)}`;
  });
  const sample = `SELECT ${columns.join(', ')} FROM ${quoteTable(shape.schema, shape.table)} AS ${alias} WHERE (\n${work.where}\n) LIMIT ${ROWS_TRIED}`;
  try {
    return await inSavepoint(session, async () => {
      await session.query(`SET LOCAL search_path = ${searchPath(shape.schema)}`);
      const [row] = await session.query(
        `SELECT count(*) AS count FROM (${sample}) AS ${alias} WHERE (\n${work.where}\n)`,
      );
      return row?.['count'] === '0';
    });
  } catch (error) {
    // A row that can't be changed can't be tried either: then nothing is known, and nothing is done twice.
    if (error instanceof PostgresError && /^2[23]/.test(error.sqlState)) return false;
    throw error;
  }
}

/** Rows that still match `where`. */
export async function leftToSweep(
  database: { transaction<T>(work: (session: Queryable) => Promise<T>): Promise<T> },
  work: Omit<RowChange, 'set'>,
): Promise<number> {
  return database.transaction(async (session) => {
    await session.query(
      `SET LOCAL search_path = ${searchPath(work.shape.schema)}; SET LOCAL lock_timeout = ${ROW_LOCK_TIMEOUT_MS}`,
    );
    const [row] = await session.query(
      `SELECT count(*) AS count FROM ${quoteTable(work.shape.schema, work.shape.table)} AS ${quoteIdentifier(work.shape.table)} WHERE ${stillToDo(work)}`,
    );
    return Number(row?.['count']);
  });
}

/** Transactions of others that have written the table, or its partitions, and have not ended. */
export async function writersToWaitFor(session: Queryable, shape: TableShape): Promise<string[]> {
  const rows = await session.query(
    `SELECT DISTINCT l.virtualtransaction AS id FROM pg_locks l
     WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_backend_pid()
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND (l.relation = $1::oid OR l.relation IN (SELECT relid FROM pg_partition_tree($1::oid)))
       AND l.mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')`,
    [shape.oid],
  );
  return rows.map((row) => row['id'] ?? '');
}
