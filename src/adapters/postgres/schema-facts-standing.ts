import type { FunctionFacts, FunctionUse, RelationFacts, SchemaFacts, StandingFacts } from '../../sql/facts.ts';
import type { Queryable, Row } from './database.ts';

/**
 * How relations are kept and who may use them, what calls functions, which extensions there are: the part of the facts
 * that rules about security, storage, sequences and functions look at. One statement each, for Postgres 14 to 18.
 */
export async function withStanding(session: Queryable, facts: SchemaFacts): Promise<SchemaFacts> {
  const standing = byName<StandingFacts>(await session.query(STANDING, namesOf(facts.relations)));
  const uses = byName<FunctionUse[]>(await session.query(FUNCTION_USES, functionNames(facts.functions)));
  const [row] = await session.query(EXTENSIONS);
  const counts = new Map(Object.entries(JSON.parse(row?.['schemas'] ?? '{}') as Record<string, number>));
  return {
    ...facts,
    extensions: JSON.parse(row?.['extensions'] ?? '[]') as { name: string; version: string }[],
    schemas: facts.schemas.map((schema) => ({ ...schema, relations: counts.get(schema.name) ?? 0 })),
    relations: facts.relations.map((relation) => {
      const found = standing.get(keyOf(relation.schema, relation.name));
      return found === undefined ? relation : { ...relation, standing: found };
    }),
    functions: facts.functions.map((one) => ({
      ...one,
      usedBy: uses.get(keyOf(one.schema, `${one.name}(${one.arguments})`)) ?? [],
    })),
  };
}

const keyOf = (schema: string, name: string): string => JSON.stringify([schema, name]);
const namesOf = (relations: readonly RelationFacts[]): [string[], string[]] => [
  relations.map(({ schema }) => schema),
  relations.map(({ name }) => name),
];
const functionNames = (functions: readonly FunctionFacts[]): [string[], string[]] => [
  functions.map(({ schema }) => schema),
  functions.map(({ name }) => name),
];
const byName = <Facts>(rows: readonly Row[]): Map<string, Facts> =>
  new Map(
    rows.map((row) => [keyOf(row['schema'] ?? '', row['name'] ?? ''), JSON.parse(row['facts'] ?? 'null') as Facts]),
  );

/** Parameters: $1, $2 schema and name of relations. A sequence that the role may not read shows no last value. */
const STANDING = `
WITH wanted AS (
  SELECT c.*, n.nspname FROM unnest($1::text[], $2::text[]) AS w (schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
), granted AS (
  SELECT c.oid, a.grantee, a.privilege_type, c.relowner FROM wanted c CROSS JOIN LATERAL aclexplode(c.relacl) a
  UNION
  SELECT c.oid, a.grantee, a.privilege_type, c.relowner FROM wanted c
  JOIN pg_attribute t ON t.attrelid = c.oid AND t.attacl IS NOT NULL CROSS JOIN LATERAL aclexplode(t.attacl) a
)
SELECT c.nspname AS schema, c.relname AS name, jsonb_build_object(
  'owner', pg_get_userbyid(c.relowner),
  'policies', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', p.polname, 'permissive', p.polpermissive,
      'command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END)
      ORDER BY p.polname), '[]') FROM pg_policy p WHERE p.polrelid = c.oid),
  'grants', (SELECT coalesce(jsonb_agg(jsonb_build_object('privilege', g.privilege_type,
      'grantee', CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(g.grantee) END) ORDER BY g.grantee, g.privilege_type), '[]')
    FROM granted g WHERE g.oid = c.oid AND g.grantee <> g.relowner),
  'persistence', CASE c.relpersistence WHEN 'u' THEN 'unlogged' WHEN 't' THEN 'temporary' ELSE 'permanent' END,
  'options', coalesce(to_jsonb(c.reloptions), '[]'),
  'replicaIdentity', CASE c.relreplident WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' WHEN 'i' THEN 'index' ELSE 'default' END,
  'bound', pg_get_expr(c.relpartbound, c.oid),
  'partitionKey', CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END,
  'sequence', (SELECT jsonb_build_object('type', format_type(s.seqtypid, NULL), 'minimum', s.seqmin::text, 'maximum', s.seqmax::text,
      'increment', s.seqincrement::text, 'cycles', s.seqcycle,
      'last', CASE WHEN has_sequence_privilege(c.oid, 'USAGE') OR has_sequence_privilege(c.oid, 'SELECT') THEN pg_sequence_last_value(c.oid)::text END,
      'feeds', (SELECT coalesce(jsonb_agg(DISTINCT jsonb_build_object('schema', tn.nspname, 'table', t.relname, 'column', a.attname,
          'identity', a.attidentity <> '')), '[]')
        FROM (SELECT o.refobjid AS relation, o.refobjsubid AS number FROM pg_depend o
            WHERE o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.refclassid = 'pg_class'::regclass AND o.refobjsubid > 0
          UNION SELECT d.adrelid, d.adnum FROM pg_depend u JOIN pg_attrdef d ON d.oid = u.objid
            WHERE u.classid = 'pg_attrdef'::regclass AND u.refclassid = 'pg_class'::regclass AND u.refobjid = c.oid) f
        JOIN pg_class t ON t.oid = f.relation JOIN pg_namespace tn ON tn.oid = t.relnamespace
        JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = f.number))
    FROM pg_sequence s WHERE s.seqrelid = c.oid)
) AS facts
FROM wanted c`;

