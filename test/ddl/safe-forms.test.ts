import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ddl } from '../../src/activities/ddl.ts';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure, kill, otherSession, ourWaiting } from './other-session.ts';
import { expectNobodyHeldUp, placesOf, scansUnderLock, WITNESS } from './witness.ts';

/** 62 and 40 bytes: names that are made of them are cut between two bytes of a letter. */
const [LONG_TABLE, LONG_COLUMN] = ['ä'.repeat(31), 'ü'.repeat(20)];
const TABLES = `
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

interface Case {
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
const CASES: Record<string, Case> = {
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

let bench: DdlBench;
beforeAll(async () => {
  bench = await ddlBench(WITNESS);
});
afterAll(() => bench.drop());

let made = 0;
async function schemaWithTables(kind: string): Promise<string> {
  const name = `${kind}_${String(++made).padStart(3, '0')}`;
  await bench.query(`CREATE SCHEMA ${name}; SET search_path = ${name}; ${TABLES}; TRUNCATE witness.seen`);
  return name;
}

/** The schema's catalog under a name that all have. */
async function catalogOf(schema: string): Promise<unknown> {
  const snapshot = await bench.database.session((session) => catalogSnapshot(session, { schemas: [schema] }));
  return JSON.parse(JSON.stringify(catalogJson(snapshot)).replaceAll(schema, 'app'));
}

async function unitsRun(step: string): Promise<string[]> {
  const [row] = await bench.query(
    `SELECT detail #> '{up,units,0,units}' AS units FROM switchback.steps WHERE step = '${step}'`,
  );
  return (JSON.parse(row?.['units'] ?? '[]') as { text: string }[]).map(({ text }) => text);
}

describe('what runs in place of a statement that would hold others up', () => {
  test.each(Object.entries(CASES))('%s', async (_name, { sql, ran, units, momentary = false, down }) => {
    const plain = await schemaWithTables('plain');
    const plainPlaces = await placesOf(bench, plain);
    await bench.query(`SET search_path = ${plain}; ${sql}`);
    const rewritten = JSON.stringify(await placesOf(bench, plain)) !== JSON.stringify(plainPlaces);
    expect(rewritten || (await scansUnderLock(bench, plain)).length > 0, 'holds others up as written').toBe(!momentary);

    const safe = await schemaWithTables('safe');
    const before = await catalogOf(safe);
    const places = await placesOf(bench, safe);
    const step = bench.step(sql, { id: safe, schema: safe, ...(down !== undefined && { down }) });
    await bench.up(step);
    await expectNobodyHeldUp(bench, safe, places);
    const texts = await unitsRun(safe);
    expect(texts.join('; ')).toMatch(ran);
    expect(texts).toHaveLength(units);
    expect(await catalogOf(safe)).toEqual(await catalogOf(plain));

    await bench.down(step);
    expect(await catalogOf(safe)).toEqual(before);
  });
});

