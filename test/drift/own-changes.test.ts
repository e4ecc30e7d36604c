import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ddl } from '../../src/activities/ddl.ts';
import { readBaseline, takeBaseline } from '../../src/adapters/postgres/baseline.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { differenceWords } from '../../src/adapters/postgres/difference-words.ts';
import { LOOK_AGAIN, lookForDrift } from '../../src/adapters/postgres/drift.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import type { RunRef } from '../../src/messages/index.ts';
import { type CrashKind, type CrashLine, crashLine } from '../harness/crash-line.ts';
import { type DdlBench, ddlBench } from '../ddl/bench.ts';
import { openCase } from '../ddl/contract-room.ts';

/**
 * Whatever a step does, and wherever its worker dies at it: at no moment do the run's own changes look like those of
 * others, neither before the worker is replaced nor after.
 */
let bench: DdlBench;
let line: CrashLine;
beforeAll(async () => {
  bench = await ddlBench();
  line = await crashLine(bench.url, (pid) => bench.database.query('SELECT pg_terminate_backend($1::int, 5000)', [pid]));
});
afterAll(async () => {
  line.close();
  await bench.drop();
});

const GIVEN = `CREATE TABLE t (id int PRIMARY KEY, email text, age int); CREATE INDEX by_age ON t (age);
  CREATE TABLE other (id int PRIMARY KEY); CREATE VIEW v AS SELECT id FROM t;
  INSERT INTO t SELECT i, 'u' || i, i FROM generate_series(1, 500) i`;

let runs = 0;
/** A run on tables of its own, in a schema of its own, whose baseline has been taken. */
async function begun(): Promise<{ run: RunRef; schema: string; relations: { schema: string; name: string }[] }> {
  const schema = `s${++runs}`;
  const run = bench.run({ migration: `run-${runs}`, generation: 1 });
  await new StepLedger(bench.database).raiseFence(run);
  await bench.query(`CREATE SCHEMA ${schema}; SET search_path = ${schema}; ${GIVEN}`);
  const relations = ['t', 'other', 'v', 'made', 'named'].map((name) => ({ schema, name }));
  await bench.database.transaction((session) => takeBaseline(session, run, relations));
  return { run, schema, relations };
}

async function driftWords(run: RunRef): Promise<string[]> {
  for (;;) {
    const drift = await lookForDrift(bench.database, run);
    if (drift === null) return [];
    if (drift !== LOOK_AGAIN) return differenceWords(drift.difference);
  }
}

async function work(up: string, { run, schema }: { run: RunRef; schema: string }, databases?: Databases) {
  const step = bench.step(up, { schema, down: 'SELECT 1' });
  await ddl.up(bench.input<'ddl'>(step, { run }), bench.context(databases === undefined ? {} : { databases }));
}

const STATEMENTS: Record<string, string> = {
  columns: 'ALTER TABLE t ADD COLUMN a serial, ADD COLUMN b int UNIQUE, DROP COLUMN age',
  constraints: 'ALTER TABLE t ADD CHECK (id > 0) NOT VALID, ALTER COLUMN email SET NOT NULL',
  'foreign key': 'ALTER TABLE t ADD CONSTRAINT fk FOREIGN KEY (age) REFERENCES other (id) NOT VALID',
  types: 'ALTER TABLE t ALTER COLUMN age TYPE bigint; ALTER TABLE t ALTER COLUMN age SET DEFAULT 7',
  'a table': 'CREATE TABLE made (id serial PRIMARY KEY, t_id int REFERENCES t, x text UNIQUE NOT NULL)',
  'a table and back': 'CREATE TABLE made (id serial PRIMARY KEY); ALTER TABLE made RENAME TO named; DROP TABLE named',
  renames:
    'ALTER TABLE other RENAME TO named; ALTER TABLE t RENAME COLUMN email TO mail; ALTER INDEX by_age RENAME TO aged',
  views: 'CREATE OR REPLACE VIEW v AS SELECT id, email FROM t; DROP VIEW v',
  'grants and comments': `GRANT SELECT ON t TO PUBLIC; COMMENT ON TABLE t IS 'x'; COMMENT ON COLUMN t.id IS 'y'`,
  statistics: 'CREATE STATISTICS pair ON id, age FROM t; ALTER TABLE t ALTER COLUMN id SET STATISTICS 7',
  triggers: `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER tr BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
    CREATE POLICY p ON t USING (id > 0)`,
  'indexes beside others':
    'CREATE INDEX CONCURRENTLY x ON t (email); DROP INDEX CONCURRENTLY by_age; CREATE INDEX y ON t (id)',
  partitions: `CREATE TABLE made (id int, k text) PARTITION BY RANGE (id);
    CREATE TABLE named PARTITION OF made FOR VALUES FROM (1) TO (10); CREATE INDEX by_k ON made (k); ALTER TABLE made ADD COLUMN z int`,
};

