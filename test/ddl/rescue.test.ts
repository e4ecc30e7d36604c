import { expect, test } from 'vitest';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { StepOf } from '../../src/plan/index.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure, otherSession, until } from './other-session.ts';

/** What a rollback takes away with a column or a table is kept in `switchback.rescued`. */

const PEOPLE = `SET search_path = public;
  CREATE TABLE people (id int PRIMARY KEY, full_name text NOT NULL, note text);
  INSERT INTO people SELECT i, 'Given' || i || ' Family' || i, 'note' FROM generate_series(1, 20) i;`;
const rescued = (bench: DdlBench): Promise<unknown> =>
  bench.query(
    `SELECT "table", "column", array_to_string(key, '/') AS key, value FROM switchback.rescued ORDER BY "table", "column", place`,
  );
const count = async (bench: DdlBench): Promise<number> =>
  Number((await bench.query('SELECT count(*) FROM switchback.rescued'))[0]?.['count']);
/** Wide enough that a table counts as large: its values are copied while clients work. */
const MANY = `SET search_path = public;
  CREATE TABLE many (id int PRIMARY KEY, payload text);
  INSERT INTO many SELECT i, repeat('x', 200) FROM generate_series(1, 12000) i;`;

test('values of a column that goes are kept, by the key of their row; its default and NULL are not', async () => {
  const bench = await ddlBench(PEOPLE);
  const before = await bench.schema();
  const step = bench.step(`ALTER TABLE people ADD COLUMN "odd name" text DEFAULT 'none';
    ALTER TABLE people ADD COLUMN at timestamptz, ADD COLUMN score numeric(6,2);
    ALTER TABLE people ADD COLUMN twice int GENERATED ALWAYS AS (id * 2) STORED`);
  await bench.up(step);
  await bench.query(`UPDATE public.people SET "odd name" = 'it''s', score = 1.50 WHERE id = 3;
    UPDATE public.people SET at = '2026-01-02 03:04:05.678901+00' WHERE id = 7`);
  expect((await bench.down(step)).note).toBe('undid 3 of its statements; 3 values kept in switchback.rescued');
  expect(await bench.schema()).toEqual(before);
  expect(await rescued(bench)).toEqual([
    { table: 'people', column: 'at', key: '7', value: '2026-01-02 03:04:05.678901+00' },
    { table: 'people', column: 'odd name', key: '3', value: "it's" },
    { table: 'people', column: 'score', key: '3', value: '1.50' },
  ]);
  expect(
    await bench.query(`SELECT kind, direction, object, rows_changed, requested_by FROM switchback.lineage ORDER BY id`),
  ).toEqual([
    {
      kind: 'rescue',
      direction: 'down',
      object: '"public"."people"',
      rows_changed: '2',
      requested_by: 'test@example.com',
    },
    {
      kind: 'rescue',
      direction: 'down',
      object: '"public"."people"',
      rows_changed: '1',
      requested_by: 'test@example.com',
    },
  ]);
});

test('what a dual write derives from the old side is not kept; what it can’t give back is', async () => {
  const bench = await ddlBench(PEOPLE);
  const columns = bench.step('ALTER TABLE people ADD COLUMN given text, ADD COLUMN family text');
  await bench.up(columns);
  const sync = {
    id: 'sync',
    uses: 'dual-write',
    database: 'app',
    schema: 'public',
    table: 'people',
    up: { given: `split_part(full_name, ' ', 1)`, family: `split_part(people.full_name, ' ', 2)` },
    down: { full_name: `given || ' ' || family` },
    bothWritten: 'new',
    needs: [],
    guards: [],
  } as unknown as StepOf<'dual-write'>;
  await dualWrite.up(bench.input<'dual-write'>(sync), bench.context());
  // Old clients and new ones; the second name of the last has a space, which `up` can't give back.
  await bench.query(`UPDATE public.people SET full_name = 'Ada Lovelace' WHERE id = 1;
    UPDATE public.people SET given = 'Grace', family = 'Hopper' WHERE id = 2;
    UPDATE public.people SET given = 'Ludwig', family = 'van Beethoven' WHERE id = 3`);
  await dualWrite.down(bench.input<'dual-write'>(sync, { direction: 'down' }), bench.context());
  await bench.down(columns);
  expect(await rescued(bench)).toEqual([{ table: 'people', column: 'family', key: '3', value: 'van Beethoven' }]);
});

test('rows of a table that the step made are kept whole; a table without a key and a partition too', async () => {
  const bench = await ddlBench(`${PEOPLE}
    CREATE TABLE keyless (a int); INSERT INTO keyless VALUES (1), (1);
    CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at)`);
  const before = await bench.schema();
  const step = bench.step(`CREATE TABLE invoices (id int PRIMARY KEY, person int REFERENCES people, "Total €" numeric);
    ALTER TABLE keyless ADD COLUMN b text;
    CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')`);
  await bench.up(step);
  await bench.query(`SET search_path = public; INSERT INTO invoices VALUES (1, 2, 10.0), (2, NULL, NULL);
    UPDATE keyless SET b = 'x'; INSERT INTO events VALUES (1, '2026-05-05')`);
  await bench.down(step);
  expect(await bench.schema()).toEqual(before);
  expect(
    await bench.query(
      `SELECT "table", "column", array_to_string(key_columns, ',') AS by, value, "row"::text FROM switchback.rescued ORDER BY "table", key::text`,
    ),
  ).toEqual([
    { table: 'events_2026', column: '', by: 'id,at', value: null, row: '{"at": "2026-05-05", "id": "1"}' },
    { table: 'invoices', column: '', by: 'id', value: null, row: '{"id": "1", "person": "2", "Total €": "10.0"}' },
    { table: 'invoices', column: '', by: 'id', value: null, row: '{"id": "2", "person": null, "Total €": null}' },
    { table: 'keyless', column: 'b', by: '', value: 'x', row: '{"a": "1", "b": "x"}' },
    { table: 'keyless', column: 'b', by: '', value: 'x', row: '{"a": "1", "b": "x"}' },
  ]);
});

