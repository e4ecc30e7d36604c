import { type RunRef } from '../../messages/index.ts';
import { isLabelled, type LabelledTable, PII, type PiiLabel, readPiiLabel } from '../../plan/pii-label.ts';
import type { Database } from './database.ts';

/** A table of a database, by the names that the catalog has. */
export interface TableOf {
  database: Database;
  schema: string;
  table: string;
}

/** What the plan of a run says of personal data. A label that can't be read hides everything. */
export async function planLabel(home: Database, run: RunRef): Promise<PiiLabel> {
  const [row] = await home.query(
    'SELECT plan #>> $3 AS label FROM switchback.migrations WHERE migration = $1 AND version = $2',
    [run.migration, run.version, ['metadata', 'labels', PII]],
  );
  return piiOf(row?.['label']);
}
export const piiOf = (text: string | null | undefined): PiiLabel =>
  text === null || text === undefined ? [] : (readPiiLabel(text) ?? 'all');

/** Whether any table of the database may hold personal data. */
export const anyPersonal = (database: Database, label: PiiLabel): boolean =>
  label === 'all' ||
  database.personal.length > 0 ||
  label.some((table) => table.database === null || table.database === database.name);

/** Labels of the configuration that no table has: whoever wrote them meant to hide something. */
export async function labelsOfNothing(database: Database): Promise<string[]> {
  const rows = await database.query(
    `SELECT DISTINCT n.nspname AS schema, c.relname AS table FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relname = ANY ($1) AND c.relkind IN ('r', 'p')`,
    [database.personal.map(({ table }) => table)],
  );
  const there = rows.map((row) => ({
    database: database.name,
    schema: row['schema'] ?? '',
    table: row['table'] ?? '',
  }));
  return database.personal
    .filter((label) => !there.some((table) => isLabelled(label, table)))
    .map(({ schema, table }) => [schema, table].filter((part) => part !== null).join('.'));
}

/**
 * Whether the configuration or the plan labels the table, or one that it is a partition or an heir of. A table of
 * another name, such as a renamed one, needs a label of its own.
 */
export async function isPersonal({ database, schema, table }: TableOf, label: PiiLabel): Promise<boolean> {
  if (!anyPersonal(database, label)) return false;
  if (label === 'all') return true;
  const labels: readonly LabelledTable[] = [...database.personal, ...label];
  const rows = await database.query(
    `WITH RECURSIVE above AS (
       SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
       UNION SELECT i.inhparent FROM above JOIN pg_inherits i ON i.inhrelid = above.oid)
     SELECT n.nspname AS schema, c.relname AS table FROM above JOIN pg_class c ON c.oid = above.oid
       JOIN pg_namespace n ON n.oid = c.relnamespace`,
    [schema, table],
  );
  const names = [{ schema, table }, ...rows.map((row) => ({ schema: row['schema'] ?? '', table: row['table'] ?? '' }))];
  return names.some((name) => labels.some((one) => isLabelled(one, { database: database.name, ...name })));
}
