/**
 * The queries behind readSchemaFacts, each one statement over all relations at a time. They hold for Postgres 14 to 18
 * and answer as JSON, whose numbers are sizes and estimates only. The scope is found first and then given by its OIDs:
 * in one statement with the rest, the planner would take it for millions of relations.
 */

const userSchema = (namespace: string): string =>
  `${namespace}.nspname !~ '^pg_' AND ${namespace}.nspname <> 'information_schema'`;

/**
 * The relations that are named, and what reaches them: the table of an index, heirs and partitions, parents, tables at
 * either end of a foreign key, views that read them, the columns' own sequences, tables that have columns of a named type.
 *
 * Parameters: $1, $2 schema and name of relations; $3, $4 of types.
 */
export const SCOPE = `
WITH RECURSIVE named AS (
  SELECT c.oid FROM unnest($1::text[], $2::text[]) AS w (schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
), carrier (type) AS (
  SELECT t.oid FROM unnest($3::text[], $4::text[]) AS w (schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = w.name
  WHERE ${userSchema('n')}
  UNION
  SELECT s.oid FROM carrier r CROSS JOIN LATERAL (
    SELECT typarray AS oid FROM pg_type WHERE oid = r.type AND typarray <> 0
    UNION ALL SELECT oid FROM pg_type WHERE typbasetype = r.type
    UNION ALL SELECT k.reltype FROM pg_attribute a JOIN pg_class k ON k.oid = a.attrelid AND k.relkind = 'c' WHERE a.atttypid = r.type
  ) s
), starting AS (
  SELECT oid FROM named
  UNION SELECT i.indrelid FROM named JOIN pg_index i ON i.indexrelid = named.oid
  UNION SELECT a.attrelid FROM carrier JOIN pg_attribute a ON a.atttypid = carrier.type AND NOT a.attisdropped
    JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm', 'f')
), down AS (
  SELECT oid FROM starting UNION SELECT i.inhrelid FROM down JOIN pg_inherits i ON i.inhparent = down.oid
), up AS (
  SELECT oid FROM starting UNION SELECT i.inhparent FROM up JOIN pg_inherits i ON i.inhrelid = up.oid
), family AS (
  SELECT oid FROM down UNION SELECT oid FROM up
), linked AS (
  SELECT oid FROM family
  UNION SELECT k.conrelid FROM family JOIN pg_constraint k ON k.confrelid = family.oid AND k.contype = 'f'
  UNION SELECT k.confrelid FROM family JOIN pg_constraint k ON k.conrelid = family.oid AND k.contype = 'f'
  UNION SELECT d.objid FROM family JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = family.oid
      AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'
), readers AS (
  SELECT oid FROM linked
  UNION SELECT w.ev_class FROM readers JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = readers.oid
      AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_class <> readers.oid
    JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
)
SELECT c.oid::text FROM readers JOIN pg_class c ON c.oid = readers.oid WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'i', 'I', 'S')`;

/**
 * Sizes are read without waiting: of a relation that someone holds exclusively, or waits to, the catalog's page count
 * counts. A partitioned table's are those of its tree; rows are scaled from the last count to today's size, as the
 * planner does. $1: OIDs of the scope.
 */