test('a large table: clients write on while values are copied, the worker dies in between, nothing is missed', async () => {
  const bench = await ddlBench(MANY);
  const before = await bench.schema();
  const step = bench.step('ALTER TABLE many ADD COLUMN value int; CREATE INDEX many_value ON many (value)');
  await bench.up(step);
  await bench.query('UPDATE public.many SET value = id WHERE id % 2 = 0');
  const over = new AbortController();
  const stopped = await failure(
    bench.down(step, {
      signal: over.signal,
      onNote: (note) => {
        if (note.startsWith('copies what would go')) over.abort(new Error('the worker is gone'));
      },
    }),
  );
  expect(stopped.message).toBe('the worker is gone');
  const [hidden] = await bench.query(
    `SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.many'::regclass AND attname LIKE 'zz_switchback_%'`,
  );
  expect(hidden).toEqual({ count: '1' });
  // Rows move to other pages, and to other keys.
  await bench.query(`UPDATE public.many SET payload = payload || 'y'; DELETE FROM public.many WHERE id = 12000;
    UPDATE public.many SET id = -id WHERE id BETWEEN 11000 AND 11100`);
  await Promise.all([bench.down(step), bench.down(step)]);
  expect(await bench.schema()).toEqual(before);
  // Each even number once, whatever key its row had then; the deleted row's where it was copied before.
  const [kept] = await bench.query(
    `SELECT count(DISTINCT value) AS numbers, count(*) FILTER (WHERE abs(key[1]::int) <> value::int) AS wrong FROM switchback.rescued`,
  );
  expect(kept?.['wrong']).toBe('0');
  expect(['5999', '6000']).toContain(kept?.['numbers']);
});

test('a large table that the step made leaves its parent first; its rows are kept, then it goes', async () => {
  const bench = await ddlBench(`SET search_path = public;
    CREATE TABLE log (id int NOT NULL, text text) PARTITION BY RANGE (id)`);
  const before = await bench.schema();
  const step = bench.step('CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (100000)');
  await bench.up(step);
  await bench.query(`INSERT INTO public.log SELECT i, repeat('z', 200) FROM generate_series(1, 8000) i`);
  await bench.down(step);
  expect(await bench.schema()).toEqual(before);
  expect(await count(bench)).toBe(8000);
});

test('an expression that a row doesn’t suit keeps more, and stops nothing', async () => {
  const bench = await ddlBench(PEOPLE);
  const columns = bench.step('ALTER TABLE people ADD COLUMN number int');
  await bench.up(columns);
  await bench.query(`UPDATE public.people SET number = id WHERE id < 3;
    INSERT INTO switchback.steps (migration, version, epoch, step, phase, kind, state, generation, detail)
    VALUES ('test-migration', 1, 1, 'fill', 'expand', 'backfill', 'undone', 1,
      '{"filled": {"schema": "public", "table": "people", "set": {"number": "note::int"}}}')`);
  await bench.down(columns);
  expect(await count(bench)).toBe(2);
});

test('a column that others have built on is neither hidden nor dropped', async () => {
  const bench = await ddlBench(MANY);
  const step = bench.step('ALTER TABLE many ADD COLUMN value int DEFAULT 1');
  await bench.up(step);
  await bench.query(
    'CREATE VIEW public.theirs AS SELECT id, value FROM public.many; UPDATE public.many SET value = 2 WHERE id = 1',
  );
  const error = await failure(bench.down(step));
  expect(error.code).toBe('SchemaDrift');
  expect(error.message).toContain('view public.theirs depends on column value of table public.many');
  expect(await bench.query('SELECT count(*) FROM public.many WHERE value = 2')).toEqual([{ count: '1' }]);
  await bench.query('DROP VIEW public.theirs');
  await bench.down(step);
  expect(await rescued(bench)).toEqual([{ table: 'many', column: 'value', key: '1', value: '2' }]);
});

test('what a client commits while the drop waits for its lock is kept too', async () => {
  const bench = await ddlBench(PEOPLE);
  const step = bench.step('ALTER TABLE people ADD COLUMN late text');
  await bench.up(step);
  const client = await otherSession(bench);
  await client.query(`BEGIN; UPDATE public.people SET late = 'x' WHERE id = 5`);
  const undone = bench.down(step);
  await until(
    bench,
    `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'switchback%'
       AND cardinality(pg_blocking_pids(pid)) > 0`,
  );
  await client.query('COMMIT');
  await undone;
  expect(await rescued(bench)).toEqual([{ table: 'people', column: 'late', key: '5', value: 'x' }]);
});
