/** What the changes below are made to. */
export const TABLES = `
  SET search_path = public;
  CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, full_name text NOT NULL, email text, age int DEFAULT 1);
  CREATE TABLE teams (id int PRIMARY KEY, name text);
  CREATE INDEX users_email ON users (email);
  CREATE VIEW adults AS SELECT id, full_name FROM users WHERE age > 17;
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
  CREATE TYPE mood AS ENUM ('good', 'bad');
  ALTER TABLE users ADD CONSTRAINT age_positive CHECK (age > 0);
  COMMENT ON TABLE users IS 'people';
  CREATE SCHEMA elsewhere;
  CREATE TYPE address AS (street text, town text);
  CREATE DOMAIN grade AS int CONSTRAINT high CHECK (VALUE < 7);
  ALTER TABLE teams ADD UNIQUE (name) DEFERRABLE INITIALLY DEFERRED;
  CREATE STATISTICS teams_stats ON id, name FROM teams;
  CREATE TABLE members (user_id bigint REFERENCES users, team_id int, grade grade);
  CREATE TABLE grown_users (LIKE users INCLUDING CONSTRAINTS);
  INSERT INTO teams VALUES (1, 'one');
  INSERT INTO users (full_name) SELECT 'n' || i FROM generate_series(1, 100) i;
`;

