import { expect, onTestFinished, test } from 'vitest';
import { Databases } from '../../src/adapters/postgres/database.ts';
import type { Progress } from '../../src/messages/index.ts';
import { dataRoom, effects, users } from './room.ts';
import { until } from './throttle-room.ts';

const { dualWrite, backfill, verify } = effects;

const migrated = async (rows: number) => {
  const room = await dataRoom(users(rows));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await backfill.up(room.backfill(), room.bench.context());
  return room;
};
const clean = '0 of 2,000 rows differ (1 pass)';

test('a capped pass goes by pieces, tells how far it is, and another speed is in force when it goes on', async () => {
  const room = await migrated(2_000);
  const told: Progress[] = [];
  const stop = new AbortController();
  const context = room.bench.context({ signal: stop.signal, onNote: () => told.length > 2 && stop.abort('faster') });
  const report = context.report.bind(context);
  const telling = {
    ...context,
    report: (details: Parameters<typeof report>[0]) => {
      if (details.progress !== null) told.push(details.progress);
      report(details);
    },
  };
  const capped = room.verify({ chunk: { rows: 200 }, throttle: { maxRowsPerSecond: 1_000 } });
  await expect(verify.up(capped, telling)).rejects.toBe('faster');
  expect(room.bench.notes[0]).toBe('pass 1: 0 differ, capped at 1,000 rows/s');
  expect(told[0]).toMatchObject({ done: 0, total: 2_000 });
  // Two pieces of about 200 rows are half a second's worth.
  expect(told.at(-1)?.done).toBeGreaterThan(200);
  expect(told.at(-1)?.done).toBeLessThan(700);
  const full = room.verify(
    { chunk: { rows: 200 }, throttle: { maxRowsPerSecond: 1_000 } },
    { throttle: { rowsPerSecond: 1_000_000, parallelism: 1, gentle: null } },
  );
  expect((await verify.up(full, room.bench.context())).note).toBe(clean);
  expect(await room.query('SELECT FROM switchback.budget')).toEqual([]);
});

test('gentle goes piece by piece; while it stands still it holds no transaction', async () => {
  const room = await migrated(2_000);
  const databases = new Databases({ app: { url: room.url, replicas: ['postgres://127.0.0.1:1/gone'] } });
  onTestFinished(() => databases.close());
  const stop = new AbortController();
  const still = Promise.withResolvers<void>();
  const running = verify.up(
    room.verify({ throttle: { maxReplicaLag: '1s' } }),
    room.bench.context({
      databases,
      signal: stop.signal,
      onNote: (note) => note.endsWith('stands still') && still.resolve(),
    }),
  );
  running.catch(still.reject);
  await still.promise;
  const open = "SELECT query FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
  expect(await room.query(open)).toEqual([]);
  stop.abort('enough');
  await expect(running).rejects.toBe('enough');
  const gentle = room.verify({ throttle: { gentle: true }, chunk: { rows: 1_000 } });
  expect((await verify.up(gentle, room.bench.context())).note).toBe(clean);
  expect(room.bench.notes).toContain(
    'pass 1: 0 differ, gentle: small chunks, one at a time, and longer rests than work',
  );
});

test('a statement that is ended before it is done is followed by shorter ones', async () => {
  const room = await dataRoom(`CREATE TABLE users (id int PRIMARY KEY, a int, b int);
    INSERT INTO users SELECT i, i, i FROM generate_series(1, 400) i; ANALYZE users;
    CREATE TABLE gate (open boolean); INSERT INTO gate VALUES (false);
    CREATE FUNCTION behind_the_gate(a int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
      WHILE NOT (SELECT open FROM public.gate) LOOP PERFORM pg_sleep(0.005); END LOOP; RETURN a; END $$`);
  const step = room.verify({ expect: { b: 'public.behind_the_gate(a)' }, chunk: { rows: 100 } });
  const running = verify.up(step, room.bench.context());
  const ended =
    "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT count(*) AS checked%'";
  await until(room.database, `${ended} AND query NOT LIKE '%$1%'`);
  await until(room.database, `${ended} AND query LIKE '%$1%'`);
  await room.query('UPDATE public.gate SET open = true');
  expect((await running).note).toBe('0 of 400 rows differ (1 pass)');
});
