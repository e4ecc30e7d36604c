import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { backfill } from '../../src/activities/backfill.ts';
import { dualWrite } from '../../src/activities/dual-write.ts';
import type { Effect } from '../../src/activities/effect.ts';
import { retire } from '../../src/activities/retire.ts';
import { verify } from '../../src/activities/verify.ts';
import type { Direction } from '../../src/messages/index.ts';
import type { Kind, StepOf } from '../../src/plan/index.ts';
import { oldTransactions } from '../../src/adapters/postgres/old-snapshots.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type Postgres14, postgres14 } from '../harness/postgres-14.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { failure, kill, otherSession, ourWaiting, until } from './other-session.ts';
import { REVERSIBLE, TABLES } from './reversible.ts';

/** The oldest version that we work with: what differs there is the catalog, NOT NULL without a name, and RETURNING. */
let server: Postgres14;
let bench: DdlBench;
beforeAll(async () => {
  server = await postgres14();
  bench = await ddlBench(TABLES, server.url);
});
afterAll(async () => {
  await bench.drop();
  await server.stop();
});

const parse = <K extends Kind>(uses: K, fields: object): StepOf<K> =>
  stepKinds[uses].parse({ id: uses, uses, database: 'app', ...fields }) as StepOf<K>;
const sync = parse('dual-write', {
  table: 'people',
  up: { given_name: "split_part(full_name, ' ', 1)", family_name: "split_part(full_name, ' ', 2)" },
  down: { full_name: "given_name || ' ' || family_name" },
});
const act = <K extends Kind>(effect: Effect<K>, direction: Direction, step: StepOf<K>) =>
  effect[direction](
    bench.input(step, { direction, of: 'of' in step && step.of !== undefined ? sync : null }),
    bench.context(),
  );

test('it is Postgres 14', async () => {
  expect(await bench.query(`SELECT current_setting('server_version_num')::int / 10000 AS version`)).toEqual([
    { version: '14' },
  ]);
});

let steps = 0;
describe('rollback from the catalog', () => {
  let before: unknown;
  beforeAll(async () => {
    before = await bench.schema();
  });
  test.each(Object.entries(REVERSIBLE))('%s comes back', async (_name, sql) => {
    const step = bench.step(sql, { id: `change-${++steps}` });
    await bench.up(step);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });
});

describe('indexes', () => {
  test('CREATE INDEX CONCURRENTLY: killed half-way, built anew, undone', async () => {
    const before = await bench.schema();
    const holder = await otherSession(bench);
    await holder.query('BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1 FROM public.users LIMIT 1');
    const step = bench.step('CREATE UNIQUE INDEX CONCURRENTLY by_name ON users (lower(full_name))', { id: 'index' });
    const first = failure(bench.up(step));
    await kill(bench, await ourWaiting(bench, 'CREATE UNIQUE INDEX CONCURRENTLY'));
    await first;
    await holder.query('COMMIT');
    await bench.up(step);
    expect(
      await bench.query(`SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = 'public.by_name'::regclass`),
    ).toEqual([{ valid: 't' }]);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });

  test('DROP INDEX CONCURRENTLY and back', async () => {
    const before = await bench.schema();
    const step = bench.step('DROP INDEX CONCURRENTLY users_email', { id: 'no-index' });
    await bench.up(step);
    expect(await bench.schema()).not.toEqual(before);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });
});

describe('who is in the way', () => {
  test('a prepared transaction is named by its own name', async () => {
    const other = await otherSession(bench);
    await other.query(`BEGIN; UPDATE public.teams SET name = 'x'; PREPARE TRANSACTION 'transfer 1'`);
    onTestFinished(async () => {
      await other.query(`ROLLBACK PREPARED 'transfer 1'`).catch(() => undefined);
    });
    const named = Promise.withResolvers<string>();
    const step = bench.step('ALTER TABLE teams ADD COLUMN more text', { id: 'prepared' });
    const applied = bench.up(step, {
      onNote: (note) => note.includes('"transfer 1"') && named.resolve(note),
    });
    expect(await named.promise).toContain('prepared transaction "transfer 1" (for');
    const on = { as: 'build', schema: 'public', relation: 'teams' } as const;
    expect(await oldTransactions(bench.database, '0', { on, olderThanMs: 0 })).toMatchObject([
      { kind: 'prepared', application: 'transfer 1' },
    ]);
    await other.query(`ROLLBACK PREPARED 'transfer 1'`);
    await applied;
    await bench.down(step);
  });

  test('autovacuum gives way, though our tries are shorter than what it waits for by itself', async () => {
    // A vacuum that takes hours where nobody disturbs it.
    await bench.query(`CREATE TABLE public.vacuumed (id int) WITH (autovacuum_vacuum_threshold = 1, autovacuum_vacuum_scale_factor = 0,
        autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1);
      INSERT INTO public.vacuumed SELECT generate_series(1, 50000); DELETE FROM public.vacuumed WHERE id % 2 = 0`);
    await until(bench, `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'autovacuum: VACUUM%public.vacuumed%'`);
    const step = bench.step('ALTER TABLE vacuumed ADD COLUMN more text', { id: 'vacuumed' });
    await bench.up(step);
    expect(bench.notes.filter((note) => note.includes('autovacuum worker'))).not.toEqual([]);
    await bench.down(step);
    await bench.query('DROP TABLE public.vacuumed');
  });
});