export const RELATIONS = `
WITH RECURSIVE scope AS (
  SELECT c.*, n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])
), tree (root, oid, parent, level) AS (
  SELECT oid, oid, NULL::oid, 0 FROM scope
  UNION ALL
  SELECT tree.root, i.inhrelid, i.inhparent, tree.level + 1 FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
), member AS (
  SELECT DISTINCT oid FROM tree
), busy AS (
  SELECT DISTINCT relation FROM pg_locks
  WHERE mode = 'AccessExclusiveLock' AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), sized AS (
  SELECT c.oid, c.relkind, c.reltuples, c.relpages,
    CASE WHEN c.relkind NOT IN ('r', 'm', 'i', 'S') THEN 0 WHEN c.oid IN (SELECT relation FROM busy) THEN c.relpages::bigint * 8192
      ELSE coalesce(pg_relation_size(c.oid), 0) END AS heap,
    CASE WHEN c.reltoastrelid = 0 OR c.oid IN (SELECT relation FROM busy) THEN 0
      ELSE coalesce(pg_relation_size(c.reltoastrelid), 0) END AS toast,
    CASE WHEN c.relkind NOT IN ('r', 'm') OR c.oid IN (SELECT relation FROM busy) THEN 0
      ELSE coalesce(pg_indexes_size(c.oid), 0) END AS indexes
  FROM member JOIN pg_class c ON c.oid = member.oid
), counted AS (
  SELECT *, CASE WHEN relkind NOT IN ('r', 'm', 'i') OR heap = 0 THEN 0
    WHEN reltuples < 0 OR relpages = 0 THEN NULL
    ELSE ceil(reltuples * (heap / 8192.0) / relpages) END AS rows FROM sized
), total AS (
  SELECT tree.root, CASE WHEN bool_or(counted.rows IS NULL) THEN NULL ELSE sum(counted.rows) END AS rows,
    sum(counted.heap + counted.toast) AS heap, sum(counted.indexes) AS indexes
  FROM tree JOIN counted ON counted.oid = tree.oid GROUP BY tree.root
), published AS (
  SELECT c.oid, p.pubname FROM pg_publication_tables p
  JOIN pg_namespace n ON n.nspname = p.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename
  WHERE c.oid IN (SELECT oid FROM member)
  UNION SELECT r.srrelid, s.subname FROM pg_subscription_rel r JOIN pg_subscription s ON s.oid = r.srsubid
), statistics AS (
  SELECT DISTINCT ON (s.schemaname, s.tablename, s.attname) s.schemaname, s.tablename, s.attname, s.null_frac, s.avg_width
  FROM pg_stats s WHERE (s.schemaname, s.tablename) IN (SELECT nspname, relname FROM scope)
  ORDER BY s.schemaname, s.tablename, s.attname, s.inherited DESC
)
SELECT jsonb_build_object(
  'schema', c.nspname, 'name', c.relname,
  'kind', CASE c.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
    WHEN 'f' THEN 'foreign' WHEN 'S' THEN 'sequence' ELSE 'index' END,
  'fresh', false, 'unlogged', c.relpersistence = 'u',
  'tablespace', (SELECT s.spcname FROM pg_tablespace s WHERE s.oid =
      CASE c.reltablespace WHEN 0 THEN (SELECT dattablespace FROM pg_database WHERE datname = current_database()) ELSE c.reltablespace END),
  'rows', total.rows, 'heapBytes', total.heap, 'indexBytes', total.indexes,
  'owned', pg_has_role(c.relowner, 'USAGE'),
  'may', CASE WHEN c.relkind IN ('r', 'p', 'v', 'm', 'f') THEN jsonb_build_object('select', has_any_column_privilege(c.oid, 'SELECT'),
      'update', has_any_column_privilege(c.oid, 'UPDATE')) END,
  'rowSecurity', jsonb_build_object('enabled', c.relrowsecurity, 'forced', c.relforcerowsecurity),
  'replicatedBy', (SELECT coalesce(jsonb_agg(DISTINCT p.pubname), '[]') FROM tree JOIN published p ON p.oid = tree.oid WHERE tree.root = c.oid),
  'columns', (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'name', a.attname, 'type', format_type(a.atttypid, a.atttypmod), 'notNull', a.attnotnull,
      'default', CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END,
      'generated', a.attgenerated <> '', 'identity', a.attidentity <> '',
      'collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END,
      'nullShare', s.null_frac, 'widthBytes', s.avg_width) ORDER BY a.attnum), '[]')
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    LEFT JOIN statistics s ON s.schemaname = c.nspname AND s.tablename = c.relname AND s.attname = a.attname
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'v', 'm', 'f')),
  'constraints', (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'name', k.conname,
      'kind', CASE k.contype WHEN 'p' THEN 'primary' WHEN 'u' THEN 'unique' WHEN 'c' THEN 'check' WHEN 'f' THEN 'foreign'
        WHEN 'x' THEN 'exclusion' ELSE 'not null' END,
      'columns', (SELECT coalesce(jsonb_agg(a.attname ORDER BY u.at), '[]') FROM unnest(k.conkey) WITH ORDINALITY AS u (number, at)
        JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
      'validated', k.convalidated, 'deferrable', k.condeferrable, 'definition', pg_get_constraintdef(k.oid),
      'references', CASE WHEN k.contype = 'f' THEN (SELECT jsonb_build_object('schema', fn.nspname, 'name', f.relname,
          'columns', (SELECT jsonb_agg(a.attname ORDER BY u.at) FROM unnest(k.confkey) WITH ORDINALITY AS u (number, at)
            JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number))
        FROM pg_class f JOIN pg_namespace fn ON fn.oid = f.relnamespace WHERE f.oid = k.confrelid) END) ORDER BY k.conname), '[]')
    FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype IN ('p', 'u', 'c', 'f', 'x', 'n')),
  'indexes', (SELECT coalesce(jsonb_agg(jsonb_build_object(
      'name', x.relname,
      'columns', (SELECT jsonb_agg(a.attname ORDER BY u.at) FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS u (number, at)
        LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.number AND u.number > 0 WHERE u.at <= i.indnkeyatts),
      'unique', i.indisunique, 'valid', i.indisvalid AND i.indisready, 'partial', i.indpred IS NOT NULL,
      'constraint', (SELECT k.conname FROM pg_constraint k
        WHERE k.conindid = x.oid AND k.conrelid = c.oid AND k.contype IN ('p', 'u', 'x') LIMIT 1),
      'method', m.amname, 'definition', pg_get_indexdef(x.oid),
      'bytes', CASE WHEN x.relkind = 'i' AND x.oid NOT IN (SELECT relation FROM busy) THEN coalesce(pg_relation_size(x.oid), 0)
        WHEN x.relkind = 'i' THEN x.relpages::bigint * 8192
        ELSE (SELECT coalesce(sum(part.relpages::bigint * 8192), 0) FROM pg_partition_tree(x.oid) p JOIN pg_class part ON part.oid = p.relid) END
      ) ORDER BY x.relname), '[]')
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam WHERE i.indrelid = c.oid),
  'triggers', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', t.tgname, 'definition', pg_get_triggerdef(t.oid),
      'enabled', t.tgenabled <> 'D') ORDER BY t.tgname), '[]')
    FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal),
  'partitions', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', kn.nspname, 'name', k.relname,
      'parent', jsonb_build_object('schema', pn.nspname, 'name', p.relname),
      'leaf', NOT k.relhassubclass OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = k.oid),
      'default', EXISTS (SELECT FROM pg_partitioned_table t WHERE t.partdefid = k.oid)) ORDER BY tree.level, kn.nspname, k.relname), '[]')
    FROM tree JOIN pg_class k ON k.oid = tree.oid JOIN pg_namespace kn ON kn.oid = k.relnamespace
    JOIN pg_class p ON p.oid = tree.parent JOIN pg_namespace pn ON pn.oid = p.relnamespace
    WHERE tree.root = c.oid AND tree.level > 0 AND c.relkind IN ('r', 'p', 'f')),
  'parents', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', pn.nspname, 'name', p.relname) ORDER BY i.inhseqno), '[]')
    FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE i.inhrelid = c.oid),
  'readBy', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', r.nspname, 'name', r.relname,
      'kind', CASE r.relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, 'columns', r.columns) ORDER BY r.nspname, r.relname), '[]')
    FROM (SELECT vn.nspname, v.relname, v.relkind,
        coalesce(jsonb_agg(DISTINCT a.attname) FILTER (WHERE a.attname IS NOT NULL), '[]') AS columns
      FROM pg_depend d JOIN pg_rewrite w ON w.oid = d.objid AND w.ev_class <> c.oid
      JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm') JOIN pg_namespace vn ON vn.oid = v.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
      WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid AND d.classid = 'pg_rewrite'::regclass
      GROUP BY vn.nspname, v.relname, v.relkind) r),
  'referencedBy', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', fn.nspname, 'table', f.relname, 'constraint', k.conname,
      'columns', (SELECT jsonb_agg(a.attname ORDER BY u.at) FROM unnest(k.confkey) WITH ORDINALITY AS u (number, at)
        JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.number)) ORDER BY fn.nspname, f.relname, k.conname), '[]')
    FROM pg_constraint k JOIN pg_class f ON f.oid = k.conrelid JOIN pg_namespace fn ON fn.oid = f.relnamespace
    WHERE k.confrelid = c.oid AND k.contype = 'f' AND k.conrelid <> c.oid AND NOT (f.relispartition AND k.conparentid <> 0)),
  'of', (SELECT jsonb_build_object('schema', tn.nspname, 'name', t.relname) FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE i.indexrelid = c.oid)
) AS facts
FROM scope c JOIN total ON total.root = c.oid
ORDER BY c.nspname COLLATE "C", c.relname COLLATE "C"`;

