import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure } from './other-session.ts';
import { REVERSIBLE, TABLES } from './reversible.ts';

/** One database for all of them: each leaves it as it found it, and the next one would notice if it didn't. */
function sharedBench(setUp: string): () => DdlBench {
  let bench: DdlBench;
  beforeAll(async () => {
    bench = await ddlBench(setUp);
  });
  afterAll(() => bench.drop());
  return () => bench;
}
let steps = 0;
async function upAndDown(bench: DdlBench, sql: string): Promise<void> {
  const before = await bench.schema();
  const step = bench.step(sql, { id: `change-${++steps}` });
  await bench.up(step);
  expect(await bench.schema()).not.toEqual(before);
  await bench.down(step);
  expect(await bench.schema()).toEqual(before);
}

describe('rollback from the catalog', () => {
  const bench = sharedBench(TABLES);
  test.each(Object.entries(REVERSIBLE))('%s comes back', async (_name, sql) => {
    await upAndDown(bench(), sql);
    expect(await bench().query('SELECT count(*) FROM public.users')).toEqual([{ count: '100' }]);
  });
});

const PARTITIONED = `SET search_path = public;
  CREATE TABLE events (id int NOT NULL, at date NOT NULL, kind text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
  CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
  CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  CREATE TABLE events_2028 (id int NOT NULL, at date NOT NULL, kind text);
  CREATE INDEX by_at ON events (at);
  CREATE TRIGGER noted BEFORE UPDATE ON events FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
  CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
  INSERT INTO events VALUES (1, '2025-05-05', 'x'), (2, '2026-05-05', 'y')`;

describe('a partitioned table comes back with its partitions', () => {
  const bench = sharedBench(PARTITIONED);
  test.each([
    `ALTER TABLE events ADD COLUMN a text NOT NULL DEFAULT '' CHECK (a <> 'b')`,
    'CREATE INDEX by_kind ON events (kind)',
    'ALTER TABLE events ADD CONSTRAINT one_kind UNIQUE (at, kind)',
    'ALTER TABLE events ALTER COLUMN kind SET NOT NULL',
    `ALTER TABLE events ALTER COLUMN kind SET DEFAULT 'z'`,
    'CREATE TRIGGER touched AFTER UPDATE ON events FOR EACH ROW EXECUTE FUNCTION touch()',
    'ALTER TABLE events RENAME COLUMN kind TO sort',
    `ALTER TABLE events ATTACH PARTITION events_2028 FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')`,
    `CREATE TABLE events_2027 PARTITION OF events FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')`,
  ])('%s', async (sql) => {
    await upAndDown(bench(), sql);
    expect(await bench().query('SELECT count(*) FROM public.events')).toEqual([{ count: '2' }]);
  });
});

test('a check that a partition has already would go with its table’s: it stays as it is', async () => {
  const bench = await ddlBench(`${PARTITIONED}; ALTER TABLE events_2025 ADD CONSTRAINT known CHECK (id > 0)`);
  const before = await bench.schema();
  const step = bench.step('ALTER TABLE events ADD CONSTRAINT known CHECK (id > 0)');
  expect(await failure(bench.up(step))).toMatchObject({ code: 'NotReversible' });
  await bench.down(step);
  expect(await bench.schema()).toEqual(before);
});

test('statements that build on each other are undone from the last to the first', async () => {
  const bench = await ddlBench(TABLES);
  const before = await bench.schema();
  const step = bench.step(`
    CREATE SCHEMA extra;
    CREATE TYPE extra.kind AS ENUM ('a', 'b');
    CREATE TABLE extra.notes (id serial PRIMARY KEY, kind extra.kind DEFAULT 'a', user_id bigint REFERENCES users);
    CREATE VIEW extra.all_notes AS SELECT n.*, u.full_name FROM extra.notes n JOIN users u ON u.id = n.user_id;
    ALTER TABLE users ADD COLUMN note_id int REFERENCES extra.notes;
    CREATE INDEX users_note ON users (note_id);
    ALTER TABLE users ALTER COLUMN note_id SET DEFAULT 7;
    ALTER TABLE extra.notes RENAME COLUMN kind TO sort;
    GRANT SELECT ON extra.all_notes TO PUBLIC`);
  await bench.up(step);
  await bench.down(step);
  expect(await bench.schema()).toEqual(before);
});

test('a table under row level security comes back all the same', async () => {
  const bench = await ddlBench(`${TABLES}; ALTER TABLE users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON users USING (age > 1)`);
  const before = await bench.schema();
  const step = bench.step(
    'ALTER TABLE users ADD COLUMN a int; DROP POLICY own ON users; DROP TRIGGER IF EXISTS nothing ON users',
  );
  await bench.up(step);
  await bench.down(step);
  expect(await bench.schema()).toEqual(before);
});