describe('units', () => {
  const ADULTS = 'ALTER TABLE users ADD CONSTRAINT adults CHECK (age > 17)';

  test('are decided once: who comes later follows the record, whatever the catalog shows by then', async () => {
    const schema = await schemaWithTables('kept');
    const before = await catalogOf(schema);
    const step = bench.step(ADULTS, { id: schema, schema });
    const error = await failure(bench.up(step));
    expect(error).toMatchObject({ code: 'StatementFailed', fields: { statement: 1, sqlState: '23514' } });
    expect(error.message).toContain('statement 1, part 2 of 2 (ALTER TABLE users VALIDATE CONSTRAINT adults)');
    await bench.query(`TRUNCATE ${schema}.users`);
    await bench.up(step);
    const done = `SELECT jsonb_path_query_array(detail, '$.up.done[*].unit') AS units, state FROM switchback.steps WHERE step = '${schema}'`;
    expect(await bench.query(done)).toEqual([{ units: '[1, 2]', state: 'applied' }]);
    await bench.down(step);
    expect(await catalogOf(schema)).toEqual(before);
  });

  test('of a statement that stopped half-way are taken back as well', async () => {
    const schema = await schemaWithTables('half');
    const before = await catalogOf(schema);
    const step = bench.step(`ALTER TABLE users ADD COLUMN a int; ${ADULTS}`, { id: schema, schema });
    await failure(bench.up(step));
    expect(await catalogOf(schema)).not.toEqual(before);
    await bench.down(step);
    expect(await catalogOf(schema)).toEqual(before);
  });

  test('are run once by two workers at a time', async () => {
    const schema = await schemaWithTables('twice');
    const sql = `${CASES['an index on a partitioned table']?.sql}; ${CASES['a column with another value in each row']?.sql}`;
    const step = bench.step(sql, { id: schema, schema });
    await Promise.all([bench.up(step), bench.up(step)]);
    const plain = await schemaWithTables('plain');
    await bench.query(`SET search_path = ${plain}; ${sql}`);
    expect(await catalogOf(schema)).toEqual(await catalogOf(plain));
  });

  test('go on where 0.1.0 has stopped, which recorded statements as written', async () => {
    const schema = await schemaWithTables('older');
    const before = await catalogOf(schema);
    const first = 'ALTER TABLE users ADD COLUMN a int';
    await bench.up(bench.step(first, { id: schema, schema }));
    await bench.query(`UPDATE switchback.steps SET state = 'intended', detail = jsonb_build_object('up', jsonb_build_object('intent', NULL,
      'done', jsonb_build_array(detail #> '{up,done,0}' #- '{statement}' #- '{unit}'))) WHERE step = '${schema}'`);
    const second = 'ALTER TABLE users ADD CHECK (age > 0)';
    const changed = bench.step(`ALTER TABLE users ADD COLUMN b int; ${second}`, { id: schema, schema });
    expect(await failure(bench.up(changed))).toMatchObject({ code: 'PlanChanged', fields: { statement: 1 } });
    const step = bench.step(`${first}; ${second}`, { id: schema, schema });
    await bench.up(step);
    await bench.down(step);
    expect(await catalogOf(schema)).toEqual(before);
  });
});

describe('what a rule refuses', () => {
  const HARM = 'ALTER TABLE users SET (autovacuum_enabled = off)';
  const SQL = `ALTER TABLE users ADD COLUMN a int; ${HARM}`;

  test('stops before it runs, with what to write instead and how to allow it', async () => {
    const schema = await schemaWithTables('refused');
    const before = await catalogOf(schema);
    const step = bench.step(SQL, { id: schema, schema, allow: [] });
    const error = await failure(bench.up(step));
    expect(error).toMatchObject({
      code: 'RuleViolated',
      retry: false,
      fields: { statement: 2, rule: 'autovacuum-disabled' },
    });
    expect(error.message).toContain(`statement 2 (${HARM}): `);
    expect(error.hint).toMatch(/^Leave it on.* allow: \[\{ rule: autovacuum-disabled, reason: … \}\]$/s);
    await bench.down(step);
    expect(await catalogOf(schema)).toEqual(before);
  });

  test('runs where the plan allows it, and on the way down', async () => {
    const schema = await schemaWithTables('allowed');
    const before = await catalogOf(schema);
    const allow = [{ rule: 'autovacuum-disabled', reason: 'a table of a test' }];
    const step = bench.step(SQL, {
      id: schema,
      schema,
      allow,
      down: `ALTER TABLE users RESET (autovacuum_enabled), DROP COLUMN a`,
    });
    await bench.up(step);
    expect(await catalogOf(schema)).not.toEqual(before);
    const back = bench.step('ALTER TABLE users ADD COLUMN b int', {
      id: `${schema}_down`,
      schema,
      down: `${HARM}; ALTER TABLE users DROP COLUMN b`,
    });
    await bench.up(back);
    await bench.down(back);
    await bench.down(step);
    expect(await catalogOf(schema)).toEqual(before);
  });

  test('is too large an index for what the database may still grow', async () => {
    const schema = await schemaWithTables('room');
    const databases = new Databases({ app: { url: bench.url, room: 1 } });
    onTestFinished(() => databases.close());
    const context = bench.context();
    const step = bench.step('CREATE INDEX CONCURRENTLY by_mail ON users (email)', { id: schema, schema, allow: [] });
    const up = ddl.up(bench.input<'ddl'>(step), { ...context, deps: { ...context.deps, databases } });
    expect(await failure(up)).toMatchObject({ code: 'RuleViolated', fields: { statement: 1, rule: 'disk-room' } });
  });
});

