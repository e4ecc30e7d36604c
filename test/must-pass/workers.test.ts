import { expect, onTestFinished, test } from 'vitest';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { type DataRoom, dataRoom, effects, users } from '../data/room.ts';
import { crashLine } from '../harness/crash-line.ts';
import { lineTo } from '../harness/line.ts';
import { gateAt, until } from './gate.ts';

const { dualWrite, backfill, verify } = effects;
const CHUNKS = { chunk: { rows: 50, fixed: true } };

/** Each write of the backfill, with the session that made it: the marker goes from NULL to its value. */
async function withAudit(rows: number): Promise<DataRoom> {
  const room = await dataRoom(users(rows));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const marker = await room.value(
    "SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname LIKE 'zz\\_switchback\\_%'",
  );
  await room.query(`CREATE TABLE public.filled (id bigint, pid int);
    CREATE FUNCTION public.note_fill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.filled VALUES (new.id, pg_backend_pid()); RETURN new; END $$;
    CREATE TRIGGER note_fill AFTER UPDATE ON public.users FOR EACH ROW
      WHEN (old."${marker}" IS NULL AND new."${marker}" = 2) EXECUTE FUNCTION public.note_fill()`);
  return room;
}
async function expectOnce(room: DataRoom, rows: number): Promise<void> {
  expect(await room.query('SELECT count(*) AS times, count(DISTINCT id) AS rows FROM public.filled')).toEqual([
    { times: String(rows), rows: String(rows) },
  ]);
}
/** A worker of its own, over another way to the database; its connections end with the test. */
function worker(url: string): Databases {
  const databases = new Databases({ app: { url } });
  onTestFinished(() => databases.close());
  return databases;
}

test.each(['lost', 'running', 'ended'] as const)(
  'must pass 12. a worker dies after a chunk’s commit, before the answer (%s): another one goes on, every row once',
  async (kind) => {
    const room = await withAudit(400);
    const line = await crashLine(room.url, (pid) => room.query('SELECT pg_terminate_backend($1)', [pid]));
    onTestFinished(() => line.close());
    line.armAt((text) => text.startsWith('CALL'), kind);
    const dying = backfill.up(room.backfill(CHUNKS), room.bench.context({ databases: worker(line.url) }));
    await expect(dying).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
    // A client comes between the two workers.
    await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id IN (7, 399)");
    const byClient = Number(
      await room.value(
        'SELECT count(*) FROM public.users WHERE id IN (7, 399) AND id NOT IN (SELECT id FROM public.filled)',
      ),
    );
    await backfill.up(room.backfill(CHUNKS), room.bench.context());
    await expectOnce(room, 400 - byClient);
    expect(
      await room.value(
        "SELECT count(*) FROM public.users WHERE full_name = 'Jean Luc Picard' AND given_name = 'Jean Luc'",
      ),
    ).toBe('2');
    expect((await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context())).note).toContain('0 of 400');
  },
);

test('must pass 12. a backend dies between a chunk’s write and its cursor: they went together, every row once', async () => {
  const room = await dataRoom(
    'CREATE TABLE users (id int PRIMARY KEY, times int DEFAULT 0); INSERT INTO users SELECT i FROM generate_series(1, 200) i; ANALYZE users',
  );
  const step = { ...CHUNKS, set: { times: 'times + 1' } };
  const gate = await gateAt(room, 'new.keys_done = 100', 'switchback.ranges');
  const filling = backfill.up(room.backfill(step), room.bench.context());
  await gate.reached(filling);
  await room.query(
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CALL%'",
  );
  await expect(filling).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
  await gate.open();
  await backfill.up(room.backfill(step), room.bench.context());
  expect(await room.query('SELECT times, count(*) FROM public.users GROUP BY times')).toEqual([
    { times: '1', count: '200' },
  ]);
});

test('must pass 13. a frozen worker that wakes up after another took over writes nothing', async () => {
  const room = await withAudit(600);
  const line = await lineTo(room.url);
  const first = await gateAt(room, 'old.id = 11');
  const slow = { ...CHUNKS, throttle: { maxRowsPerSecond: 100 } };
  const frozen = backfill.up(room.backfill(slow), room.bench.context({ databases: worker(line.url) }));
  const ended = frozen.then(
    () => null,
    (error: unknown) => error,
  );
  await first.reached(frozen);
  line.hold();
  await first.open();
  // The server ends the slice under way; the worker doesn't hear of it, and sends nothing until it wakes up.
  await until(
    room,
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CALL%' AND state = 'idle'",
  );
  const pids = await room.value('SELECT array_agg(DISTINCT pid) FROM public.filled');
  const before = await room.value('SELECT count(*) FROM public.filled');
  await room.bench.raiseFence(2);
  line.mend();
  // Nobody holds the range now, so that nothing but the generation keeps it from going on.
  expect(await ended).toMatchObject({ code: 'Fenced' });
  expect(await room.value('SELECT count(*) FROM public.filled')).toBe(before);
  await backfill.up({ ...room.backfill(CHUNKS), run: room.bench.run({ generation: 2 }) }, room.bench.context());
  expect(await room.value('SELECT count(*) FROM public.filled WHERE pid = ANY ($1::int[])', [pids])).toBe(before);
  await expectOnce(room, 600);
});

test('must pass 14. a poison row is named and held while clients write on; mended by one of them, it is done', async () => {
  const room = await dataRoom(
    'CREATE TABLE users (id int PRIMARY KEY, note text, n int, times int DEFAULT 0); ' +
      "INSERT INTO users SELECT i, i::text FROM generate_series(1, 300) i; UPDATE users SET note = 'poison' WHERE id = 120; ANALYZE users",
  );
  const step = { ...CHUNKS, set: { n: 'note::int', times: 'times + 1' } };
  const gate = await gateAt(room, 'old.id = 101');
  const filling = backfill.up(room.backfill(step), room.bench.context());
  await gate.reached(filling);
  // A row to come becomes one too, and a row behind the cursor, which no longer matters.
  await room.query("UPDATE public.users SET note = 'poison' WHERE id IN (5, 250)");
  await gate.open();
  await expect(filling).rejects.toMatchObject({ code: 'RowErrors', retry: false, fields: { keys: '120' } });
  expect(await room.value('SELECT count(*) FROM public.users WHERE id > 120 AND times > 0')).toBe('0');
  await room.query("UPDATE public.users SET note = '120' WHERE id = 120");
  // One more row is mended while the retry stands before it.
  const second = await gateAt(room, 'old.id = 201');
  const again = backfill.up(room.backfill({ ...step, maxRowErrors: 1 }), room.bench.context());
  await second.reached(again);
  await room.query(
    "UPDATE public.users SET note = 'poison' WHERE id = 251; UPDATE public.users SET note = '250' WHERE id = 250",
  );
  await second.open();
  expect((await again).note).toContain('1 row set aside');
  expect(await room.query('SELECT key FROM switchback.row_errors')).toEqual([{ key: '{251}' }]);
  expect(await room.query('SELECT times, count(*) FROM public.users GROUP BY times ORDER BY times')).toEqual([
    { times: '0', count: '1' },
    { times: '1', count: '299' },
  ]);
});