/** Each kind of change that the catalog alone can take back, as one statement. */
export const REVERSIBLE: Record<string, string> = {
  'a table with everything in it': `CREATE TABLE invoices (id bigserial PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, code text UNIQUE, total numeric CHECK (total > 0))`,
  'a table made from a query': 'CREATE TABLE copies AS SELECT * FROM users',
  'a column': 'ALTER TABLE users ADD COLUMN given_name text',
  'a column with a default, NOT NULL and a check': `ALTER TABLE users ADD COLUMN kind text NOT NULL DEFAULT 'it''s' CHECK (kind <> '')`,
  'a serial column': 'ALTER TABLE teams ADD COLUMN number serial',
  'an identity column': 'ALTER TABLE teams ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY',
  'a generated column': 'ALTER TABLE users ADD COLUMN lower_name text GENERATED ALWAYS AS (lower(full_name)) STORED',
  'several columns at once': 'ALTER TABLE users ADD COLUMN a text, ADD COLUMN b int UNIQUE, ADD COLUMN c jsonb',
  'a column with a foreign key': 'ALTER TABLE users ADD COLUMN team_id int REFERENCES teams (id) ON DELETE SET NULL',
  'an index': 'CREATE UNIQUE INDEX users_lower ON users (lower(full_name) DESC) WHERE age > 0',
  'a check': "ALTER TABLE users ADD CONSTRAINT mail CHECK (email LIKE '%@%') NOT VALID",
  'a unique constraint': 'ALTER TABLE users ADD CONSTRAINT one_mail UNIQUE (email)',
  'a constraint from an index': 'ALTER TABLE users ADD CONSTRAINT mail_excluded EXCLUDE USING btree (email WITH =)',
  'NOT NULL set': 'ALTER TABLE users ALTER COLUMN age SET NOT NULL',
  'NOT NULL dropped': 'ALTER TABLE users ALTER COLUMN full_name DROP NOT NULL',
  'a default set': `ALTER TABLE users ALTER COLUMN email SET DEFAULT 'x'`,
  'a default changed': 'ALTER TABLE users ALTER COLUMN age SET DEFAULT 2 + 3',
  'a default dropped': 'ALTER TABLE users ALTER COLUMN age DROP DEFAULT',
  'storage, statistics and compression':
    'ALTER TABLE users ALTER COLUMN email SET STORAGE EXTERNAL, ALTER COLUMN email SET STATISTICS 500, ALTER COLUMN email SET COMPRESSION pglz',
  'options of a table': 'ALTER TABLE users SET (fillfactor = 70, autovacuum_enabled = off)',
  'row level security': 'ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
  'a policy': 'CREATE POLICY own ON users AS RESTRICTIVE FOR UPDATE TO PUBLIC USING (age > 1) WITH CHECK (age > 2)',
  'a trigger': 'CREATE TRIGGER touched BEFORE UPDATE OF email ON users FOR EACH ROW EXECUTE FUNCTION touch()',
  'a rule': 'CREATE RULE quiet AS ON DELETE TO teams DO INSTEAD NOTHING',
  'a comment': `COMMENT ON TABLE users IS 'someone''s \\ people'`,
  'a comment on a column': `COMMENT ON COLUMN users.email IS 'mail'`,
  'a grant': 'GRANT SELECT, UPDATE ON users TO PUBLIC',
  'a grant on a column': 'GRANT SELECT (email), UPDATE (email) ON users TO PUBLIC',
  'a grant revoked': 'REVOKE ALL ON users FROM CURRENT_USER',
  'a view': 'CREATE VIEW names AS SELECT full_name FROM users',
  'a materialized view': 'CREATE MATERIALIZED VIEW names AS SELECT full_name FROM users',
  'a function': `CREATE FUNCTION twice(n int, text DEFAULT 'x') RETURNS int LANGUAGE sql AS 'SELECT n * 2'`,
  'a function replaced': `CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.email := null; RETURN new; END'`,
  'a procedure': `CREATE PROCEDURE noop(a int) LANGUAGE plpgsql AS 'BEGIN END'`,
  'an aggregate': "CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0')",
  'an enum': `CREATE TYPE colour AS ENUM ('red', 'green')`,
  'a domain': `CREATE DOMAIN mail AS text CHECK (VALUE LIKE '%@%')`,
  'a composite type': 'CREATE TYPE pair AS (a int, b text)',
  'a range type': 'CREATE TYPE float_range AS RANGE (SUBTYPE = float8)',
  'a sequence': 'CREATE SEQUENCE numbers INCREMENT 5 START 7',
  'a sequence changed': 'ALTER SEQUENCE users_id_seq INCREMENT 10 CACHE 5',
  'a schema': 'CREATE SCHEMA archive',
  'an extension': 'CREATE EXTENSION pgcrypto',
  'extended statistics': 'CREATE STATISTICS both_of ON full_name, email FROM users',
  'a column renamed': 'ALTER TABLE users RENAME COLUMN full_name TO name',
  'a table renamed': 'ALTER TABLE users RENAME TO people',
  'an index renamed': 'ALTER INDEX users_email RENAME TO by_mail',
  'a constraint renamed': 'ALTER TABLE users RENAME CONSTRAINT age_positive TO grown',
  'a type renamed': 'ALTER TYPE mood RENAME TO feeling',
  'a function renamed': 'ALTER FUNCTION touch() RENAME TO touched',
  'an index dropped': 'DROP INDEX users_email',
  'a constraint dropped': 'ALTER TABLE users DROP CONSTRAINT age_positive',
  'a view dropped': 'DROP VIEW adults',
  'a function dropped': 'DROP FUNCTION touch()',
  'a constraint validated later': 'ALTER TABLE users ADD CONSTRAINT later CHECK (age < 200) NOT VALID',
  'a view replaced': 'CREATE OR REPLACE VIEW adults AS SELECT id, full_name FROM users WHERE age > 20',
  'a table moved to another schema': 'ALTER TABLE teams SET SCHEMA elsewhere',
  'a type moved to another schema': 'ALTER TYPE mood SET SCHEMA elsewhere',
  'a label renamed': `ALTER TYPE mood RENAME VALUE 'bad' TO 'worse'`,
  'an attribute': 'ALTER TYPE address ADD ATTRIBUTE "Zip code" text',
  'a check of a domain': 'ALTER DOMAIN grade ADD CONSTRAINT low CHECK (VALUE > 0)',
  'a check of a domain dropped': 'ALTER DOMAIN grade DROP CONSTRAINT high',
  'a default of a domain': 'ALTER DOMAIN grade SET DEFAULT 3',
  'NOT NULL of a domain': 'ALTER DOMAIN grade SET NOT NULL',
  'options of an index': 'ALTER INDEX users_email SET (fillfactor = 60)',
  'options of TOAST': 'ALTER TABLE users SET (toast.autovacuum_enabled = off)',
  'statistics of statistics': 'ALTER STATISTICS teams_stats SET STATISTICS 300',
  'a clustered index': 'ALTER TABLE users CLUSTER ON users_email',
  'a unique constraint dropped': 'ALTER TABLE teams DROP CONSTRAINT teams_name_key',
  'a primary key dropped': 'ALTER TABLE teams DROP CONSTRAINT teams_pkey',
  'a foreign key made deferrable':
    'ALTER TABLE members ALTER CONSTRAINT members_user_id_fkey DEFERRABLE INITIALLY DEFERRED',
  'a foreign key dropped': 'ALTER TABLE members DROP CONSTRAINT members_user_id_fkey',
  'an heir': 'ALTER TABLE grown_users INHERIT users',
  'an identity for a column': 'ALTER TABLE teams ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY',
  'a partition of a new table': 'CREATE TABLE parts (a int, b int) PARTITION BY RANGE (a)',
};