describe('rows get a volatile default', () => {
  const SQL = 'ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid() NOT NULL';
  const filled = (schema: string) =>
    bench.query(`SELECT count(*) AS rows, count(DISTINCT token) AS tokens FROM ${schema}.users`);
  const lineage = (schema: string) =>
    bench.query(
      `SELECT object, rows_changed, requested_by, direction FROM switchback.lineage WHERE step = '${schema}'`,
    );

  test('also those that others hold and move meanwhile; a killed worker’s rows are not filled twice', async () => {
    const schema = await schemaWithTables('filled');
    const step = bench.step(SQL, { id: schema, schema });
    const client = await otherSession(bench);
    // The locks of rows don't hold up ADD COLUMN: they are taken once the fill is at its first chunk.
    await bench.query(`CREATE FUNCTION ${schema}.held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF old.id = 7 THEN PERFORM pg_advisory_xact_lock_shared(7411); END IF; RETURN new; END $$;
      CREATE TRIGGER held BEFORE UPDATE ON ${schema}.users FOR EACH ROW EXECUTE FUNCTION ${schema}.held()`);
    await client.query('SELECT pg_advisory_lock(7411)');
    const first = failure(bench.up(step));
    await kill(bench, await ourWaiting(bench, 'WITH filled'));
    expect((await first).code).toBe('DatabaseUnreachable');
    await client.query('SELECT pg_advisory_unlock(7411)');
    await client.query(`BEGIN; UPDATE ${schema}.users SET email = repeat('long', 400) WHERE id % 2 = 0`);
    const second = bench.up(step);
    await ourWaiting(bench, 'WITH filled');
    await client.query('COMMIT');
    await second;
    expect(await filled(schema)).toEqual([{ rows: '300', tokens: '300' }]);
    expect(await lineage(schema)).toEqual([
      { object: `"${schema}"."users"`, rows_changed: '300', requested_by: 'test@example.com', direction: 'up' },
    ]);
  });

  test('a default that is NULL leaves nothing to do', async () => {
    const schema = await schemaWithTables('nothing');
    await bench.query(`CREATE FUNCTION ${schema}.nothing() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT NULL::int'`);
    await bench.up(bench.step('ALTER TABLE users ADD COLUMN n int DEFAULT nothing()', { id: schema, schema }));
    expect(await bench.query(`SELECT count(n) FROM ${schema}.users`)).toEqual([{ count: '0' }]);
    expect(await lineage(schema)).toEqual([]);
  });

  // The last one: it raises the fence for good.
  test('a worker of an older generation stops at the next chunk', async () => {
    const schema = await schemaWithTables('fenced');
    const step = bench.step(SQL, { id: schema, schema });
    const client = await otherSession(bench);
    await bench.query(`CREATE FUNCTION ${schema}.held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      PERFORM pg_advisory_xact_lock_shared(7412); RETURN new; END $$;
      CREATE TRIGGER held BEFORE UPDATE ON ${schema}.users FOR EACH ROW EXECUTE FUNCTION ${schema}.held()`);
    await client.query('SELECT pg_advisory_lock(7412)');
    const waits = Promise.withResolvers<void>();
    const up = failure(bench.up(step, { onNote: (note) => note.includes('try 1 of') && waits.resolve() }));
    await waits.promise;
    await bench.raiseFence(2);
    expect(await up).toMatchObject({ code: 'Fenced' });
    await client.query('SELECT pg_advisory_unlock(7412)');
    expect(await bench.query(`SELECT count(token) FROM ${schema}.users`)).toEqual([{ count: '0' }]);
  });
});
