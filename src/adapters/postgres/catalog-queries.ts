/**
 * The logical catalog as rows of (kind, schema, of, name, identity, properties). What doesn't survive a rollback though
 * nothing has changed (OIDs, dropped attribute numbers, `relhas*` flags, how an ACL is stored) never gets into
 * `properties`. Definitions are printed under a `search_path` of `pg_catalog`, so that every name is qualified.
 *
 * Parameters: $1 schemas (NULL: all), $2 and $3 schema and name of each relation (NULL: all).
 */
const USER_SCHEMA = `n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'switchback')
  AND ($1::text[] IS NULL OR n.nspname = ANY ($1))`;

const notOfExtension = (catalog: string, oid: string): string =>
  `NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '${catalog}'::regclass AND e.objid = ${oid} AND e.deptype = 'e')`;

/** Grants as sorted `grantee=privilege[*]`, the owner's defaults spelled out; a star is the grant option. */
const grants = (acl: string, kind: string, owner: string): string =>
  `(SELECT coalesce(jsonb_agg(g ORDER BY g COLLATE "C"), '[]') FROM (
     SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END || '=' || a.privilege_type
       || CASE WHEN a.is_grantable THEN '*' ELSE '' END AS g
     FROM aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) a) granted)`;

const options = (of: string): string =>
  `(SELECT coalesce(jsonb_agg(o ORDER BY o COLLATE "C"), '[]') FROM unnest(${of}) o)`;

/** The relations in scope with their partitions, their heirs and the sequences that belong to their columns. */
const SCOPE = `
WITH RECURSIVE named AS (
  SELECT coalesce(i.indrelid, c.oid) AS oid
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_index i ON i.indexrelid = c.oid
  WHERE ${USER_SCHEMA} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'i', 'I')
    AND ($2::text[] IS NULL OR EXISTS (
      SELECT FROM unnest($2::text[], $3::text[]) AS w(schema, name) WHERE w.schema = n.nspname AND w.name = c.relname))
), scope AS (
  SELECT oid FROM named
  UNION
  SELECT i.inhrelid FROM scope s JOIN pg_inherits i ON i.inhparent = s.oid
), owned AS (
  SELECT d.objid AS oid FROM pg_depend d JOIN scope s ON s.oid = d.refobjid JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
), relations AS (
  SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid IN (SELECT oid FROM scope UNION SELECT oid FROM owned) AND ${notOfExtension('pg_class', 'c.oid')}
)`;

const RELATIONS = `
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table' ELSE 'table' END AS kind,
  c.nspname::text AS schema, '' AS of, c.relname::text AS name, 'relation/' || c.oid AS identity,
  jsonb_build_object('owner', c.relowner::regrole::text, 'persistence', c.relpersistence,
    'options', ${options('c.reloptions')},
    'toastOptions', (SELECT nullif(${options('o.reloptions')}, '[]') FROM pg_class o WHERE o.oid = c.reltoastrelid),
    'ofType', CASE WHEN c.reloftype <> 0 THEN format_type(c.reloftype, NULL) END,
    'foreign', (SELECT jsonb_build_array(s.srvname, ${options('f.ftoptions')}) FROM pg_foreign_table f
      JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = c.oid),
    'rowSecurity', c.relrowsecurity, 'forceRowSecurity', c.relforcerowsecurity,
    'replicaIdentity', c.relreplident,
    'accessMethod', (SELECT amname FROM pg_am WHERE oid = c.relam),
    'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = c.reltablespace),
    'partitionKey', pg_get_partkeydef(c.oid), 'partitionBound', pg_get_expr(c.relpartbound, c.oid),
    'parents', (SELECT coalesce(jsonb_agg(inhparent::regclass::text ORDER BY inhseqno), '[]') FROM pg_inherits WHERE inhrelid = c.oid),
    'definition', CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,
    'comment', obj_description(c.oid, 'pg_class'), 'grants', ${grants('c.relacl', 'r', 'c.relowner')}) AS properties
FROM relations c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

const COLUMNS = `
SELECT 'column', c.nspname::text, c.relname::text, a.attname::text, 'relation/' || c.oid || '/' || a.attnum,
  jsonb_build_object('type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
    'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
    'generated', CASE WHEN a.attgenerated <> '' THEN a.attgenerated::text || ' ' || pg_get_expr(d.adbin, d.adrelid) END,
    'identity', a.attidentity,
    'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
    'storage', a.attstorage, 'compression', a.attcompression, 'options', ${options('a.attoptions')},
    'statistics', nullif(a.attstattarget, -1), 'inherited', a.attinhcount > 0, 'local', a.attislocal,
    'comment', col_description(c.oid, a.attnum), 'grants', ${grants('a.attacl', 'c', 'c.relowner')})
