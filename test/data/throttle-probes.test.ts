import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Pacer, startPacer } from '../../src/activities/pacer.ts';
import { readHttpProbe } from '../../src/adapters/metrics/http-probe.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { type Pressure, readPressure } from '../../src/adapters/postgres/pressure.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';
import { closedPort } from '../rollout/room.ts';
import { noted, until } from './throttle-room.ts';

let fresh: FreshDatabase;
let bench: EffectBench;
let app: Database;
beforeAll(async () => {
  fresh = await freshDatabase('probes');
  bench = await effectBench(fresh.url);
  app = bench.databases.get('app');
});
afterAll(async () => {
  await bench.close();
  await fresh.drop();
});

const pressure = (table: string, of = app): Promise<Pressure> =>
  readPressure(of, { schema: 'public', table, lockWaits: true }, 5_000);

/** A client that is not of ours. */
async function client(): Promise<pg.Client> {
  const one = new pg.Client({ connectionString: fresh.url, application_name: 'a service' });
  one.on('error', () => undefined);
  await one.connect();
  onTestFinished(() => one.end());
  return one;
}

/** Sends a statement that has to wait for a lock; answers once it does. */
async function waiting(one: pg.Client, statement: string): Promise<{ ended: Promise<unknown> }> {
  const { rows } = await one.query('SELECT pg_backend_pid() AS pid');
  const ended = one.query(statement).catch(() => undefined);
  await until(app, `SELECT pid FROM pg_locks WHERE pid = ${rows[0].pid} AND NOT granted`);
  return { ended };
}

/** The pacer of a backfill of `table` with this throttle; closed when the test ends. */
async function pacerOf(id: string, throttle: Record<string, unknown>, of: EffectBench = bench): Promise<Pacer> {
  const fields = { id, uses: 'backfill', database: 'app', table: 'paced', set: { a: '1' }, throttle };
  const step = stepKinds.backfill.parse(fields);
  const run = of.run({ migration: id });
  const pacer = await startPacer(
    of.input(step, { run }),
    { database: 'app', schema: 'public', table: 'paced' },
    of.context(),
  );
  onTestFinished(() => pacer.close());
  return pacer;
}

test('counted: sessions that wait for the table or a row of it; not those that wait elsewhere', async () => {
  await app.query('CREATE TABLE public.held (id int PRIMARY KEY, a int); INSERT INTO public.held VALUES (1)');
  await app.query('CREATE TABLE public.other (id int PRIMARY KEY)');
  const [holder, first, second, third, fourth] = await Promise.all([client(), client(), client(), client(), client()]);
  await holder.query('BEGIN; UPDATE public.held SET a = 1; LOCK TABLE public.other IN ACCESS EXCLUSIVE MODE');
  expect((await pressure('held')).lockWaits).toBe(0);
  const row = await waiting(first, 'UPDATE public.held SET a = 2');
  expect((await pressure('held')).lockWaits).toBe(1);
  const sameRow = await waiting(second, 'DELETE FROM public.held');
  expect((await pressure('held')).lockWaits).toBe(2);
  const table = await waiting(third, 'TRUNCATE public.held');
  expect((await pressure('held')).lockWaits).toBe(3);
  const elsewhere = await waiting(fourth, 'SELECT FROM public.other');
  expect((await pressure('held')).lockWaits).toBe(3);
  expect((await pressure('other')).lockWaits).toBe(1);
  await holder.query('ROLLBACK');
  await Promise.all([row, sameRow, table, elsewhere].map(({ ended }) => ended));
  expect((await pressure('held')).lockWaits).toBe(0);
});

test('counted: who waits for a session of ours, whatever for; not who waits so for another client', async () => {
  await app.query('CREATE TABLE public.keys (id int PRIMARY KEY); CREATE TABLE public.quiet (id int PRIMARY KEY)');
  const [holder, other] = await Promise.all([client(), client()]);
  const ours = await app.transaction(async (session) => {
    await session.query('INSERT INTO public.keys VALUES (1)');
    const insert = await waiting(other, 'INSERT INTO public.keys VALUES (1)');
    expect((await pressure('quiet')).lockWaits).toBe(1);
    return insert;
  });
  await ours.ended;
  await holder.query('BEGIN; INSERT INTO public.keys VALUES (2)');
  const theirs = await waiting(other, 'INSERT INTO public.keys VALUES (2)');
  expect((await pressure('quiet')).lockWaits).toBe(0);
  await holder.query('ROLLBACK');
  await theirs.ended;
});

