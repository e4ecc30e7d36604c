/** Tables with rows, and statements on them that would hold up readers or writers as they are written. */
/** 62 and 40 bytes: names that are made of them are cut between two bytes of a letter. */
const [LONG_TABLE, LONG_COLUMN] = ['ä'.repeat(31), 'ü'.repeat(20)];
export const TABLES = `
  CREATE TABLE "${LONG_TABLE}" (id int, "${LONG_COLUMN}" int);
  INSERT INTO "${LONG_TABLE}" SELECT i, i FROM generate_series(1, 20) i;
  CREATE TABLE teams (id int PRIMARY KEY, name text);
  CREATE TABLE users (id int NOT NULL, email text, age int, team int, "Full Name" text);
  CREATE INDEX users_age ON users (age);
  CREATE UNIQUE INDEX users_key ON users (age, id);
  CREATE TABLE events (id int NOT NULL, at date NOT NULL, kind text, team int) PARTITION BY RANGE (at);
  CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
  CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (kind);
  CREATE TABLE "events 2026 x" PARTITION OF events_2026 FOR VALUES IN ('x');
  CREATE TABLE events_2026_y PARTITION OF events_2026 DEFAULT;
  CREATE MATERIALIZED VIEW ages AS SELECT g AS age, g % 3 AS rest FROM generate_series(1, 40) g;
  CREATE UNIQUE INDEX ages_key ON ages (age);
  INSERT INTO teams SELECT i, 't' || i FROM generate_series(1, 10) i;
  INSERT INTO users SELECT i, 'u' || i, i, 1 + i % 10, 'n' || i FROM generate_series(1, 300) i;
  INSERT INTO events SELECT i, date '2025-01-01' + i, CASE WHEN i % 2 = 0 THEN 'x' ELSE 'y' END, 1 + i % 10 FROM generate_series(1, 600) i`;