test.each(Object.entries(STATEMENTS))('the run itself may change %s', async (_, up) => {
  const of = await begun();
  expect(await driftWords(of.run)).toEqual([]);
  const before = await readBaseline(bench.database, of.run);
  await work(up, of);
  expect(await driftWords(of.run)).toEqual([]);
  // And what it did is in the baseline: undone by someone else, it is told.
  expect((await readBaseline(bench.database, of.run))?.changes).not.toBe(before?.changes);
});

test.each([
  ['ALTER TABLE t ADD COLUMN nick text', ['column "S.t.nick" (text) was created']],
  ['ALTER TABLE t RENAME COLUMN email TO mail', ['column "S.t.email" was renamed: it is column "S.t.mail" now']],
  ['DROP INDEX by_age', ['index "S.t.by_age" was dropped']],
  ['DROP VIEW v', ['view "S.v" was dropped']],
  ['ALTER TABLE t DROP COLUMN mine', ['column "S.t.mine" (text) was dropped']],
  ['REVOKE ALL ON other FROM CURRENT_USER', [/^table "S\.other": grants .* → none$/]],
  ['ALTER TABLE t DISABLE TRIGGER ALL', []],
  ['CREATE TABLE unclaimed (id int REFERENCES t)', []],
  ['VACUUM FULL t', []],
  ['REINDEX TABLE t', []],
  [
    'DROP TABLE other; CREATE TABLE other (id int PRIMARY KEY)',
    ['table "S.other" was created', 'table "S.other" was dropped'],
  ],
])('of what others do is told: %s', async (byHand, words) => {
  const of = await begun();
  await work('ALTER TABLE t ADD COLUMN mine text', of);
  expect(await driftWords(of.run)).toEqual([]);
  for (const statement of byHand.split('; ')) {
    await bench.database.session(async (session) => {
      await session.query(`SET search_path = ${of.schema}`);
      await session.query(statement);
    });
  }
  const told = (await driftWords(of.run)).map((one) => one.replaceAll(of.schema, 'S'));
  expect(told).toHaveLength(words.length);
  for (const [index, word] of words.entries()) expect(told[index]).toMatch(word);
});

test('the run itself may keep in step, take out of use and drop', async () => {
  const at = await openCase(
    bench,
    `contract_${++runs}`,
    `CREATE TABLE users (id int PRIMARY KEY, full_name text NOT NULL, given_name text);
     CREATE INDEX by_name ON users (full_name); CREATE TABLE logs (id int)`,
  );
  const relations = ['users', 'logs'].map((name) => ({ schema: at.schema, name }));
  await bench.database.transaction((session) => takeBaseline(session, at.run, relations));
  const sides = { up: { given_name: 'full_name' }, down: { full_name: 'given_name' } };
  const steps = [
    at.step('dual-write', { table: 'users', ...sides }),
    at.step('retire', { column: 'users.full_name' }),
    at.step('retire', { id: 'retire-logs', table: 'logs' }),
    at.step('drop', { column: 'users.full_name', retention: '0s' }),
    at.step('drop', { id: 'drop-logs', table: 'logs', retention: '0s' }),
  ];
  for (const step of steps) {
    await at.act('up', step);
    expect(await driftWords(at.run), step.id).toEqual([]);
  }
  await at.query('ALTER TABLE users ADD COLUMN nick text');
  expect(await driftWords(at.run)).toHaveLength(1);
});

test('a worker that was frozen since an earlier epoch leaves the baseline of the newer one alone', async () => {
  const { run, relations } = await begun();
  const newer = { ...run, epoch: 2 };
  await bench.database.transaction((session) => takeBaseline(session, newer, relations));
  expect(await readBaseline(bench.database, run)).toBeNull();
  await bench.database.transaction((session) => takeBaseline(session, run, relations));
  expect(await readBaseline(bench.database, newer)).not.toBeNull();
});

describe('a worker that dies', () => {
  const CASES: [string, string, CrashKind][] = [
    ['at a statement', 'ALTER TABLE t ADD COLUMN a int', 'lost'],
    ['at a build', 'CREATE INDEX CONCURRENTLY x ON t (email)', 'lost'],
    ['in a build', 'CREATE INDEX CONCURRENTLY x ON t (email)', 'running'],
  ];
  test.each(CASES)('%s: wherever it is', async (_, up, kind) => {
    const whole = await begun();
    line.disarm();
    const databases = new Databases({ app: { url: line.url } });
    await work(up, whole, databases);
    await databases.close();
    // From right before the statement on: until then it has changed nothing.
    const first = line.statements.findIndex(({ text }) => text === up);
    const count = line.statements.length;
    expect(first).toBeGreaterThan(0);
    expect(count - first).toBeGreaterThan(4);
    for (let at = first; at <= count; at++) {
      const of = await begun();
      const dying = new Databases({ app: { url: line.url } });
      line.arm(at, kind);
      const died = await work(up, of, dying).then(
        () => false,
        () => true,
      );
      await dying.close();
      expect(await driftWords(of.run), `dead at ${at}: ${line.brokenAt}`).toEqual([]);
      if (died) await work(up, of);
      expect(await driftWords(of.run), `gone on after ${at}: ${line.brokenAt}`).toEqual([]);
    }
  });
});
