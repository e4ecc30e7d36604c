import { afterAll, beforeAll, expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { readSchemaFacts } from '../../src/adapters/postgres/schema-facts.ts';
import { analyse, namesUsed } from '../../src/sql/index.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

/** What rules say beside their examples: other severities, other words, other reasons to be silent. */
let fresh: FreshDatabase;
let database: Database;
beforeAll(async () => {
  fresh = await freshDatabase('branches');
  database = new Database('app', { url: fresh.url });
});
afterAll(async () => {
  await database.close();
  await fresh.drop();
});

const SCHEMA = 'shop';
const undo = new Error('rolled back');
/** `severity rule: message` of each finding. */
async function findings(given: string, up: string, hasDown: boolean): Promise<string[]> {
  let found: string[] = [];
  const work = database.transaction(async (session) => {
    await session.query(`CREATE SCHEMA ${SCHEMA}; SET LOCAL search_path = ${SCHEMA}; ${given}`);
    await session.query('SET LOCAL search_path = pg_catalog');
    const facts = await readSchemaFacts(session, namesUsed(up, SCHEMA));
    const { statements } = analyse(up, { schema: SCHEMA, facts, hasDown });
    found = statements.flatMap((one) => one.findings.map((hit) => `${hit.severity} ${hit.rule}: ${hit.message}`));
    throw undo;
  });
  await expect(work).rejects.toBe(undo);
  return found;
}

const T = 'CREATE TABLE t (id bigint, a text); INSERT INTO t SELECT i, i FROM generate_series(1, 20000) i; ANALYZE t';
const P = `CREATE TABLE p (id bigint, at date) PARTITION BY RANGE (at);
  CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`;
const F = "CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n'";
const TRIGGER = "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'";
const SYNCED = `${TRIGGER}; ${T}; CREATE TRIGGER zz_switchback_1 BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()`;

const FOUND: [given: string, up: string, finding: string][] = [
  [
    `${T}; CREATE INDEX i ON t (a)`,
    'CREATE INDEX CONCURRENTLY j ON t (a, id)',
    "note index-duplicates-another: once it is there, index i of t serves nothing that (a, id) doesn't",
  ],
  [
    `${T}; CREATE VIEW j AS SELECT 1`,
    'CREATE INDEX CONCURRENTLY j ON t (a)',
    'error index-name-taken: it fails: j is a view',
  ],
  [
    `${T}; CREATE TABLE u (b int); CREATE INDEX j ON u (b)`,
    'CREATE INDEX CONCURRENTLY IF NOT EXISTS j ON t (a)',
    'error index-name-taken: nothing would be built: j is an index of u',
  ],
  [
    `${T}; CREATE UNIQUE INDEX i ON t (id)`,
    'DROP INDEX CONCURRENTLY i',
    'error drop-index-in-use: without i: it alone keeps (id) unique, and ON CONFLICT needs it',
  ],
  [
    `${T}; ALTER TABLE t ADD CONSTRAINT i UNIQUE (id)`,
    'DROP INDEX i',
    'error drop-index-in-use: without i: it is the index of constraint i',
  ],
  [P, 'CREATE INDEX CONCURRENTLY i ON p (id)', 'error index-on-partitioned-parent: Postgres has no CONCURRENTLY for p'],
  [
    `${P}; CREATE TABLE rest PARTITION OF p DEFAULT; INSERT INTO p SELECT i, '2030-01-01' FROM generate_series(1, 20000) i; ANALYZE rest;
      ALTER TABLE rest ADD CONSTRAINT later CHECK (at >= '2030-01-01')`,
    "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2025-01-01') TO ('2026-01-01')",
    'warning create-partition-default-scans: readers and writers of rest',
  ],
  [
    '',
    'CREATE TABLE p (id bigint PRIMARY KEY, at date) PARTITION BY RANGE (at)',
    'error unique-lacks-partition-key: p is partitioned by at: a unique key of id lacks at',
  ],
  [
    'CREATE TYPE c AS (a int); CREATE TABLE t (v c); INSERT INTO t VALUES (ROW(1))',
    'ALTER TYPE c ADD ATTRIBUTE b int',
    'warning composite-type-in-use: clients that write t.v',
  ],
  [
    'CREATE TYPE m AS ENUM (); CREATE TABLE t (v m[])',
    'DROP TYPE m',
    'error drop-type-in-use: it fails: t.v is of type m',
  ],
  [
    `CREATE DOMAIN d AS text; ALTER DOMAIN d ADD CONSTRAINT full_one CHECK (VALUE <> '') NOT VALID;
      CREATE TABLE t (v d); INSERT INTO t SELECT i FROM generate_series(1, 20000) i; ANALYZE t`,
    'ALTER DOMAIN d VALIDATE CONSTRAINT full_one',
    'error domain-constraint-scans: writers of t (about 20,000 rows, 1 MiB) wait while the constraint is checked',
  ],
  [
    'CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t; CREATE VIEW w AS SELECT a FROM v',
    'DROP VIEW v CASCADE',
    'error drop-view-under-readers: CASCADE drops w with v',
  ],
  ['CREATE VIEW v AS SELECT 1 AS a', 'DROP VIEW v', 'warning drop-view-under-readers: whoever reads v fails'],
  [
    'CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT * FROM t',
    'CREATE OR REPLACE VIEW v AS SELECT x.b, x.a FROM t AS x',
    'error create-or-replace-view-changes-columns: it fails: column 1 of v is a, and the new query has b there',
  ],
  [
    F,
    "CREATE OR REPLACE FUNCTION f(m int) RETURNS int LANGUAGE sql AS 'SELECT m'",
    'error function-signature-change: it fails: f is there, and its argument 1 is named n',
  ],
  [
    F,
    "CREATE OR REPLACE FUNCTION f(n bigint) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    'warning function-signature-change: it replaces nothing: f(n integer) stays',
  ],
  [
    '',
    "CREATE FUNCTION k() RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT now()::text || current_date'",
    'error immutable-function-depends-on-more: the result of k also depends on now() and the session’s clock or user',
  ],
  [F, 'DROP FUNCTION f(int)', 'warning drop-function-under-callers: whoever calls f fails'],
  [
    SYNCED,
    'ALTER TABLE t DISABLE TRIGGER ALL',
    'error trigger-disabled: triggers and foreign keys of t no longer see what clients write',
  ],
  [SYNCED, 'DROP TRIGGER zz_switchback_1 ON t', 'error drop-trigger-under-writers: writes of t no longer run'],
  [
    `${SYNCED}; CREATE TRIGGER a BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()`,
    'ALTER TRIGGER a ON t RENAME TO zzz',
    'error trigger-sorts-after-dual-write: zzz would run after the dual write',
  ],
  [
    T,
    'ALTER TABLE t REPLICA IDENTITY FULL; CREATE UNLOGGED TABLE u (a int)',
    'warning unlogged-table: a crash empties u',
  ],
  [
    `CREATE PUBLICATION lines; ${T}; ALTER TABLE t ADD PRIMARY KEY (id); ALTER PUBLICATION lines ADD TABLE t`,
    'ALTER TABLE t REPLICA IDENTITY FULL',
    'warning replica-identity-change: every UPDATE and DELETE of t writes the whole old row',
  ],
  [
    'CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY); INSERT INTO t DEFAULT VALUES',
    'ALTER TABLE t ALTER COLUMN id RESTART',
    'error sequence-restart-or-shrink: t_id_seq (last value 1, fills t.id) starts over',
  ],
  [
    'CREATE SEQUENCE s; SELECT setval($$s$$, 20000)',
    'ALTER SEQUENCE s AS smallint MAXVALUE 20000',
    'error sequence-restart-or-shrink: s (last value 20000) has no value left up to 20000',
  ],
  [
    'CREATE SEQUENCE s; SELECT setval($$s$$, 20000)',
    'ALTER SEQUENCE s AS smallint MAXVALUE 32767',
    'warning sequence-type-overflow: s (last value 20000) has used more than half of the values up to 32767',
  ],
  [
    '',
    'GRANT SELECT ON ALL TABLES IN SCHEMA shop TO PUBLIC',
    'warning grant-to-public: every role of the server gets SELECT on everything in schema shop',
  ],
  [
    `${T}; GRANT SELECT, INSERT ON t TO PUBLIC`,
    'REVOKE ALL ON t FROM PUBLIC',
    'error revoke-under-users: PUBLIC can no longer SELECT and INSERT t',
  ],
  [
    `${T}; ALTER TABLE t ENABLE ROW LEVEL SECURITY`,
    'CREATE POLICY own ON t USING (true)',
    'warning policy-change-under-readers: everybody but its owner see and write other rows of t',
  ],
];
test.each(FOUND)('%s / %s', async (given, up, finding) => {
  expect(await findings(given, up, false)).toContainEqual(expect.stringContaining(finding));
});

const SILENT: [given: string, up: string, rule: string][] = [
  [`${T}; CREATE UNIQUE INDEX i ON t (id)`, 'CREATE UNIQUE INDEX CONCURRENTLY j ON t (id)', 'unique-index-may-fail'],
  [T, 'CREATE INDEX CONCURRENTLY j ON t (a)', 'index-not-concurrently'],
  [P, 'CREATE INDEX i ON ONLY p (id)', 'index-on-partitioned-parent'],
  [`${T}; CREATE INDEX i ON t (a DESC)`, 'CREATE INDEX CONCURRENTLY j ON t (a)', 'index-duplicates-another'],
  [`${T}; CREATE INDEX i ON t USING hash (a)`, 'CREATE INDEX CONCURRENTLY j ON t (a)', 'index-duplicates-another'],
  [
    '',
    "CREATE TYPE m AS ENUM ('a'); CREATE TABLE t (v m); ALTER TYPE m RENAME VALUE 'a' TO 'b'",
    'enum-rename-value-under-readers',
  ],
  [
    'CREATE VIEW v AS SELECT 1 AS a',
    'CREATE OR REPLACE VIEW v AS SELECT 1 AS a, 2 AS b',
    'create-or-replace-view-changes-columns',
  ],
  [`${T}; ${F}; CREATE INDEX i ON t (f(id::int))`, 'ALTER FUNCTION f(int) COST 5', 'function-replaced-under-index'],
  [
    '',
    'CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1',
    'security-definer-without-search-path',
  ],
  [SYNCED, 'CREATE TRIGGER zzz AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()', 'trigger-sorts-after-dual-write'],
  [T, 'ALTER TABLE t ENABLE TRIGGER ALL', 'trigger-disabled'],
  ['CREATE VIEW v AS SELECT 1 AS a', 'CREATE RULE r AS ON INSERT TO v DO INSTEAD NOTHING', 'rule-rewrites-queries'],
  [
    'CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY)',
    'ALTER TABLE t ALTER COLUMN id DROP IDENTITY, ALTER COLUMN id SET DEFAULT 1',
    'identity-dropped',
  ],
  [T, 'ALTER TABLE t SET (autovacuum_enabled = on, autovacuum_vacuum_cost_delay = 5)', 'autovacuum-disabled'],
  ['CREATE SEQUENCE s', 'ALTER SEQUENCE s RESTART', 'sequence-restart-or-shrink'],
];
test.each(SILENT)('%s / %s', async (given, up, rule) => {
  expect(await findings(given, up, false)).not.toContainEqual(expect.stringContaining(` ${rule}: `));
});

test('a `down` of the step’s own is enough where rollback has no way', async () => {
  const given = "CREATE TYPE m AS ENUM ('a'); CREATE VIEW v AS SELECT 1 AS a";
  const up =
    "ALTER TYPE m ADD VALUE 'b'; CREATE OR REPLACE VIEW v AS SELECT 1 AS a, 2 AS b; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC";
  const rules = ['enum-value-needs-down', 'view-widened-needs-down', 'default-privileges-unseen'];
  const told = async (hasDown: boolean): Promise<string[]> => {
    const found = await findings(given, up, hasDown);
    return rules.filter((rule) => found.some((finding) => finding.includes(` ${rule}: `)));
  };
  expect(await told(false)).toEqual(rules);
  expect(await told(true)).toEqual([]);
});
