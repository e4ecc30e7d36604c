import type { Queryable } from './database.ts';

/** A type as far as comparing across databases goes. Domains count as what they are made of. */
export interface TypeFacts {
  oid: string;
  /** As SQL takes it, without length or scale. */
  name: string;
  builtIn: boolean;
  /** Values can be compared by `=`, in arrays and ranges too. */
  hasEquality: boolean;
  /** The labels of an enum in their order, as JSON; null for other types. */
  labels: string | null;
}

/** `given`: a SELECT of one row with an array of types. */
const typesIn = (given: string): string => `
WITH RECURSIVE base AS (
  SELECT g.ord, g.oid FROM (${given}) zz_given (oids), unnest(zz_given.oids) WITH ORDINALITY g (oid, ord)
  UNION ALL
  SELECT b.ord, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd')
SELECT b.ord, t.oid::text, format_type(t.oid, NULL) AS name, t.typnamespace = 'pg_catalog'::regnamespace AS built_in,
  EXISTS (SELECT FROM pg_opclass c JOIN pg_am m ON m.oid = c.opcmethod AND m.amname = 'btree'
    WHERE c.opcdefault AND c.opcintype = coalesce(nullif(t.typelem, 0), t.oid)) AS has_equality,
  (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder)::text FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels
FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype <> 'd' ORDER BY b.ord`;

/**
 * The types of expressions over the rows of `from`, found without a row being read. `session` must be in a transaction
 * whose search path is set.
 */
export async function typesOf(session: Queryable, from: string, expressions: readonly string[]): Promise<TypeFacts[]> {
  // A condition that the planner can't foretell keeps it from replacing the expression by a constant that may fail.
  const oids = expressions.map((sql) => `pg_typeof(CASE WHEN random() < 0 THEN (\n${sql}\n) END)::oid`);
  const rows = await session.query(
    typesIn(`SELECT ARRAY[${oids.join(', ')}] FROM (SELECT) zz_one LEFT JOIN ${from} ON false`),
  );
  return rows.map((found) => ({
    oid: found['oid'] ?? '',
    name: found['name'] ?? '',
    builtIn: found['built_in'] === 't',
    hasEquality: found['has_equality'] === 't',
    labels: found['labels'] ?? null,
  }));
}
