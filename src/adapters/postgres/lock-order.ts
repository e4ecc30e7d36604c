import type { RelationName } from './catalog.ts';
import type { Queryable } from './database.ts';
import { quoteTable } from './identifier.ts';

/**
 * A foreign key that comes or goes locks two tables: its own first, then the one that it refers to. Clients whose
 * transactions use them the other way round then wait for the first while we wait for theirs on the second, at every
 * try, for as long as there are such clients. So every second try takes the locks in the other order.
 */
export const takesOtherOrder = (tryNumber: number): boolean => tryNumber % 2 === 0;

/** Locks the tables before the statement that will, the last one first; not what our role may only refer to. */
export async function lockFirst(
  transaction: Queryable,
  tables: readonly RelationName[],
  mode: 'SHARE ROW EXCLUSIVE' | 'ACCESS EXCLUSIVE',
): Promise<void> {
  for (const { schema, name } of tables.toReversed()) {
    const table = quoteTable(schema, name);
    const [found] = await transaction.query(
      `SELECT relkind AS kind FROM pg_class
       WHERE oid = to_regclass($1) AND relkind IN ('r', 'p') AND has_table_privilege(oid, 'UPDATE')`,
      [table],
    );
    if (found === undefined) continue;
    await transaction.query(`LOCK TABLE ${found['kind'] === 'p' ? '' : 'ONLY '}${table} IN ${mode} MODE`);
  }
}

/** The tables that foreign keys refer to which go with a constraint, a column or a table, given by its catalog key. */
export async function referredTo(transaction: Queryable, key: string): Promise<RelationName[]> {
  const [kind, schema, of, name] = JSON.parse(key) as [string, string, string, string];
  const rows = await transaction.query(
    `SELECT DISTINCT n.nspname AS schema, c.relname AS name
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.confrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.conrelid = to_regclass($1) AND k.confrelid <> k.conrelid
       AND ($2 = 'table' OR ($2 = 'constraint' AND k.conname = $3) OR ($2 = 'column' AND EXISTS (
         SELECT FROM pg_attribute a WHERE a.attrelid = k.conrelid AND a.attname = $3 AND a.attnum = ANY (k.conkey))))`,
    [quoteTable(schema, kind === 'table' ? name : of), kind, name],
  );
  return rows.map((row) => ({ schema: row['schema'] ?? '', name: row['name'] ?? '' }));
}