export interface SafeFormCase {
  sql: string;
  /** What ran must have had this in it. */
  ran: RegExp;
  /** How many units it takes on Postgres 18. */
  units: number;
  /** As written it only takes a strong lock for a moment: there is no scan to see. */
  momentary?: boolean;
  /** Where the catalog alone can't take it back. */
  down?: string;
}
export const CASES: Record<string, SafeFormCase> = {
  'an index without a name': {
    sql: 'CREATE INDEX ON users (lower(email), age DESC) INCLUDE (id) WHERE age > 3',
    ran: /CREATE INDEX CONCURRENTLY users_lower_age_id_idx/,
    units: 1,
  },
  'a unique index': {
    sql: 'CREATE UNIQUE INDEX "By Mail" ON users (email)',
    ran: /UNIQUE INDEX CONCURRENTLY "By Mail"/,
    units: 1,
  },
  'indexes dropped': {
    sql: 'DROP INDEX users_age, users_key',
    ran: /DROP INDEX CONCURRENTLY users_age.*DROP INDEX CONCURRENTLY users_key/s,
    units: 2,
    momentary: true,
  },
  'checks without names': {
    sql: `ALTER TABLE users ADD CHECK (age > 0), ADD CHECK (age < 1000), ADD CHECK (age > 0 OR email <> '')`,
    ran: /users_age_check1 .*NOT VALID.*VALIDATE CONSTRAINT users_check/s,
    units: 6,
  },
  'a foreign key': {
    sql: 'ALTER TABLE users ADD FOREIGN KEY (team) REFERENCES teams ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED',
    ran: /users_team_fkey.*NOT VALID.*VALIDATE CONSTRAINT users_team_fkey/s,
    units: 2,
  },
  'a unique constraint with everything': {
    sql: 'ALTER TABLE users ADD UNIQUE NULLS NOT DISTINCT (email) INCLUDE (age) WITH (fillfactor = 70) DEFERRABLE INITIALLY DEFERRED',
    ran: /CONCURRENTLY users_email_age_key ON users \(email\) INCLUDE \(age\).*USING INDEX users_email_age_key DEFERRABLE/s,
    units: 2,
  },
  'a primary key over a column that may be NULL': {
    sql: 'ALTER TABLE users ADD PRIMARY KEY (id, age)',
    ran: /users_age_not_null.*VALIDATE.*CONCURRENTLY users_pkey.*PRIMARY KEY USING INDEX users_pkey/s,
    units: 4,
  },
  'a primary key from an index': {
    sql: 'ALTER TABLE users ADD CONSTRAINT users_main PRIMARY KEY USING INDEX users_key',
    ran: /NOT NULL age NOT VALID.*PRIMARY KEY USING INDEX users_key/s,
    units: 3,
    down: `ALTER TABLE users DROP CONSTRAINT users_main; ALTER TABLE users ALTER age DROP NOT NULL;
      CREATE UNIQUE INDEX users_key ON users (age, id)`,
  },
  'NOT NULL': {
    sql: 'ALTER TABLE users ALTER "Full Name" SET NOT NULL',
    ran: /NOT NULL "Full Name" NOT VALID/,
    units: 2,
  },
  'a column with another value in each row': {
    sql: 'ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid() NOT NULL UNIQUE',
    ran: /SET DEFAULT gen_random_uuid\(\).*UPDATE .*SET token = DEFAULT.*users_token_not_null.*USING INDEX users_token_key/s,
    units: 6,
  },
  'a serial column': {
    sql: 'ALTER TABLE users ADD COLUMN number serial',
    ran: /CREATE SEQUENCE .*users_number_seq AS int/,
    units: 6,
  },
  'a column with a volatile default, stored in its own way': {
    sql: `ALTER TABLE users ADD COLUMN note text STORAGE EXTERNAL DEFAULT random()::text`,
    ran: /ADD COLUMN note text STORAGE EXTERNAL.*SET DEFAULT.*UPDATE/s,
    units: 3,
  },
  'a column with constraints': {
    sql: `ALTER TABLE users ADD COLUMN boss int DEFAULT 1 REFERENCES teams (id) CHECK (boss > 0)`,
    ran: /ADD COLUMN boss int DEFAULT 1.*users_boss_fkey.*users_boss_check/s,
    units: 5,
  },
  'many commands in one statement': {
    sql: `ALTER TABLE users ADD CONSTRAINT one_mail UNIQUE (email), ADD COLUMN a text DEFAULT 'x,y' NOT NULL, ALTER team SET NOT NULL,
      ADD COLUMN b int, ALTER email SET STATISTICS 50, ALTER age SET DEFAULT 7`,
    ran: /ADD COLUMN a .*ADD COLUMN b.*team NOT VALID.*CONCURRENTLY one_mail.*SET DEFAULT 7, ALTER COLUMN email SET STATISTICS 50/s,
    units: 6,
  },
  'an index on a partitioned table': {
    sql: 'CREATE INDEX by_kind ON events (kind, (at + 1))',
    ran: /by_kind ON ONLY.*CONCURRENTLY events_2025_kind_expr_idx.*ATTACH/s,
    units: 9,
  },
  'a unique constraint on a partitioned table': {
    sql: 'ALTER TABLE events ADD CONSTRAINT events_once UNIQUE (id, at, kind) INCLUDE (team)',
    ran: /ALTER TABLE ONLY .*events_once UNIQUE.*USING INDEX events_2025_id_at_kind_team_key.*ATTACH/s,
    units: 12,
  },
  'a foreign key on a partitioned table': {
    sql: 'ALTER TABLE events ADD CONSTRAINT events_team FOREIGN KEY (team) REFERENCES teams',
    ran: /events_team .*NOT VALID.*VALIDATE/s,
    units: 2,
  },
  'NOT NULL on a partitioned table': {
    sql: 'ALTER TABLE events ALTER team SET NOT NULL',
    ran: /NOT VALID.*VALIDATE/s,
    units: 2,
  },
  'a column with a volatile default on a partitioned table': {
    sql: 'ALTER TABLE events ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()',
    ran: /UPDATE .*events.* SET token = DEFAULT/,
    units: 4,
  },
  'names that are too long': {
    sql: `ALTER TABLE "${LONG_TABLE}" ADD CHECK ("${LONG_COLUMN}" > 0), ADD CHECK ("${LONG_COLUMN}" > -1), ADD UNIQUE (id, "${LONG_COLUMN}"),
      ADD UNIQUE ("${LONG_COLUMN}", id), ADD COLUMN "${'x'.repeat(63)}" serial`,
    ran: /CREATE SEQUENCE/,
    units: 14,
  },
  'a materialized view refreshed': {
    sql: 'REFRESH MATERIALIZED VIEW ages',
    ran: /REFRESH MATERIALIZED VIEW CONCURRENTLY ages/,
    units: 1,
  },
};

/** Where Postgres 14 does it another way: NOT NULL has no name there, and a partitioned table takes no key NOT VALID. */
export const CASES_14: Record<string, SafeFormCase> = {
  'a primary key over a column that may be NULL': {
    sql: 'ALTER TABLE users ADD PRIMARY KEY (id, age)',
    ran: /CHECK \(age IS NOT NULL\) NOT VALID.*SET NOT NULL.*DROP CONSTRAINT users_age_not_null.*USING INDEX users_pkey/s,
    units: 6,
  },
  'NOT NULL': {
    sql: 'ALTER TABLE users ALTER "Full Name" SET NOT NULL',
    ran: /CHECK \("Full Name" IS NOT NULL\) NOT VALID.*VALIDATE.*SET NOT NULL.*DROP CONSTRAINT/s,
    units: 4,
  },
  'NOT NULL on a partitioned table': {
    sql: 'ALTER TABLE events ALTER team SET NOT NULL',
    ran: /CHECK \(team IS NOT NULL\) NOT VALID.*VALIDATE.*SET NOT NULL.*DROP CONSTRAINT/s,
    units: 4,
  },
  'a foreign key on a partitioned table': {
    sql: 'ALTER TABLE events ADD CONSTRAINT events_team FOREIGN KEY (team) REFERENCES teams ON DELETE CASCADE',
    ran: /"events 2026 x" ADD CONSTRAINT .*NOT VALID.*"events 2026 x" VALIDATE.*ALTER TABLE events ADD CONSTRAINT events_team/s,
    units: 7,
  },
  'a column with a volatile default on a partitioned table': {
    sql: 'ALTER TABLE events ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()',
    ran: /UPDATE .*events SET token = DEFAULT.*CHECK \(token IS NOT NULL\)/s,
    units: 6,
  },
};
