import { describe, expect, onTestFinished, test } from 'vitest';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { crashLine } from '../harness/crash-line.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure, kill, otherSession, ourWaiting, until } from './other-session.ts';

const USERS = `CREATE SCHEMA app; SET search_path = app;
  CREATE TABLE users (id int PRIMARY KEY, email text, age int);
  INSERT INTO users SELECT i, 'u' || i, i % 7 FROM generate_series(1, 500) i`;
const BUILD = 'CREATE INDEX CONCURRENTLY users_email ON users (lower(email))';
const appStep = (bench: DdlBench, up: string, fields: Partial<StepOf<'ddl'>> = {}): StepOf<'ddl'> =>
  bench.step(up, { schema: 'app', ...fields });
const valid = (bench: DdlBench, index = 'app.users_email') =>
  bench.query(`SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = to_regclass('${index}')`);
const HELD_SNAPSHOT = 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM app.users LIMIT 1';

describe('CREATE INDEX CONCURRENTLY', () => {
  test('is built, recorded, done once, and undone', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const step = appStep(
      bench,
      `${BUILD}; CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS by_id ON app.users USING btree (id DESC) WHERE age > 3`,
    );
    await Promise.all([bench.up(step), bench.up(step)]);
    expect(await valid(bench)).toEqual([{ valid: 't' }]);
    expect(await valid(bench, 'app.by_id')).toEqual([{ valid: 't' }]);
    expect((await bench.up(step)).note).toBe('was applied before');
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('columns may be written with the name of their table', async () => {
    const bench = await ddlBench(USERS);
    await bench.up(
      appStep(bench, 'CREATE INDEX CONCURRENTLY users_email ON users (lower(users.email)) WHERE users.age > 3'),
    );
    expect(await valid(bench)).toEqual([{ valid: 't' }]);
  });

  test('must pass 11. CONCURRENTLY killed half-way: the invalid index is built anew', async () => {
    const bench = await ddlBench(USERS);
    const holder = await otherSession(bench);
    await holder.query(HELD_SNAPSHOT);
    const step = appStep(bench, BUILD);
    const first = failure(bench.up(step));
    await kill(bench, await ourWaiting(bench, 'CREATE INDEX CONCURRENTLY'));
    expect((await first).code).toBe('DatabaseUnreachable');
    await holder.query('COMMIT');
    await bench.up(step);
    expect(await valid(bench)).toEqual([{ valid: 't' }]);
  });

  test('must pass 11. CONCURRENTLY killed half-way, and duplicates since: it fails by name, leaves nothing invalid, works once they are gone', async () => {
    const bench = await ddlBench(USERS);
    const holder = await otherSession(bench);
    // A build that waits for writers takes no rows in yet: duplicates can still come.
    await holder.query('BEGIN; UPDATE app.users SET age = age WHERE id = 1');
    const step = appStep(bench, 'CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)');
    const first = failure(bench.up(step));
    await kill(bench, await ourWaiting(bench, 'CREATE UNIQUE INDEX CONCURRENTLY'));
    await first;
    expect(await valid(bench)).toEqual([{ valid: 'f' }]);
    await holder.query('COMMIT');
    await bench.query(`UPDATE app.users SET email = 'u1' WHERE id = 2`);
    expect(await failure(bench.up(step))).toMatchObject({ code: 'StatementFailed', fields: { sqlState: '23505' } });
    expect(await valid(bench)).toEqual([]);
    await bench.query(`UPDATE app.users SET email = 'u2' WHERE id = 2`);
    await bench.up(step);
    expect(await valid(bench)).toEqual([{ valid: 't' }]);
  });

  test('its client has died, the builder is still at it: waited for, then finished by whoever came next', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const holder = await otherSession(bench);
    await holder.query(HELD_SNAPSHOT);
    const line = await crashLine(bench.url, (pid) => kill(bench, String(pid)));
    const dying = new Databases({ app: { url: line.url } });
    onTestFinished(() => dying.close().then(() => line.close()));
    const step = appStep(bench, BUILD);
    line.armAt((text) => text.startsWith('CREATE INDEX CONCURRENTLY'), 'running');
    await failure(bench.up(step, { databases: dying }));
    const waits = Promise.withResolvers<string>();
    const applied = bench.up(step, { onNote: (note) => waits.resolve(note) });
    expect(await waits.promise).toContain('waits for the index build that an earlier worker began');
    await holder.query('COMMIT');
    await applied;
    expect(await valid(bench)).toEqual([{ valid: 't' }]);
    expect(await bench.query(`SELECT 1 FROM pg_index WHERE NOT indisvalid`)).toEqual([]);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('the rollback of a build that was killed leaves nothing', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    const holder = await otherSession(bench);
    await holder.query(HELD_SNAPSHOT);
    const step = appStep(bench, BUILD);
    const abort = new AbortController();
    const reason = new Error('aborted by a person');
    const first = failure(bench.up(step, { signal: abort.signal }));
    await ourWaiting(bench, 'CREATE INDEX CONCURRENTLY');
    abort.abort(reason);
    expect(await first).toBe(reason);
    expect(await valid(bench)).toEqual([{ valid: 'f' }]);
    await holder.query('COMMIT');
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('a build that outlived its worker is waited for, not repeated', async () => {
    const bench = await ddlBench(USERS);
    const step = appStep(bench, BUILD);
    const holder = await otherSession(bench);
    await holder.query(HELD_SNAPSHOT);
    const builder = await otherSession(bench, 'switchback');
    await intendBuild(bench, step, builder.pid);
    const built = builder.query('CREATE INDEX CONCURRENTLY users_email ON app.users (lower(email))');
    await ourWaiting(bench, 'CREATE INDEX CONCURRENTLY');
    const oid = await until(
      bench,
      `SELECT to_regclass('app.users_email')::oid WHERE to_regclass('app.users_email') IS NOT NULL`,
    );
    const waits = Promise.withResolvers<string>();
    const applied = bench.up(step, { onNote: (note) => waits.resolve(note) });
    expect(await waits.promise).toContain(
      `waits for the index build that an earlier worker began (pid ${builder.pid})`,
    );
    await holder.query('COMMIT');
    await Promise.all([applied, built]);
    expect(await bench.query(`SELECT 'app.users_email'::regclass::oid AS oid`)).toEqual([{ oid }]);
    await bench.down(step);
    expect(await valid(bench)).toEqual([]);
  });

  test('a hanging worker’s session can’t begin the build after another one took over', async () => {
    const bench = await ddlBench(USERS);
    const step = appStep(bench, BUILD);
    const hanging = await otherSession(bench, 'switchback');
    await intendBuild(bench, step, hanging.pid);
    await bench.raiseFence(2);
    await bench.down(step, { run: { generation: 2 } });
    await failure(hanging.query('CREATE INDEX CONCURRENTLY users_email ON app.users (lower(email))'));
    expect(await valid(bench)).toEqual([]);
  });

  test('duplicates: it fails by name, leaves nothing invalid, and works once they are gone', async () => {
    const bench = await ddlBench(USERS);
    const step = appStep(bench, 'CREATE UNIQUE INDEX CONCURRENTLY users_age ON users (age)');
    const error = await failure(bench.up(step));
    expect(error).toMatchObject({ code: 'StatementFailed', fields: { sqlState: '23505', statement: 1 } });
    expect(await valid(bench, 'app.users_age')).toEqual([]);
    await bench.query('UPDATE app.users SET age = id');
    await bench.up(step);
    expect(await valid(bench, 'app.users_age')).toEqual([{ valid: 't' }]);
  });

  test.each([
    ['another definition', 'CREATE INDEX users_email ON app.users (age)'],
    ['the same definition, from before', 'CREATE INDEX users_email ON app.users (lower(email))'],
    ['no index at all', 'CREATE TABLE app.users_email (a int)'],
  ])('what has its name is left alone: %s', async (_name, sql) => {
    const bench = await ddlBench(`${USERS}; ${sql}`);
    const before = await bench.schema();
    const step = appStep(bench, BUILD);
    expect(await failure(bench.up(step))).toMatchObject({
      code: 'ForeignObject',
      retry: false,
      fields: { index: 'users_email' },
    });
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('IF NOT EXISTS over the same index from before: the rollback keeps it', async () => {
    const bench = await ddlBench(`${USERS}; CREATE INDEX users_email ON app.users (lower(email))`);
    const before = await bench.schema();
    const step = appStep(bench, 'CREATE INDEX CONCURRENTLY IF NOT EXISTS users_email ON users (LOWER(email))');
    await bench.up(step);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('an invalid one of someone else isn’t taken for done', async () => {
    const bench = await ddlBench(USERS);
    await failure(bench.query('CREATE UNIQUE INDEX CONCURRENTLY dup ON app.users (age)'));
    const step = appStep(bench, 'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS dup ON users (age)');
    expect(await failure(bench.up(step))).toMatchObject({ code: 'ForeignObject' });
    expect(await valid(bench, 'app.dup')).toEqual([{ valid: 'f' }]);
  });

  test('without a name it gets the one that Postgres would give, by which it is found again', async () => {
    const bench = await ddlBench(`${USERS}; CREATE INDEX ON app.users (age)`);
    const before = await bench.schema();
    const step = appStep(bench, 'CREATE INDEX CONCURRENTLY ON users (age)');
    await bench.up(step);
    expect(await valid(bench, 'app.users_age_idx1')).toEqual([{ valid: 't' }]);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });
});

describe('DROP INDEX CONCURRENTLY', () => {
  test('is done once, and the index is built again', async () => {
    const bench = await ddlBench(
      `${USERS}; CREATE UNIQUE INDEX "By Mail" ON app.users USING btree (email) INCLUDE (age)`,
    );
    const before = await bench.schema();
    const step = appStep(bench, 'DROP INDEX CONCURRENTLY "By Mail"');
    await Promise.all([bench.up(step), bench.up(step)]);
    expect(await bench.schema()).not.toEqual(before);
    await Promise.all([bench.down(step), bench.down(step)]);
    expect(await bench.schema()).toEqual(before);
  });

  test('the rollback of a drop that was cut off builds the index again', async () => {
    const bench = await ddlBench(`${USERS}; CREATE INDEX users_email ON app.users (lower(email))`);
    const before = await bench.schema();
    const holder = await otherSession(bench);
    await holder.query(HELD_SNAPSHOT);
    const step = appStep(bench, 'DROP INDEX CONCURRENTLY users_email');
    const dropping = failure(bench.up(step));
    await kill(bench, await ourWaiting(bench, 'DROP INDEX CONCURRENTLY'));
    await dropping;
    expect(await valid(bench)).toEqual([{ valid: 'f' }]);
    await holder.query('COMMIT');
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('killed half-way: the next worker finishes it, and the index can come back', async () => {
    const bench = await ddlBench(`${USERS}; CREATE INDEX users_email ON app.users (lower(email))`);
    const before = await bench.schema();
    const holder = await otherSession(bench);
    await holder.query(HELD_SNAPSHOT);
    const step = appStep(bench, 'DROP INDEX CONCURRENTLY users_email');
    const first = failure(bench.up(step));
    await kill(bench, await ourWaiting(bench, 'DROP INDEX CONCURRENTLY'));
    await first;
    await holder.query('COMMIT');
    await bench.up(step);
    expect(await valid(bench)).toEqual([]);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('its client has died, the drop is still going on: it is not dropped twice', async () => {
    const bench = await ddlBench(`${USERS}; CREATE INDEX users_email ON app.users (lower(email))`);
    const before = await bench.schema();
    const holder = await otherSession(bench);
    await holder.query(HELD_SNAPSHOT);
    const line = await crashLine(bench.url, (pid) => kill(bench, String(pid)));
    const dying = new Databases({ app: { url: line.url } });
    onTestFinished(() => dying.close().then(() => line.close()));
    const step = appStep(bench, 'DROP INDEX CONCURRENTLY users_email');
    line.armAt((text) => text.startsWith('DROP INDEX CONCURRENTLY'), 'running');
    await failure(bench.up(step, { databases: dying }));
    const applied = bench.up(step);
    await holder.query('COMMIT');
    await applied;
    expect(await valid(bench)).toEqual([]);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('of an index that isn’t there', async () => {
    const bench = await ddlBench(USERS);
    const before = await bench.schema();
    expect(await failure(bench.up(appStep(bench, 'DROP INDEX CONCURRENTLY nothing')))).toMatchObject({
      code: 'StatementFailed',
      fields: { sqlState: '42704' },
    });
    const step = appStep(bench, 'DROP INDEX CONCURRENTLY IF EXISTS nothing', { id: 'other' });
    await bench.up(step);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });
});

/** The ledger as a worker leaves it that wrote the intent in its session `pid` and then did no more. */
async function intendBuild(bench: DdlBench, step: StepOf<'ddl'>, pid: string): Promise<void> {
  const ledger = new StepLedger(bench.database);
  const key = { run: bench.run(), phase: 'expand', step: step.id, kind: 'ddl' };
  const [row] = await bench.query(
    `SELECT backend_start::text AS started, left(encode(sha256(convert_to('${step.up}', 'UTF8')), 'hex'), 32) AS fingerprint
     FROM pg_stat_activity WHERE pid = ${pid}`,
  );
  const intent = {
    statement: 1,
    fingerprint: row?.['fingerprint'],
    schema: 'app',
    name: 'users_email',
    definition: 'USING btree (lower(email))',
    dropped: null,
    pid,
    backendStart: row?.['started'],
  };
  await bench.database.transaction(async (session) => {
    await ledger.enter(session, key);
    await ledger.record(session, key, 'intended', { detail: { up: { done: [], intent } } });
  });
}