FROM relations c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

// Whether an inherited constraint of a partition is its own too is not kept: DETACH makes it its own either way.
const CONSTRAINTS = `
SELECT 'constraint', c.nspname::text, c.relname::text, k.conname::text, 'constraint/' || k.oid,
  jsonb_build_object('type', k.contype, 'definition', pg_get_constraintdef(k.oid), 'validated', k.convalidated,
    'columns', (SELECT coalesce(jsonb_agg(a.attname ORDER BY a.attname), '[]') FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum = ANY (k.conkey)),
    'inherited', k.coninhcount > 0, 'local', k.conislocal AND (k.coninhcount = 0 OR NOT c.relispartition), 'comment', obj_description(k.oid, 'pg_constraint'))
FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype <> 't'`;

const INDEXES = `
SELECT 'index', c.nspname::text, c.relname::text, x.relname::text, 'relation/' || x.oid,
  jsonb_build_object('definition', pg_get_indexdef(x.oid), 'valid', i.indisvalid AND i.indisready,
    'clustered', i.indisclustered, 'replicaIdentity', i.indisreplident,
    'constraint', (SELECT k.conname FROM pg_constraint k
      WHERE k.conindid = x.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x') LIMIT 1),
    'parents', (SELECT coalesce(jsonb_agg(inhparent::regclass::text), '[]') FROM pg_inherits WHERE inhrelid = x.oid),
    'options', nullif(${options('x.reloptions')}, '[]'),
    'columns', (SELECT coalesce(jsonb_agg(a.attname ORDER BY a.attname), '[]') FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[])),
    'tablespace', (SELECT spcname FROM pg_tablespace WHERE oid = x.reltablespace),
    'comment', obj_description(x.oid, 'pg_class'))
FROM relations c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid`;

const SEQUENCES = `
SELECT 'sequence', c.nspname::text, '', c.relname::text, 'relation/' || c.oid,
  jsonb_build_object('type', format_type(s.seqtypid, NULL), 'start', s.seqstart::text, 'increment', s.seqincrement::text,
    'min', s.seqmin::text, 'max', s.seqmax::text, 'cache', s.seqcache::text, 'cycle', s.seqcycle,
    'owner', c.relowner::regrole::text, 'persistence', c.relpersistence,
    'ownedBy', (SELECT jsonb_build_object('schema', (SELECT nspname FROM pg_namespace WHERE oid = o.relnamespace), 'table', o.relname, 'column', a.attname)
      FROM pg_depend d JOIN pg_class o ON o.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = o.oid AND a.attnum = d.refobjsubid
      WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')),
    'ofIdentity', EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'i'),
    'comment', obj_description(c.oid, 'pg_class'), 'grants', ${grants('c.relacl', 's', 'c.relowner')})
FROM relations c JOIN pg_sequence s ON s.seqrelid = c.oid`;

const TRIGGERS = `
SELECT 'trigger', c.nspname::text, c.relname::text, t.tgname::text, 'trigger/' || t.oid,
  jsonb_build_object('definition', pg_get_triggerdef(t.oid), 'enabled', t.tgenabled, 'inherited', t.tgparentid <> 0,
    'comment', obj_description(t.oid, 'pg_trigger'))
FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal`;

const POLICIES = `
SELECT 'policy', c.nspname::text, c.relname::text, p.polname::text, 'policy/' || p.oid,
  jsonb_build_object('command', p.polcmd, 'permissive', p.polpermissive,
    'roles', (SELECT coalesce(jsonb_agg(r ORDER BY r COLLATE "C"), '[]') FROM (
       SELECT CASE WHEN o = 0 THEN 'PUBLIC' ELSE o::regrole::text END AS r FROM unnest(p.polroles) o) named),
    'using', pg_get_expr(p.polqual, p.polrelid), 'check', pg_get_expr(p.polwithcheck, p.polrelid),
    'comment', obj_description(p.oid, 'pg_policy'))
FROM relations c JOIN pg_policy p ON p.polrelid = c.oid`;

const RULES = `
SELECT 'rule', c.nspname::text, c.relname::text, r.rulename::text, 'rule/' || r.oid,
  jsonb_build_object('definition', pg_get_ruledef(r.oid), 'enabled', r.ev_enabled, 'comment', obj_description(r.oid, 'pg_rewrite'))
FROM relations c JOIN pg_rewrite r ON r.ev_class = c.oid AND r.rulename <> '_RETURN'`;