test('a role without pg_monitor: what it may not see is said, and asked for where the plan needs it', async () => {
  const role = `small_${fresh.name}`;
  await app.query(`CREATE ROLE ${role} LOGIN PASSWORD 'of-a-test' IN ROLE pg_write_all_data`);
  await app.query(`GRANT ALL ON SCHEMA switchback TO ${role}; GRANT ALL ON ALL TABLES IN SCHEMA switchback TO ${role}`);
  const url = new URL(fresh.url);
  url.username = role;
  url.password = 'of-a-test';
  const small = new Database('app', { url: url.href });
  const sleeper = await client();
  const sleeping = sleeper.query('SELECT pg_sleep(60)').catch(() => undefined);
  const pid = await until(
    app,
    "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)' AND datname = current_database()",
  );
  onTestFinished(async () => {
    await app.query('SELECT pg_terminate_backend($1::int)', [pid]);
    await sleeping;
    await small.close();
    await app.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  });
  expect(await pressure('none')).toMatchObject({ activeConnections: 1, hiddenSessions: 0 });
  const seen = await pressure('none', small);
  expect(seen).toMatchObject({ activeConnections: 0, wraparoundVacuum: 'none', lockWaits: 0 });
  expect(seen.hiddenSessions).toBeGreaterThan(0);
});

test('dead rows of a table and its partitions are counted', async () => {
  await app.query(`CREATE TABLE public.parts (id int, a int) PARTITION BY RANGE (id);
    CREATE TABLE public.parts_low PARTITION OF public.parts FOR VALUES FROM (0) TO (50);
    CREATE TABLE public.parts_high PARTITION OF public.parts FOR VALUES FROM (50) TO (200);
    ALTER TABLE public.parts_low SET (autovacuum_enabled = false); ALTER TABLE public.parts_high SET (autovacuum_enabled = false)`);
  await app.session(async (session) => {
    await session.query('INSERT INTO public.parts SELECT i FROM generate_series(0, 99) i');
    await session.query('DELETE FROM public.parts WHERE id % 10 = 0');
    await session.query('SELECT pg_stat_force_next_flush()');
  });
  await until(app, "SELECT true FROM pg_stat_all_tables WHERE relname = 'parts_high' AND n_dead_tup = 5");
  expect(await pressure('parts')).toMatchObject({ deadRows: 10, liveRows: 90 });
});

test('throttle.sql above its limit slows down, below it lets the step come back; a query that fails counts as bad', async () => {
  await app.query('CREATE TABLE public.load (value int); INSERT INTO public.load VALUES (9)');
  const pacer = await pacerOf('by-sql', { sql: { query: 'select value from load', max: 5 } });
  expect(pacer.now()).toMatchObject({ rest: 1, note: 'throttle.sql gives 9, 5 allowed: at 50 % of full speed' });
  await app.query('UPDATE public.load SET value = 5');
  await noted(
    pacer,
    /^recovers, all is well again \(it was: throttle.sql gives 9, 5 allowed\): at 63 % of full speed$/,
  );
  await app.query('DROP TABLE public.load');
  await noted(pacer, /^throttle.sql does not answer \(.*"load" does not exist.*\): at \d+ % of full speed$/);
});

test('throttle.http: a number above its limit, an error, no number and no answer are bad', async () => {
  let answer = { status: 200, body: '3' };
  const server: Server = createServer((_, response) => response.writeHead(answer.status).end(answer.body));
  await new Promise<void>((listening) => void server.listen(0, '127.0.0.1', listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/load`;
  const look = (of: typeof answer, max?: number) => {
    answer = of;
    return readHttpProbe({ url: `${url}?token=secret`, max }, new AbortController().signal);
  };
  expect(await look({ status: 200, body: '3' }, 5)).toEqual({ ok: true, words: `${url} says 3, 5 allowed` });
  expect(await look({ status: 200, body: '5.5\n' }, 5)).toEqual({ ok: false, words: `${url} says 5.5, 5 allowed` });
  expect(await look({ status: 503, body: '3' }, 5)).toEqual({ ok: false, words: `${url} answers 503` });
  expect(await look({ status: 200, body: 'fine' }, 5)).toMatchObject({ ok: false });
  expect(await look({ status: 200, body: '' }, 5)).toMatchObject({ ok: false });
  expect(await look({ status: 204, body: '' })).toEqual({ ok: true, words: `${url} answers 204` });

  const down = await pacerOf('by-http', { http: { url: `http://127.0.0.1:${await closedPort()}/load` } });
  expect(down.now()).toMatchObject({
    rest: 1,
    note: expect.stringMatching(/^throttle.http does not answer \(.*\): at 50 %/),
  });
});

test('active connections and lock waits above their limits, in one note', async () => {
  await app.query('CREATE TABLE public.paced (id int PRIMARY KEY, a int); INSERT INTO public.paced VALUES (1)');
  const [holder, other] = await Promise.all([client(), client()]);
  await holder.query('BEGIN; UPDATE public.paced SET a = 1');
  const blocked = await waiting(other, 'UPDATE public.paced SET a = 2');
  const pacer = await pacerOf('by-sessions', { maxLockWaits: 0, maxActiveConnections: 0 });
  expect(pacer.now().note).toBe(
    '1 session waits for locks of the table, 0 allowed; 1 connection is active, 0 allowed: at 50 % of full speed',
  );
  await holder.query('ROLLBACK');
  await blocked.ended;
});

test('lag of replicas that the configuration does not have is refused, with what to do', async () => {
  await expect(pacerOf('by-lag', { maxReplicaLag: '2s' })).rejects.toMatchObject({
    code: 'ConfigInvalid',
    hint: expect.stringContaining('databases.app.replicas'),
  });
});