/** The types that are named and those of the columns in scope. $1: OIDs of the scope; $2, $3: schema and name of types. */
export const TYPES = `
WITH RECURSIVE wanted AS (
  SELECT t.oid FROM unnest($2::text[], $3::text[]) AS w (schema, name)
  JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_type t ON t.typnamespace = n.oid AND t.typname = w.name
  UNION
  SELECT coalesce(e.oid, t.oid) FROM pg_attribute a
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.typarray = t.oid
  WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
), reach (root, oid) AS (
  SELECT oid, oid FROM wanted
  UNION
  SELECT r.root, s.oid FROM reach r CROSS JOIN LATERAL (
    SELECT typarray AS oid FROM pg_type WHERE oid = r.oid AND typarray <> 0
    UNION ALL SELECT oid FROM pg_type WHERE typbasetype = r.oid
    UNION ALL SELECT k.reltype FROM pg_attribute a JOIN pg_class k ON k.oid = a.attrelid AND k.relkind = 'c' WHERE a.atttypid = r.oid
  ) s
)
SELECT jsonb_build_object('schema', n.nspname, 'name', t.typname,
  'kind', CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'c' THEN 'composite' WHEN 'r' THEN 'range' ELSE 'base' END,
  'domain', CASE t.typtype WHEN 'd' THEN jsonb_build_object('base', format_type(t.typbasetype, t.typtypmod),
      'constrained', t.typnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.contypid = t.oid)) END,
  'labels', (SELECT coalesce(jsonb_agg(e.enumlabel ORDER BY e.enumsortorder), '[]') FROM pg_enum e WHERE e.enumtypid = t.oid),
  'owned', pg_has_role(t.typowner, 'USAGE'),
  'usedBy', (SELECT coalesce(jsonb_agg(jsonb_build_object('schema', u.nspname, 'table', u.relname, 'column', u.attname)
      ORDER BY u.nspname, u.relname, u.attname), '[]')
    FROM (SELECT DISTINCT cn.nspname, c.relname, a.attname FROM reach r JOIN pg_attribute a ON a.atttypid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_class c ON c.oid = a.attrelid AND c.relkind IN ('r', 'p', 'm', 'f') JOIN pg_namespace cn ON cn.oid = c.relnamespace
      WHERE r.root = t.oid) u)) AS facts
FROM wanted JOIN pg_type t ON t.oid = wanted.oid JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE ${userSchema('n')} AND t.typtype IN ('e', 'd', 'c', 'r', 'b')
  AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
ORDER BY n.nspname COLLATE "C", t.typname COLLATE "C"`;