/** What the catalog shows to call each overload. Parameters: $1, $2 schema and name. */
const FUNCTION_USES = `
WITH wanted AS (
  SELECT p.oid, n.nspname, p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name
  FROM (SELECT DISTINCT schema, name FROM unnest($1::text[], $2::text[]) AS g (schema, name)) w
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = w.name
  WHERE p.oid >= 16384
), used AS (
  SELECT w.nspname, w.name, d.classid, d.objid FROM wanted w
  JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = w.oid
), named AS (
  SELECT u.nspname, u.name, 'trigger' AS kind, t.tgrelid AS relation, t.tgname AS label FROM used u
    JOIN pg_trigger t ON u.classid = 'pg_trigger'::regclass AND t.oid = u.objid AND NOT t.tgisinternal
  UNION SELECT u.nspname, u.name, 'index', i.indrelid, x.relname FROM used u
    JOIN pg_index i ON u.classid = 'pg_class'::regclass AND i.indexrelid = u.objid JOIN pg_class x ON x.oid = i.indexrelid
  UNION SELECT u.nspname, u.name, 'constraint', k.conrelid, k.conname FROM used u
    JOIN pg_constraint k ON u.classid = 'pg_constraint'::regclass AND k.oid = u.objid AND k.conrelid <> 0
  UNION SELECT u.nspname, u.name, CASE a.attgenerated WHEN '' THEN 'default' ELSE 'generated column' END, d.adrelid, a.attname FROM used u
    JOIN pg_attrdef d ON u.classid = 'pg_attrdef'::regclass AND d.oid = u.objid
    JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
  UNION SELECT u.nspname, u.name, 'view', r.ev_class, v.relname FROM used u
    JOIN pg_rewrite r ON u.classid = 'pg_rewrite'::regclass AND r.oid = u.objid JOIN pg_class v ON v.oid = r.ev_class
  UNION SELECT u.nspname, u.name, 'policy', p.polrelid, p.polname FROM used u
    JOIN pg_policy p ON u.classid = 'pg_policy'::regclass AND p.oid = u.objid
)
SELECT m.nspname AS schema, m.name, jsonb_agg(jsonb_build_object('kind', m.kind, 'schema', n.nspname, 'relation', c.relname, 'name', m.label)
  ORDER BY m.kind, n.nspname, c.relname, m.label) AS facts
FROM named m JOIN pg_class c ON c.oid = m.relation JOIN pg_namespace n ON n.oid = c.relnamespace
GROUP BY m.nspname, m.name`;

const EXTENSIONS = `
SELECT (SELECT coalesce(jsonb_agg(jsonb_build_object('name', extname, 'version', extversion) ORDER BY extname), '[]') FROM pg_extension) AS extensions,
  (SELECT coalesce(jsonb_object_agg(nspname, relations), '{}') FROM (
    SELECT n.nspname, count(*) AS relations FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' GROUP BY n.nspname) s) AS schemas`;
