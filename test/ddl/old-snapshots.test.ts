import { expect, test } from 'vitest';
import { type ConcurrentWork, oldTransactions } from '../../src/adapters/postgres/old-snapshots.ts';
import { phaseRate, reportBuild } from '../../src/adapters/postgres/index-progress.ts';
import type { DdlWork } from '../../src/adapters/postgres/ddl-record.ts';
import { type DdlBench, ddlBench } from './bench.ts';
import { otherSession } from './other-session.ts';

const TABLES = `CREATE TABLE public.users (id int PRIMARY KEY); CREATE TABLE public.other (id int PRIMARY KEY);
  CREATE INDEX users_id ON public.users (id); INSERT INTO public.users VALUES (1)`;
const SNAPSHOT = (table: string) => `BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM public.${table}`;

async function sessions(bench: DdlBench) {
  const [elsewhere, writer, reader, idle] = [
    await otherSession(bench, 'nightly-report'),
    await otherSession(bench, 'importer'),
    await otherSession(bench, 'web'),
    await otherSession(bench, 'psql'),
  ];
  await elsewhere.query(SNAPSHOT('other'));
  await writer.query('BEGIN; UPDATE public.users SET id = id');
  // Read committed: between its statements it holds a lock and no snapshot.
  await reader.query('BEGIN; SELECT * FROM public.users');
  await idle.query('SELECT 1');
  return { elsewhere, writer, reader };
}
const names = async (bench: DdlBench, on: ConcurrentWork, olderThanMs: number): Promise<string[]> =>
  (await oldTransactions(bench.database, '0', { on, olderThanMs })).map(({ application }) => application).toSorted();

test('a build waits for snapshots anywhere and for writers; a drop for whoever uses the table', async () => {
  const bench = await ddlBench(TABLES);
  await sessions(bench);
  const build = { as: 'build', schema: 'public', relation: 'users' } as const;
  const drop = { as: 'drop', schema: 'public', relation: 'users_id' } as const;
  expect(await names(bench, build, 0)).toEqual(['importer', 'nightly-report']);
  expect(await names(bench, drop, 0)).toEqual(['importer', 'web']);
  // The young ones are gone by themselves soon.
  expect(await names(bench, build, 60_000)).toEqual([]);
});

test('they are named before the build, with what they do', async () => {
  const bench = await ddlBench(TABLES);
  const { elsewhere } = await sessions(bench);
  const named = Promise.withResolvers<string>();
  const work = {
    database: bench.database,
    onWait: (note: string) => note.includes('will wait for') && named.resolve(note),
  } as unknown as DdlWork;
  const on = { as: 'build', schema: 'public', relation: 'users' } as const;
  const stop = reportBuild(work, '0', 'builds index "x"', { on, olderThanMs: 0 });
  const note = await named.promise;
  await stop();
  expect(note).toMatch(/^builds index "x": will wait for pid \d+ \(/);
  expect(note).toContain(
    `pid ${elsewhere.pid} (nightly-report, idle in transaction for 0 s): BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM public.other`,
  );
});

test('while it waits for old snapshots, the note says for whose', async () => {
  const bench = await ddlBench(TABLES);
  const holder = await otherSession(bench, 'nightly-report');
  await holder.query(SNAPSHOT('other'));
  const waits = Promise.withResolvers<string>();
  const step = bench.step('CREATE INDEX CONCURRENTLY again ON users (id)');
  const built = bench.up(step, { onNote: (note) => note.includes('waits for') && waits.resolve(note) });
  const note = await waits.promise;
  expect(note).toContain('builds index "again": waiting for old snapshots');
  expect(note).toContain(`waits for pid ${holder.pid} (nightly-report, idle in transaction for`);
  await holder.query('COMMIT');
  await built;
  expect(bench.notes.filter((one) => one.includes('will wait for'))).toEqual([]);
});

test('the rate is that of the phase going on', () => {
  const rate = phaseRate();
  const row = (phase: string, done: number) => ({ phase, done: String(done), total: '1000' });
  expect(rate({ phase: 'initializing', done: '0', total: '0' }, 0)).toBeNull();
  expect(rate(row('scanning', 100), 1_000)).toEqual({ done: 100, total: 1000 });
  expect(rate(row('scanning', 300), 3_000)).toEqual({ done: 300, total: 1000, perSecond: 100, etaSeconds: 7 });
  expect(rate(row('sorting', 10), 4_000)).toEqual({ done: 10, total: 1000 });
});