const STATISTICS = `
SELECT 'statistics', (SELECT nspname::text FROM pg_namespace WHERE oid = s.stxnamespace), '', s.stxname::text, 'statistics/' || s.oid,
  jsonb_build_object('definition', pg_get_statisticsobjdef(s.oid), 'owner', s.stxowner::regrole::text,
    'target', nullif(s.stxstattarget, -1), 'comment', obj_description(s.oid, 'pg_statistic_ext'))
FROM relations c JOIN pg_statistic_ext s ON s.stxrelid = c.oid`;

const SCHEMAS = `
SELECT 'schema', '', '', n.nspname::text, 'schema/' || n.oid,
  jsonb_build_object('owner', n.nspowner::regrole::text, 'comment', obj_description(n.oid, 'pg_namespace'),
    'grants', ${grants('n.nspacl', 'n', 'n.nspowner')})
FROM pg_namespace n WHERE ${USER_SCHEMA} AND ${notOfExtension('pg_namespace', 'n.oid')}`;

const EXTENSIONS = `
SELECT 'extension', '', '', x.extname::text, 'extension/' || x.oid,
  jsonb_build_object('version', x.extversion, 'schema', n.nspname, 'owner', x.extowner::regrole::text,
    'comment', obj_description(x.oid, 'pg_extension'))
FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace WHERE ${USER_SCHEMA}`;

const TYPES = `
SELECT 'type', n.nspname::text, '', t.typname::text, 'type/' || t.oid,
  jsonb_build_object('type', t.typtype, 'owner', t.typowner::regrole::text,
    'labels', (SELECT jsonb_agg(enumlabel ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid),
    'attributes', (SELECT jsonb_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum)
      FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
    'base', CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
    'notNull', t.typnotnull, 'default', t.typdefault,
    'subtype', (SELECT format_type(rngsubtype, NULL) FROM pg_range WHERE rngtypid = t.oid),
    'constraints', (SELECT jsonb_object_agg(conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE contypid = t.oid),
    'comment', obj_description(t.oid, 'pg_type'), 'grants', ${grants('t.typacl', 'T', 't.typowner')})
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE ${USER_SCHEMA} AND t.typtype IN ('e', 'd', 'c', 'r')
  AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
  AND ${notOfExtension('pg_type', 't.oid')}`;

// A multirange's functions are Postgres's own: they hang on it by an internal dependency.
const FUNCTIONS = `
SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END, n.nspname::text,
  pg_get_function_identity_arguments(p.oid), p.proname::text, 'function/' || p.oid,
  jsonb_build_object('definition', CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END,
    'aggregate', (SELECT jsonb_build_array(g.aggtransfn::regprocedure::text, g.aggfinalfn::oid::regprocedure::text,
       format_type(g.aggtranstype, NULL), g.agginitval) FROM pg_aggregate g WHERE g.aggfnoid = p.oid),
    'owner', p.proowner::regrole::text, 'comment', obj_description(p.oid, 'pg_proc'),
    'grants', ${grants('p.proacl', 'f', 'p.proowner')})
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE ${USER_SCHEMA} AND ${notOfExtension('pg_proc', 'p.oid')}
  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'i')`;

const OF_RELATIONS = [RELATIONS, COLUMNS, CONSTRAINTS, INDEXES, SEQUENCES, TRIGGERS, POLICIES, RULES, STATISTICS];
const OF_SCHEMAS = [SCHEMAS, EXTENSIONS, TYPES, FUNCTIONS];

/** All of the logical catalog, or only what belongs to named relations. */
export const SNAPSHOT_OF_SCHEMAS = `${SCOPE}\n${[...OF_RELATIONS, ...OF_SCHEMAS].join('\nUNION ALL')}`;
export const SNAPSHOT_OF_RELATIONS = `${SCOPE}\n${OF_RELATIONS.join('\nUNION ALL')}`;

