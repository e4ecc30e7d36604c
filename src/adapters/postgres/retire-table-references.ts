import type { Queryable } from './database.ts';
import { namesWord } from './retire-references.ts';

/** The table, and the row type that it brings along. */
const TABLE_OF = `(SELECT c.oid, c.reltype FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2)`;

/** What Postgres itself knows to name the table: it would follow a rename without anyone noticing. */
const DEPENDENTS = `
SELECT DISTINCT CASE
    WHEN d.classid = 'pg_rewrite'::regclass THEN CASE v.relkind WHEN 'm' THEN 'materialized view ' WHEN 'v' THEN 'view ' ELSE 'a rule on ' END || v.oid::regclass
    WHEN d.classid = 'pg_trigger'::regclass THEN format('trigger %I on %s', t.tgname, t.tgrelid::regclass)
    WHEN d.classid = 'pg_proc'::regclass THEN 'function ' || p.oid::regprocedure
    WHEN d.classid = 'pg_class'::regclass THEN 'column ' || x.attname || ' of ' || x.attrelid::regclass
  END AS name
FROM pg_depend d
JOIN ${TABLE_OF} tab ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = tab.oid) OR (d.refclassid = 'pg_type'::regclass AND d.refobjid = tab.reltype)
LEFT JOIN pg_rewrite w ON d.classid = 'pg_rewrite'::regclass AND w.oid = d.objid
LEFT JOIN pg_class v ON v.oid = w.ev_class
LEFT JOIN pg_trigger t ON d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND NOT t.tgisinternal
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
LEFT JOIN pg_attribute x ON d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_type'::regclass AND x.attrelid = d.objid AND x.attnum = d.objsubid AND d.objsubid > 0
WHERE (w.ev_class <> tab.oid OR p.oid IS NOT NULL OR t.tgrelid <> tab.oid OR x.attrelid <> tab.oid)`;

/** Functions whose text may name it. One in a schema with a table of that name means that one, unless it says ours. */
const CANDIDATES = `
SELECT DISTINCT p.oid::regprocedure::text AS name, p.prosrc AS body
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'switchback') AND p.prosrc <> ''
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
  AND strpos(lower(p.prosrc), lower($2)) > 0
  AND (n.nspname = $1 OR strpos(lower(p.prosrc), lower($1)) > 0 OR NOT EXISTS (SELECT FROM pg_class own WHERE own.relnamespace = n.oid AND own.relname = $2))`;

/**
 * Views, functions, rules and triggers elsewhere that name a table. Its own triggers, rules and constraints are part of
 * it. The text of a function is searched, because Postgres doesn't know what is in it. Sorted names.
 */
export async function tableReferences(
  session: Queryable,
  { schema, table }: { schema: string; table: string },
): Promise<string[]> {
  const dependents = (await session.query(DEPENDENTS, [schema, table])).flatMap((row) => row['name'] ?? []);
  const functions = (await session.query(CANDIDATES, [schema, table]))
    .filter((row) => namesWord(row['body'] ?? '', table))
    .map((row) => `function ${row['name']}`);
  return [...new Set([...dependents, ...functions])].sort();
}

/** Foreign keys of other tables that point at a table: `orders_user_id_fkey of public.orders`. */
export async function foreignKeysTo(session: Queryable, schema: string, table: string): Promise<string[]> {
  const rows = await session.query(
    `SELECT format('%I of %s', k.conname, k.conrelid::regclass) AS name FROM pg_constraint k JOIN ${TABLE_OF} tab ON k.confrelid = tab.oid
     WHERE k.contype = 'f' AND k.conrelid <> tab.oid AND k.conparentid = 0 ORDER BY 1`,
    [schema, table],
  );
  return rows.flatMap((row) => row['name'] ?? []);
}
