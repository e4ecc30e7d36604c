import type { Queryable } from './database.ts';

/** A column of a table, by name. */
export interface ColumnName {
  schema: string;
  table: string;
  column: string;
}

const COLUMN_OF = `(SELECT a.attrelid, a.attnum, c.reltype FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND NOT a.attisdropped)`;

/** What Postgres itself knows to lean on the column, except what follows a rename without anyone noticing. */
const DEPENDENTS = `
SELECT DISTINCT CASE
    WHEN d.classid = 'pg_rewrite'::regclass THEN CASE v.relkind WHEN 'm' THEN 'materialized view ' WHEN 'v' THEN 'view ' ELSE 'a rule on ' END || v.oid::regclass
    WHEN d.classid = 'pg_trigger'::regclass THEN format('trigger %I', t.tgname)
    WHEN d.classid = 'pg_proc'::regclass THEN 'function ' || p.oid::regprocedure
  END AS name
FROM pg_depend d
JOIN ${COLUMN_OF} col ON d.refclassid = 'pg_class'::regclass AND d.refobjid = col.attrelid AND d.refobjsubid = col.attnum
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND NOT t.tgisinternal
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
LEFT JOIN pg_proc tf ON tf.oid = t.tgfoid
WHERE (w.oid IS NOT NULL OR p.oid IS NOT NULL OR t.oid IS NOT NULL)
  AND coalesce(tf.pronamespace, 0) <> 'switchback'::regnamespace`;

/** Functions that could mean this table: a trigger of it, an argument of its row type, or its name in the body. */
const CANDIDATES = `
SELECT DISTINCT p.oid::regprocedure::text AS name, p.prosrc AS body
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
JOIN ${COLUMN_OF} col ON true
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'switchback') AND p.prosrc <> ''
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
  AND strpos(lower(p.prosrc), lower($3)) > 0
  AND (strpos(lower(p.prosrc), lower($2)) > 0 OR col.reltype = ANY (p.proargtypes)
    OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgfoid = p.oid AND t.tgrelid = col.attrelid))`;

/**
 * Views, rules, triggers and functions that name a column: they would break, or go on reading what is out of use. The
 * text of a function is searched, because Postgres doesn't know what is in it. Sorted names, such as `view app.names`.
 */
export async function columnReferences(session: Queryable, { schema, table, column }: ColumnName): Promise<string[]> {
  const values = [schema, table, column];
  const dependents = (await session.query(DEPENDENTS, values)).flatMap((row) => row['name'] ?? []);
  const functions = (await session.query(CANDIDATES, values))
    .filter((row) => namesWord(row['body'] ?? '', column))
    .map((row) => `function ${row['name']}`);
  return [...new Set([...dependents, ...functions])].sort();
}

/** Whether a text has `word` as a whole word, in any case: identifiers without quotes have none. */
export function namesWord(text: string, word: string): boolean {
  const escaped = word.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`);
  return new RegExp(String.raw`(?<![\p{L}\p{N}_$])${escaped}(?![\p{L}\p{N}_$])`, 'iu').test(text);
}
