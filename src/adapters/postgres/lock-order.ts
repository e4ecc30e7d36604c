import { setTimeout as sleep } from 'node:timers/promises';
import type { RelationName } from './catalog.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteTable } from './identifier.ts';

/**
 * A foreign key that comes or goes locks two tables: its own first, then the one that it refers to. Clients whose
 * transactions use them the other way round then wait for the first while we wait for theirs on the second, at every
 * try, for as long as there are such clients; with the key itself there, writes use them in both orders. So every second
 * try looks for a moment in which all of them are free at once, which holds up nobody; then it takes the other order.
 */
export const takesOtherOrder = (tryNumber: number): boolean => tryNumber % 2 === 0;

type Mode = 'SHARE ROW EXCLUSIVE' | 'ACCESS EXCLUSIVE';
const LOOK_FOR_MS = 1_000;
const LOOK_EVERY_MS = 3;
const LOCK_NOT_AVAILABLE = '55P03';

/** Locks the tables before the statement that will; of these our role must have more than the right to refer to them. */
export async function lockFirst(
  transaction: Queryable,
  { own, others }: { own: RelationName; others: readonly RelationName[] },
  mode: Mode,
): Promise<void> {
  const [first, ...rest] = await lockable(transaction, [...others.toReversed(), own]);
  if (first === undefined || (await lockAtOnce(transaction, [first, ...rest], mode))) return;
  await transaction.query(`LOCK TABLE ${first} IN ${mode} MODE`);
}

async function lockable(transaction: Queryable, tables: readonly RelationName[]): Promise<string[]> {
  const found: string[] = [];
  for (const { schema, name } of tables) {
    const table = quoteTable(schema, name);
    const [row] = await transaction.query(
      `SELECT relkind AS kind FROM pg_class
       WHERE oid = to_regclass($1) AND relkind IN ('r', 'p') AND has_table_privilege(oid, 'UPDATE')`,
      [table],
    );
    if (row !== undefined) found.push(row['kind'] === 'p' ? table : `ONLY ${table}`);
  }
  return found;
}

/** Nobody queues behind a lock that isn't waited for. */
async function lockAtOnce(transaction: Queryable, tables: readonly string[], mode: Mode): Promise<boolean> {
  for (const end = performance.now() + LOOK_FOR_MS; performance.now() < end; await sleep(LOOK_EVERY_MS)) {
    try {
      await transaction.query(`SAVEPOINT zz_lock; LOCK TABLE ${tables.join(', ')} IN ${mode} MODE NOWAIT`);
      return true;
    } catch (error) {
      if (!(error instanceof PostgresError) || error.sqlState !== LOCK_NOT_AVAILABLE) throw error;
      await transaction.query('ROLLBACK TO SAVEPOINT zz_lock');
    }
  }
  return false;
}

/** The tables that foreign keys refer to which go with a constraint, a column or a table, given by its catalog key. */
export async function referredTo(
  transaction: Queryable,
  key: string,
): Promise<{ own: RelationName; others: RelationName[] }> {
  const [kind, schema, of, name] = JSON.parse(key) as [string, string, string, string];
  const own = { schema, name: kind === 'table' ? name : of };
  const rows = await transaction.query(
    `SELECT DISTINCT n.nspname AS schema, c.relname AS name
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.conrelid = to_regclass($1) AND k.confrelid <> k.conrelid
       AND ($2 = 'table' OR ($2 = 'constraint' AND k.conname = $3) OR ($2 = 'column' AND EXISTS (
         SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attname = $3 AND a.attnum = ANY (k.conkey))))`,
    [quoteTable(own.schema, own.name), kind, name],
  );
  return { own, others: rows.map((row) => ({ schema: row['schema'] ?? '', name: row['name'] ?? '' })) };
}
