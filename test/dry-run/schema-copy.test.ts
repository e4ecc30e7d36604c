import { randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { copySchema } from '../../src/adapters/postgres/schema-copy.ts';
import { freshDatabase } from '../harness/servers.ts';

async function emptyDatabase(): Promise<Database> {
  const { url } = await freshDatabase('copy');
  const database = new Database('copy', { url });
  onTestFinished(() => database.close());
  return database;
}

const SCHEMA = (role: string): string => `
  SET search_path = public;
  CREATE ROLE ${role} NOLOGIN;
  CREATE SCHEMA "Årlig Rapport" AUTHORIZATION ${role};
  CREATE EXTENSION pgcrypto;
  CREATE TYPE mood AS ENUM ('good', 'it''s', 'bad');
  CREATE TYPE pair AS (a int, "b c" text);
  CREATE TYPE float_range AS RANGE (SUBTYPE = float8);
  CREATE DOMAIN mail AS text DEFAULT 'a@b' NOT NULL CONSTRAINT has_at CHECK (VALUE LIKE '%@%');
  CREATE SEQUENCE numbers INCREMENT 5 START 7 MAXVALUE 1000 CYCLE CACHE 3;
  CREATE FUNCTION next_number() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('public.numbers') $$;
  CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "Full Name" text COLLATE "C" NOT NULL, mail mail, mood mood DEFAULT 'good',
    number bigint DEFAULT next_number(), code serial, lower_name text GENERATED ALWAYS AS (lower("Full Name")) STORED,
    born timestamptz DEFAULT now(), CONSTRAINT named CHECK ("Full Name" <> ''), CONSTRAINT one_mail UNIQUE (mail) INCLUDE (mood));
  COMMENT ON TABLE users IS 'it''s \\ people'; COMMENT ON COLUMN users.mail IS 'where'; COMMENT ON CONSTRAINT named ON users IS 'c';
  ALTER TABLE users ALTER mail SET STORAGE EXTERNAL, ALTER mail SET STATISTICS 300, ADD CONSTRAINT later CHECK (number > 0) NOT VALID;
  ALTER TABLE users SET (fillfactor = 70), OWNER TO ${role};
  ALTER TABLE users ENABLE ROW LEVEL SECURITY;
  CREATE POLICY own ON users AS RESTRICTIVE FOR UPDATE TO ${role} USING (number > 1) WITH CHECK (number > 2);
  GRANT SELECT, UPDATE ON users TO PUBLIC; GRANT SELECT (mail) ON users TO ${role} WITH GRANT OPTION;
  CREATE UNIQUE INDEX "by lower" ON users (lower("Full Name") DESC NULLS LAST) WHERE number > 3;
  CREATE STATISTICS both_of ON number, code FROM users;
  CREATE TABLE "Årlig Rapport"."order" (id int, user_id bigint REFERENCES users ON DELETE SET NULL DEFERRABLE, note mood[]);
  CREATE FUNCTION count_users(u users) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path = public AS 'BEGIN RETURN 1; END';
  CREATE PROCEDURE noop(a int) LANGUAGE plpgsql AS 'BEGIN END';
  CREATE AGGREGATE total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
  CREATE TRIGGER touched BEFORE UPDATE OF mail ON users FOR EACH ROW WHEN (new.number > 1) EXECUTE FUNCTION touch();
  ALTER TABLE users DISABLE TRIGGER touched;
  CREATE VIEW names WITH (security_barrier = true) AS SELECT id, "Full Name" FROM users;
  CREATE VIEW names_again AS SELECT * FROM names;
  CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM names_again;
  CREATE RULE quiet AS ON DELETE TO "Årlig Rapport"."order" DO INSTEAD NOTHING;
  CREATE TABLE events (id int NOT NULL, at date NOT NULL, kind text DEFAULT 'x', PRIMARY KEY (id, at), CHECK (id > 0)) PARTITION BY RANGE (at);
  CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
  CREATE TABLE events_rest PARTITION OF events DEFAULT PARTITION BY LIST (id);
  CREATE TABLE events_rest_x PARTITION OF events_rest FOR VALUES IN (1, 2);
  CREATE INDEX by_kind ON events (kind);
  CREATE TRIGGER touched AFTER UPDATE ON events FOR EACH ROW EXECUTE FUNCTION touch();
  ALTER TABLE events ADD COLUMN user_id bigint REFERENCES users;
  CREATE TABLE base (id int PRIMARY KEY, name text CHECK (name <> ''));
  CREATE TABLE heir (extra int) INHERITS (base);
  CREATE UNLOGGED TABLE scratch (a int, b int, EXCLUDE USING btree (a WITH =));
`;

test('a schema with a bit of everything is copied without a difference, and without data', async () => {
  const [original, copy] = [await emptyDatabase(), await emptyDatabase()];
  const role = `reader_${randomBytes(4).toString('hex')}`;
  await original.session((session) => session.query(SCHEMA(role)));
  await original.query(`INSERT INTO public.base VALUES (1, 'a')`);
  const snapshot = await original.session((session) => catalogSnapshot(session));
  const { missing } = await copy.session((session) => copySchema(snapshot, session));
  expect(missing).toEqual([]);
  expect(catalogJson(await copy.session((session) => catalogSnapshot(session)))).toEqual(catalogJson(snapshot));
  expect(await copy.query('SELECT count(*) FROM public.base')).toEqual([{ count: '0' }]);
  await original.query(`DROP OWNED BY ${role} CASCADE`);
  await copy.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
});

test('what can not be made is told by name', async () => {
  const [original, copy] = [await emptyDatabase(), await emptyDatabase()];
  await original.query(
    'CREATE TABLE public.users (id int PRIMARY KEY); CREATE VIEW public.ids AS SELECT id FROM public.users',
  );
  const snapshot = new Map(
    [...(await original.session((session) => catalogSnapshot(session)))].map(([key, object]) => [
      key,
      object.kind === 'view'
        ? { ...object, properties: { ...object.properties, definition: 'SELECT nowhere.id' } }
        : object,
    ]),
  );
  const { missing } = await copy.session((session) => copySchema(snapshot, session));
  expect(missing).toContain('view "public.ids" is not in the copy');
  expect(missing.at(-1)).toContain('refused: ');
});

test('triggers of dual writes that are in force are counted: their functions are not copied', async () => {
  const [original, copy] = [await emptyDatabase(), await emptyDatabase()];
  await original.query(
    `CREATE SCHEMA switchback; CREATE TABLE public.users (id int PRIMARY KEY);
     CREATE FUNCTION switchback.sync() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
     CREATE TRIGGER zz_ours BEFORE INSERT ON public.users FOR EACH ROW EXECUTE FUNCTION switchback.sync()`,
  );
  const snapshot = await original.session((session) => catalogSnapshot(session));
  const { missing } = await copy.session((session) => copySchema(snapshot, session));
  expect(missing).toEqual(['1 trigger of dual writes that are in force']);
});