/** Every overload of the functions and procedures that are named. Parameters: $1, $2 schema and name. */
export const FUNCTIONS = `
SELECT jsonb_build_object('schema', n.nspname, 'name', p.proname, 'arguments', pg_get_function_identity_arguments(p.oid),
  'result', coalesce(pg_get_function_result(p.oid), ''),
  'volatility', CASE p.provolatile WHEN 'i' THEN 'immutable' WHEN 's' THEN 'stable' ELSE 'volatile' END,
  'securityDefiner', p.prosecdef,
  'fixedSearchPath', EXISTS (SELECT FROM unnest(p.proconfig) AS s (setting) WHERE s.setting ILIKE 'search_path=%'),
  'language', l.lanname, 'owned', pg_has_role(p.proowner, 'USAGE')) AS facts
FROM (SELECT DISTINCT schema, name FROM unnest($1::text[], $2::text[]) AS g (schema, name)) w
JOIN pg_namespace n ON n.nspname = w.schema JOIN pg_proc p ON p.pronamespace = n.oid AND p.proname = w.name
JOIN pg_language l ON l.oid = p.prolang
ORDER BY n.nspname COLLATE "C", p.proname COLLATE "C", pg_get_function_identity_arguments(p.oid) COLLATE "C"`;

/**
 * The server, the role, its schemas, the sessions with an old snapshot, and where the statements of clients can be read.
 * A role without pg_read_all_stats sees the texts of its own statements only: that isn't what clients do. $1: from how
 * many seconds on a snapshot is old.
 */