describe('safe forms', () => {
  test.each([
    'ALTER TABLE large ADD CONSTRAINT one_n UNIQUE (n)',
    'ALTER TABLE large ADD CONSTRAINT positive CHECK (n > 0)',
    'ALTER TABLE large ALTER COLUMN n SET NOT NULL',
    'ALTER TABLE large ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid()',
    'ALTER TABLE large ADD COLUMN team_id int REFERENCES teams (id)',
    'CREATE INDEX large_n ON large (n)',
  ])('%s', async (sql) => {
    await bench.query('CREATE TABLE IF NOT EXISTS public.large AS SELECT generate_series(1, 500) AS n');
    await bench.query('ANALYZE public.large');
    const before = await bench.schema();
    const step = bench.step(sql, { id: `safe-${++steps}` });
    await bench.up(step);
    expect(await bench.schema()).not.toEqual(before);
    await bench.down(step);
    expect(await bench.schema()).toEqual(before);
  });
});

describe('data', () => {
  test('dual write, backfill, verify, retire and back', async () => {
    await bench.query(`CREATE TABLE public.people (id int PRIMARY KEY, full_name text NOT NULL, given_name text, family_name text);
      INSERT INTO public.people SELECT i, 'Ada No' || i FROM generate_series(1, 500) i`);
    const before = await bench.schema();
    await act(dualWrite, 'up', sync);
    await bench.query(`INSERT INTO public.people (id, given_name, family_name) VALUES (501, 'Grace', 'Hopper')`);
    const fill = parse('backfill', { of: 'dual-write', chunk: { rows: 100, fixed: true } });
    expect((await act(backfill, 'up', fill)).note).toContain('500');
    expect((await act(verify, 'up', parse('verify', { of: 'dual-write' }))).note).toContain('501');
    const retired = parse('retire', { column: 'people.full_name' });
    await act(retire, 'up', retired);
    await bench.query(`UPDATE public.people SET given_name = 'Augusta' WHERE id = 1;
      INSERT INTO public.people (id, given_name, family_name) VALUES (502, 'Alan', 'Turing')`);
    await act(retire, 'down', retired);
    expect(await bench.query('SELECT full_name FROM public.people WHERE id IN (1, 501, 502) ORDER BY id')).toEqual([
      { full_name: 'Augusta No1' },
      { full_name: 'Grace Hopper' },
      { full_name: 'Alan Turing' },
    ]);
    await act(backfill, 'down', fill);
    await act(dualWrite, 'down', sync);
    expect(await bench.schema()).toEqual(before);
  });

  test('NOT NULL that comes back through its stand-in finds rows that hold NULL', async () => {
    await bench.query(`CREATE TABLE public.things (id int PRIMARY KEY, name text NOT NULL);
      INSERT INTO public.things VALUES (1, 'a')`);
    const before = await bench.schema();
    const retired = parse('retire', { id: 'things', column: 'things.name' });
    await act(retire, 'up', retired);
    await bench.query('INSERT INTO public.things (id) VALUES (2)');
    expect((await failure(act(retire, 'down', retired))).message).toContain('holds NULL in some rows');
    // The column is back already; new rows are held to it meanwhile.
    expect((await failure(bench.query('INSERT INTO public.things (id) VALUES (3)'))).message).toContain(
      'violates check',
    );
    await bench.query(`UPDATE public.things SET name = 'b' WHERE id = 2`);
    await act(retire, 'down', retired);
    expect(await bench.schema()).toEqual(before);
  });
});

test('two tables are kept in step, filled, compared and repaired', async () => {
  await bench.query(`CREATE TABLE public.owners (id int PRIMARY KEY, bio text, kind text);
    CREATE TABLE public.bios (owner_id bigint PRIMARY KEY, about text);
    INSERT INTO public.owners SELECT i, 'bio ' || i, 'x' FROM generate_series(1, 500) i`);
  const pairs = parse('dual-write', {
    from: { table: 'owners', key: 'id' },
    to: { table: 'bios', key: 'owner_id' },
    up: { about: 'bio' },
    down: { bio: 'about' },
  });
  const work = <K extends Kind>(effect: Effect<K>, direction: Direction, step: StepOf<K>) =>
    effect[direction](
      bench.input(step, { direction, of: 'of' in step ? pairs : null, run: bench.run({ epoch: 14 }) }),
      bench.context(),
    );
  await work(dualWrite, 'up', pairs);
  await bench.query("UPDATE public.owners SET id = -1 WHERE id = 1; UPDATE public.owners SET bio = 'old' WHERE id = 2");
  await bench.query("INSERT INTO public.bios VALUES (3, 'new'); DELETE FROM public.owners WHERE id = 4");
  await work(backfill, 'up', parse('backfill', { of: pairs.id, chunk: { rows: 100, fixed: true } }));
  expect(await bench.query('SELECT owner_id, about FROM public.bios WHERE owner_id < 5 ORDER BY 1')).toEqual([
    { owner_id: '-1', about: 'bio 1' },
    { owner_id: '2', about: 'old' },
    { owner_id: '3', about: 'new' },
  ]);
  await bench.query(`ALTER TABLE public.bios DISABLE TRIGGER USER; DELETE FROM public.bios WHERE owner_id = 9;
    UPDATE public.bios SET about = 'planted' WHERE owner_id = 10; ALTER TABLE public.bios ENABLE TRIGGER USER`);
  const { note } = await work(verify, 'up', parse('verify', { of: pairs.id }));
  expect(note).toContain('0 of 499 rows differ (2 passes, 2 repaired)');
  await work(dualWrite, 'down', pairs);
  await bench.query('DROP TABLE public.owners, public.bios');
});
