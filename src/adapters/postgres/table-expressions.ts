import { SwitchbackError } from '../../messages/index.ts';
import { type Queryable, TEXT_SETTINGS } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';
import type { TableShape } from './table-shape.ts';

/**
 * Asks Postgres itself which columns an expression reads: it is made a constraint of an empty table of the same
 * columns, whose catalog entry lists them, and the table is rolled back. So names resolve as they will later, a wrong
 * one is found here, and what would read more than its own row is refused as constraints refuse it.
 *
 * `session` must be in a transaction. Throws `StatementFailed`, with `where` in the message.
 */
export async function referencedColumns(
  session: Queryable,
  shape: TableShape,
  expression: string,
  where: string,
): Promise<string[]> {
  const table = quoteIdentifier(shape.table);
  const rows = await inSavepoint(session, async () => {
    await session.query(`SET LOCAL search_path = ${searchPath(shape.schema)}`);
    await session.query(`CREATE TEMPORARY TABLE ${table} (${columnsOf(shape)})`);
    await session.query(`ALTER TABLE pg_temp.${table} ADD CONSTRAINT zz_probe CHECK ((\n${expression}\n) IS NULL)`);
    return session.query(
      `SELECT k.attnum = 0 AS whole_row, a.attname FROM pg_constraint c CROSS JOIN LATERAL unnest(c.conkey) k (attnum)
         LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
       WHERE c.conname = 'zz_probe' AND c.conrelid = to_regclass($1) ORDER BY k.attnum`,
      [`pg_temp.${table}`],
    );
  }).catch((error: unknown) => {
    throw error instanceof PostgresError && READS_MORE.test(error.sqlState)
      ? readsMore(where, error)
      : refused(error, where);
  });
  if (rows.some((row) => row['whole_row'] === 't')) throw readsMore(where, null);
  return rows.flatMap((row) => row['attname'] ?? []);
}

/**
 * Whether expressions over a row, assigned to columns of these types, give the same in every session: Postgres takes only
 * such ones for generated columns. What else it refuses there counts as no. `session` must be in a transaction.
 */
export async function areImmutable(
  session: Queryable,
  shape: TableShape,
  expressions: readonly { expression: string; type: string }[],
): Promise<boolean> {
  const table = quoteIdentifier(shape.table);
  const columns = expressions.map(
    ({ expression, type }, index) =>
      `ADD COLUMN zz_probe_${index} ${type} GENERATED ALWAYS AS (CAST((\n${expression}\n) AS ${type})) STORED`,
  );
  if (columns.length === 0) return true;
  // How a string with a backslash is read is a setting too.
  if (expressions.some(({ expression }) => expression.includes('\\'))) return false;
  try {
    await inSavepoint(session, () =>
      session.query(
        `SET LOCAL search_path = ${searchPath(shape.schema)};
         CREATE TEMPORARY TABLE ${table} (${columnsOf(shape)});
         ALTER TABLE pg_temp.${table} ${columns.join(', ')}`,
      ),
    );
    return true;
  } catch (error) {
    if (error instanceof PostgresError && !error.retry) return false;
    throw error;
  }
}

/** The settings under which sessions of ours evaluate expressions, for a function that clients' writes call. */
export const underOurSettings = (): string =>
  Object.entries(TEXT_SETTINGS)
    .map(([name, value]) => ` SET ${name} = ${quoteLiteral(value)}`)
    .join('');

/** The table's own columns; in a check of a plan, those that it will have. */
const columnsOf = (shape: TableShape): string =>
  shape.planned === undefined
    ? `LIKE ${quoteTable(shape.schema, shape.table)}`
    : [...shape.columns.values()]
        .map(
          ({ name, type, collation }) =>
            `${quoteIdentifier(name)} ${type}${collation === null ? '' : ` COLLATE ${collation}`}`,
        )
        .join(', ');

/** Subqueries and sets; aggregates; window functions; system columns. */
const READS_MORE = /^(0A000|42803|42P20|42P10|42P16)$/;
const readsMore = (where: string, cause: unknown): SwitchbackError =>
  new SwitchbackError(
    'StatementFailed',
    `${where} may read the columns of its own row only, each by its name: no subquery, aggregate, window function, set or whole row`,
    { hint: 'write values that come from elsewhere in a step of their own, or wrap them in a function', cause },
  );

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