export const SURROUNDINGS = `
SELECT jsonb_build_object(
  'serverVersion', current_setting('server_version_num')::int,
  'role', (SELECT jsonb_build_object('name', r.rolname, 'superuser', r.rolsuper, 'bypassesRowSecurity', r.rolbypassrls OR r.rolsuper,
      'mayCreateInDatabase', has_database_privilege(current_database(), 'CREATE')) FROM pg_roles r WHERE r.rolname = current_user),
  'schemas', (SELECT coalesce(jsonb_agg(jsonb_build_object('name', n.nspname, 'mayCreate', has_schema_privilege(n.oid, 'CREATE'))
      ORDER BY n.nspname COLLATE "C"), '[]') FROM pg_namespace n WHERE ${userSchema('n')}),
  'oldSnapshots', (SELECT coalesce(jsonb_agg(jsonb_build_object('pid', a.pid::text,
      'application', coalesce(nullif(a.application_name, ''), a.backend_type, 'unknown'),
      'ageSeconds', extract(epoch FROM clock_timestamp() - a.xact_start)::bigint) ORDER BY a.xact_start), '[]')
    FROM pg_stat_activity a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
      AND a.backend_xmin IS NOT NULL AND a.xact_start <= clock_timestamp() - make_interval(secs => $1::double precision)
      AND a.query !~* '^\\s*(autovacuum: )?VACUUM')) AS facts,
  (SELECT quote_ident(n.nspname) FROM pg_extension x JOIN pg_namespace n ON n.oid = x.extnamespace
    WHERE x.extname = 'pg_stat_statements' AND EXISTS (SELECT FROM pg_settings WHERE name = 'pg_stat_statements.max')
      AND pg_has_role('pg_read_all_stats', 'USAGE')) AS statements_in`;

/**
 * The most called statements of clients whose text has one of the names in it: none from inside functions (which
 * versions before 1.9 can't tell apart), and none of ours. $1: names in lower case.
 */
export const clientStatements = (quotedSchema: string): string => `
SELECT query FROM (
  SELECT s.query, sum(s.calls) AS calls FROM ${quotedSchema}.pg_stat_statements s
  WHERE s.dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND length(s.query) < 20000
    AND coalesce((to_jsonb(s) ->> 'toplevel')::boolean, true)
    AND strpos(s.query, '/* switchback */') = 0 AND strpos(s.query, 'zz_switchback_') = 0
    AND EXISTS (SELECT FROM unnest($1::text[]) AS w (name) WHERE position(w.name IN lower(s.query)) > 0)
  GROUP BY s.query) q
ORDER BY calls DESC, query LIMIT 500`;
