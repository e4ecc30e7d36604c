import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { ddl } from '../../src/activities/ddl.ts';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { type Postgres14, postgres14 } from '../harness/postgres-14.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure, kill, otherSession, ourWaiting } from './other-session.ts';
import { CASES, CASES_14, type SafeFormCase, TABLES } from './safe-form-cases.ts';
import { expectNobodyHeldUp, placesOf, scansUnderLock, WITNESS } from './witness.ts';

let bench: DdlBench;
beforeAll(async () => {
  bench = await ddlBench(WITNESS);
});
afterAll(() => bench.drop());

let made = 0;
async function schemaWithTables(kind: string, on: DdlBench = bench): Promise<string> {
  const name = `${kind}_${String(++made).padStart(3, '0')}`;
  await on.query(`CREATE SCHEMA ${name}; SET search_path = ${name}; ${TABLES}; TRUNCATE witness.seen`);
  return name;
}

/** The schema's catalog under a name that all have. */
async function catalogOf(schema: string, on: DdlBench = bench): Promise<unknown> {
  const snapshot = await on.database.session((session) => catalogSnapshot(session, { schemas: [schema] }));
  return JSON.parse(JSON.stringify(catalogJson(snapshot)).replaceAll(schema, 'app'));
}

async function unitsRun(step: string, on: DdlBench): Promise<string[]> {
  const [row] = await on.query(
    `SELECT detail #> '{up,units,0,units}' AS units FROM switchback.steps WHERE step = '${step}'`,
  );
  return (JSON.parse(row?.['units'] ?? '[]') as { text: string }[]).map(({ text }) => text);
}

/** The same change twice: plainly, and by the engine; then it is taken back. */
async function expectAsPlain(on: DdlBench, { sql, ran, units, momentary = false, down }: SafeFormCase): Promise<void> {
  const plain = await schemaWithTables('plain', on);
  const plainPlaces = await placesOf(on, plain);
  await on.query(`SET search_path = ${plain}; ${sql}`);
  const rewritten = JSON.stringify(await placesOf(on, plain)) !== JSON.stringify(plainPlaces);
  expect(rewritten || (await scansUnderLock(on, plain)).length > 0, 'holds others up as written').toBe(!momentary);

  const safe = await schemaWithTables('safe', on);
  const before = await catalogOf(safe, on);
  const places = await placesOf(on, safe);
  const step = on.step(sql, { id: safe, schema: safe, ...(down !== undefined && { down }) });
  await on.up(step);
  await expectNobodyHeldUp(on, safe, places);
  const texts = await unitsRun(safe, on);
  expect(texts.join('; ')).toMatch(ran);
  expect(texts).toHaveLength(units);
  expect(await catalogOf(safe, on)).toEqual(await catalogOf(plain, on));

  await on.down(step);
  expect(await catalogOf(safe, on)).toEqual(before);
  // What stays is looked at by every statement whose effects can be anywhere.
  await on.query(`DROP SCHEMA ${plain}, ${safe} CASCADE`);
}

describe('what runs in place of a statement that would hold others up', () => {
  test.each(Object.entries(CASES))('%s', (_name, of) => expectAsPlain(bench, of));
});

describe('on Postgres 14', () => {
  let server: Postgres14;
  let old: DdlBench;
  beforeAll(async () => {
    server = await postgres14();
    old = await ddlBench(WITNESS, server.url);
  });
  afterAll(async () => {
    await old.drop();
    await server.stop();
  });
  test.each(Object.entries(CASES_14))('%s', (_name, of) => expectAsPlain(old, of));
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

  test('clients that write NULL into it on and on end the fill with words, and it can be taken back', async () => {
    const schema = await schemaWithTables('never');
    const before = await catalogOf(schema);
    const step = bench.step('ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid()', {
      id: schema,
      schema,
    });
    // What such a client does, right after each fill of the row.
    await bench.query(`CREATE FUNCTION ${schema}.emptied() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      UPDATE ${schema}.users SET token = NULL WHERE id = 7; RETURN NULL; END $$;
      CREATE TRIGGER emptied AFTER UPDATE ON ${schema}.users FOR EACH ROW
        WHEN (new.id = 7 AND pg_trigger_depth() = 0) EXECUTE FUNCTION ${schema}.emptied()`);
    const error = await failure(bench.up(step));
    expect(error).toMatchObject({ code: 'StatementFailed', retry: false });
    expect(error.message).toContain('had NULL in 1 rows in the last of 50 passes: clients keep writing NULL into it');
    await bench.down(step);
    await bench.query(`DROP TRIGGER emptied ON ${schema}.users; DROP FUNCTION ${schema}.emptied`);
    expect(await catalogOf(schema)).toEqual(before);
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