const VERSIONS_OF_RELATIONS = [
  "SELECT 'r' || c.oid || ':' || r.xmin AS v FROM relations c JOIN pg_class r ON r.oid = c.oid",
  "SELECT 'a' || a.attrelid || '.' || a.attnum || ':' || a.xmin FROM relations c JOIN pg_attribute a ON a.attrelid = c.oid",
  "SELECT 'd' || a.oid || ':' || a.xmin FROM relations c JOIN pg_attrdef a ON a.adrelid = c.oid",
  "SELECT 'k' || k.oid || ':' || k.xmin FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid",
  "SELECT 'i' || i.indexrelid || ':' || i.xmin FROM relations c JOIN pg_index i ON i.indrelid = c.oid",
  "SELECT 't' || t.oid || ':' || t.xmin FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal",
  "SELECT 'p' || p.oid || ':' || p.xmin FROM relations c JOIN pg_policy p ON p.polrelid = c.oid",
  "SELECT 'w' || w.oid || ':' || w.xmin FROM relations c JOIN pg_rewrite w ON w.ev_class = c.oid",
  "SELECT 'q' || q.seqrelid || ':' || q.xmin FROM relations c JOIN pg_sequence q ON q.seqrelid = c.oid",
  "SELECT 's' || s.oid || ':' || s.xmin FROM relations c JOIN pg_statistic_ext s ON s.stxrelid = c.oid",
  "SELECT 'h' || i.inhrelid || '.' || i.inhparent || ':' || i.xmin FROM relations c JOIN pg_inherits i ON i.inhrelid = c.oid",
  "SELECT 'o' || o.oid || ':' || o.xmin FROM relations c JOIN pg_class o ON o.oid = c.reltoastrelid",
  // An index has rows of its own: its options, what it is attached to.
  "SELECT 'j' || x.oid || ':' || x.xmin FROM relations c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_class x ON x.oid = i.indexrelid",
  "SELECT 'l' || h.inhrelid || '.' || h.inhparent || ':' || h.xmin FROM relations c JOIN pg_index i ON i.indrelid = c.oid JOIN pg_inherits h ON h.inhrelid = i.indexrelid",
  `SELECT 'c' || d.classoid || '.' || d.objoid || '.' || d.objsubid || ':' || d.xmin FROM pg_description d WHERE d.objoid IN (
     SELECT c.oid FROM relations c UNION ALL SELECT i.indexrelid FROM relations c JOIN pg_index i ON i.indrelid = c.oid
     UNION ALL SELECT k.oid FROM relations c JOIN pg_constraint k ON k.conrelid = c.oid
     UNION ALL SELECT t.oid FROM relations c JOIN pg_trigger t ON t.tgrelid = c.oid
     UNION ALL SELECT p.oid FROM relations c JOIN pg_policy p ON p.polrelid = c.oid
     UNION ALL SELECT w.oid FROM relations c JOIN pg_rewrite w ON w.ev_class = c.oid
     UNION ALL SELECT s.oid FROM relations c JOIN pg_statistic_ext s ON s.stxrelid = c.oid)`,
];
/** Objects of the server itself have smaller numbers. */
const FIRST_OID_OF_USERS = 16_384;
const VERSIONS_OF_SCHEMAS = [
  `SELECT 'n' || n.oid || ':' || n.xmin FROM pg_namespace n WHERE ${USER_SCHEMA}`,
  `SELECT 'y' || t.oid || ':' || t.xmin FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE ${USER_SCHEMA}`,
  `SELECT 'f' || p.oid || ':' || p.xmin FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${USER_SCHEMA}`,
  "SELECT 'e' || e.oid || ':' || e.xmin FROM pg_enum e",
  "SELECT 'x' || x.oid || ':' || x.xmin FROM pg_extension x",
  "SELECT 'u' || k.oid || ':' || k.xmin FROM pg_constraint k WHERE k.contypid <> 0",
  "SELECT 'z' || a.attrelid || '.' || a.attnum || ':' || a.xmin FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid AND c.relkind = 'c'",
  `SELECT 'v' || d.classoid || '.' || d.objoid || ':' || d.xmin FROM pg_description d
   WHERE d.objoid >= ${FIRST_OID_OF_USERS} OR d.classoid = 'pg_namespace'::regclass`,
];
const digestOf = (parts: readonly string[]): string =>
  `${SCOPE}\nSELECT coalesce(md5(string_agg(v, ',' ORDER BY v COLLATE "C")), '') AS version FROM (${parts.join('\nUNION ALL ')}) versions`;

/**
 * One value that changes when anyone commits a change to the scope. It reads only the catalogs' own rows, no printing
 * functions: these can wait for the very lock that the caller holds in another transaction.
 */
export const VERSION_OF_SCHEMAS = digestOf([...VERSIONS_OF_RELATIONS, ...VERSIONS_OF_SCHEMAS]);
export const VERSION_OF_RELATIONS = digestOf(VERSIONS_OF_RELATIONS);
