import { expect, onTestFinished, test } from 'vitest';
import type { Row, Value } from '../../src/adapters/postgres/database.ts';
import { acrossRoom } from '../data/across-room.ts';
import { dataRoom, effects, users } from '../data/room.ts';

type Query = (sql: string, values?: readonly Value[]) => Promise<Row[]>;
const REPAIRS = { repairs: 'names' };
const queue = (query: Query, key: string, when: string): Promise<Row[]> =>
  query(
    `INSERT INTO switchback.repairs (environment, flag, key, side, error_class, last_failed_at)
     VALUES ('development', 'names', $1, 'new', '53300', clock_timestamp() + $2::interval)`,
    [key, when],
  );
const left = async (query: Query): Promise<(string | null | undefined)[]> =>
  (await query('SELECT key FROM switchback.repairs ORDER BY id')).map((row) => row['key']);

test('a clean pass takes off what was queued before it began, and nothing that came since', async () => {
  const room = await dataRoom(users(200));
  const { dualWrite, backfill, verify } = effects;
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await backfill.up(room.backfill(), room.bench.context());
  await queue(room.query, 'before', '-1 s');
  await queue(room.query, 'since', '1 h');
  await verify.up(room.verify({ id: 'other' }), room.bench.context());
  expect(await left(room.query)).toEqual(['before', 'since']);
  await room.query(
    "BEGIN; SET LOCAL session_replication_role = replica; UPDATE public.users SET given_name = 'wrong' WHERE id = 5; COMMIT",
  );
  const differing = verify.up(room.verify({ id: 'strict', onMismatch: 'fail', ...REPAIRS }), room.bench.context());
  await expect(differing).rejects.toMatchObject({ code: 'VerifyMismatch' });
  expect(await left(room.query)).toEqual(['before', 'since']);
  const result = await verify.up(room.verify({ id: 'mending', ...REPAIRS }), room.bench.context());
  expect(result.note).toBe('0 of 200 rows differ (2 passes, 1 repaired)');
  expect(await left(room.query)).toEqual(['since']);
  expect(room.bench.notes).toContain('1 queued key of flag names proven');
});

test('a pass that was begun before a crash proves what was queued before it began, not before it was resumed', async () => {
  const room = await dataRoom(users(4_000));
  const { dualWrite, backfill, verify } = effects;
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await backfill.up(room.backfill(), room.bench.context());
  const step = { chunk: { rows: 100 }, throttle: { maxRowsPerSecond: 1_000_000 }, ...REPAIRS };
  const killed = new AbortController();
  const started = verify.up(
    room.verify({ ...step, throttle: { maxRowsPerSecond: 2_000 } }),
    room.bench.context({ signal: killed.signal, onNote: () => killed.abort(new Error('the worker dies')) }),
  );
  await expect(started).rejects.toThrow('the worker dies');
  const [pass] = await room.query(
    "SELECT detail->'verify'->>'beganAt' AS at FROM switchback.steps WHERE step = 'check'",
  );
  expect(pass?.['at']).toBeTruthy();
  await queue(room.query, 'meanwhile', '0 s');
  await verify.up(room.verify(step), room.bench.context());
  expect(await left(room.query)).toEqual(['meanwhile']);
});

test('the same of two tables', async () => {
  const room = await acrossRoom();
  onTestFinished(() => room.close());
  const table =
    'CREATE TABLE names (id bigint PRIMARY KEY, name text); INSERT INTO names SELECT n, n::text FROM generate_series(1, 50) n';
  await room.make(table, table);
  const query: Query = (sql, values) => room.query('left', sql, values);
  await queue(query, 'before', '-1 s');
  await queue(query, 'since', '1 h');
  const side = (database: string) => ({ database, table: 'names', columns: ['name'] });
  await room.verify({ left: side('left'), right: side('right'), ...REPAIRS });
  expect(await left(query)).toEqual(['since']);
});
