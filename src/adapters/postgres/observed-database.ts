import { Database, type Queryable } from './database.ts';

/** A lock on a relation that a transaction held when it was about to commit. Names without quotes. */
export interface TakenLock {
  schema: string;
  relation: string;
  /** `ACCESS EXCLUSIVE`, as Postgres's documentation writes it. */
  mode: string;
}
/** One transaction (or one statement outside of any), with what it ran and which locks it really took. */
export interface ObservedTransaction {
  /** The statements that change the schema, in order; the engine's own bookkeeping is left out. */
  statements: string[];
  /** Locks on relations that were there before, stronger than a reader's; null where no transaction could be asked. */
  locks: TakenLock[] | null;
}

const CHANGES_SCHEMA = /^\s*(ALTER|COMMENT|CREATE|DROP|GRANT|REFRESH|REVOKE|SECURITY)\b/i;
/** What the engine builds for itself for a moment: to compare with, or to ask Postgres what an expression reads. */
const OWN_SHAPE = /\bswitchback_shape_index\b|^\s*CREATE TEMPORARY TABLE\b|^\s*ALTER TABLE pg_temp\./;

/**
 * A database that remembers what every transaction on a connection of its own ran and which locks it held at its end:
 * Postgres keeps all locks until then. For rehearsals; it costs a query for each transaction.
 */
export class ObservedDatabase extends Database {
  #seen: ObservedTransaction[] = [];

  /** What was seen since the last call. */
  taken(): ObservedTransaction[] {
    return this.#seen.splice(0);
  }

  override async session<T>(
    work: Parameters<typeof Database.prototype.session<T>>[0],
    options?: Parameters<typeof Database.prototype.session<T>>[1],
  ): Promise<T> {
    return super.session<T>(
      (session) =>
        work({
          pid: session.pid,
          shared: session.shared,
          query: (sql, values) => {
            if (changesSchema(sql)) this.#seen.push({ statements: [sql.trim()], locks: null });
            return session.query(sql, values);
          },
          transaction: (inner) => session.transaction((transaction) => this.#watch(transaction, inner)),
        }),
      options,
    );
  }

  async #watch<T>(transaction: Queryable, work: (session: Queryable) => Promise<T>): Promise<T> {
    const statements: string[] = [];
    const [start] = await transaction.query('SELECT coalesce(max(oid), 0)::text AS oid FROM pg_class');
    const result = await work({
      query: (sql, values) => {
        if (changesSchema(sql)) statements.push(sql.trim());
        return transaction.query(sql, values);
      },
    });
    if (statements.length > 0) {
      this.#seen.push({ statements, locks: await locksHeld(transaction, start?.['oid'] ?? '0') });
    }
    return result;
  }
}

const changesSchema = (sql: string): boolean => CHANGES_SCHEMA.test(sql) && !OWN_SHAPE.test(sql);

/** Relations with a higher OID are new in this transaction: nobody else can wait for them. */
async function locksHeld(transaction: Queryable, newestBefore: string): Promise<TakenLock[]> {
  const rows = await transaction.query(
    `SELECT n.nspname AS schema, c.relname AS relation,
       (array_agg(l.mode ORDER BY array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock',
          'ShareLock', 'ShareUpdateExclusiveLock', 'RowExclusiveLock', 'RowShareLock'], l.mode)))[1] AS mode
     FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND l.granted AND l.mode <> 'AccessShareLock'
       AND c.oid <= $1::oid AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('switchback', 'information_schema')
     GROUP BY 1, 2 ORDER BY 1, 2`,
    [newestBefore],
  );
  return rows.map((row) => ({
    schema: row['schema'] ?? '',
    relation: row['relation'] ?? '',
    mode: inWords(row['mode'] ?? ''),
  }));
}

/** `ShareRowExclusiveLock` → `SHARE ROW EXCLUSIVE`. */
const inWords = (mode: string): string =>
  mode
    .replace(/Lock$/, '')
    .replaceAll(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase();
