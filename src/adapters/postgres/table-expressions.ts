import { randomBytes } from 'node:crypto';
import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import type { TableShape } from './table-shape.ts';

/**
 * Asks Postgres itself which columns an expression reads: it is made part of a view, whose dependencies the catalog
 * then lists, and the view is rolled back. So names resolve as they will later, and a wrong one is found here.
 *
 * `session` must be in a transaction. Throws `StatementFailed`, with `where` in the message, for an expression that
 * Postgres refuses or that reads anything but the row it stands on.
 */
export async function referencedColumns(
  session: Queryable,
  shape: TableShape,
  expression: string,
  where: string,
): Promise<string[]> {
  const view = `switchback.${quoteIdentifier(`zz_probe_${randomBytes(8).toString('hex')}`)}`;
  const table = quoteIdentifier(shape.table);
  const rows = await inSavepoint(session, async () => {
    await session.query(`SET LOCAL search_path = ${searchPath(shape.schema)}`);
    // In WHERE neither aggregates nor window functions nor sets are allowed, just as in the places it is used later.
    await session.query(
      `CREATE VIEW ${view} AS SELECT 1 AS one FROM ${quoteTable(shape.schema, shape.table)} AS ${table} WHERE (\n${expression}\n) IS NULL`,
    );
    return session.query(
      `SELECT d.refobjid::text AS relation, a.attname, d.refobjid::regclass::text AS relation_name
       FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
         AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class
       LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid AND d.refobjsubid <> 0
       WHERE r.ev_class = $1::regclass ORDER BY d.refobjsubid`,
      [view],
    );
  }).catch((error: unknown) => {
    throw refused(error, where);
  });
  const other = rows.find((row) => row['relation'] !== shape.oid);
  if (other !== undefined) {
    throw new SwitchbackError(
      'StatementFailed',
      `${where} reads ${other['relation_name']}; it may read columns of its own row only`,
      {
        hint: 'write the values that come from another table in a step of their own',
      },
    );
  }
  return rows.flatMap((row) => row['attname'] ?? []);
}

/** The names an expression of a plan may use unqualified: Postgres's own and those of the step's schema. */
export const searchPath = (schema: string): string => `pg_catalog, ${quoteIdentifier(schema)}, pg_temp`;

/** Runs `work` and takes back what it did, whatever became of it. */
export async function inSavepoint<T>(session: Queryable, work: () => Promise<T>): Promise<T> {
  await session.query('SAVEPOINT zz_probe');
  try {
    return await work();
  } finally {
    await session.query('ROLLBACK TO SAVEPOINT zz_probe; RELEASE SAVEPOINT zz_probe');
  }
}

/** An error of Postgres with the place in the plan that caused it. Retried only where Postgres's own trouble was. */
export const refused = (error: unknown, where: string): unknown =>
  error instanceof PostgresError && !error.retry
    ? new SwitchbackError('StatementFailed', `${where}: ${error.message}`, {
        ...(error.hint !== null && { hint: error.hint }),
        fields: error.fields,
        cause: error,
      })
    : error;
