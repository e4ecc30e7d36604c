import { expect, test } from 'vitest';
import { type DataRoom, dataRoom, effects, users } from '../data/room.ts';
import { clientOf, gateAt } from './gate.ts';

const { dualWrite, backfill, verify } = effects;
const CHUNKS = { chunk: { rows: 50, fixed: true } };
/** Writes past every trigger, as a restore does. */
const behindTheTriggers = (sql: string): string =>
  `BEGIN; SET LOCAL session_replication_role = replica; ${sql}; COMMIT`;

/** 200 rows under a dual write, the first chunk of the backfill stopped at its first row. */
async function inTheFirstChunk(setUp = ''): Promise<{ room: DataRoom; goOn(): Promise<void> }> {
  const room = await dataRoom(`${users(200)}; ${setUp}`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const gate = await gateAt(room, 'old.id = 1');
  const filling = backfill.up(room.backfill(CHUNKS), room.bench.context());
  await gate.reached(filling);
  return {
    room,
    async goOn() {
      await gate.open();
      await filling;
    },
  };
}
const names = (room: DataRoom, where: string) =>
  room.query(`SELECT id, full_name, given_name, family_name FROM public.users WHERE ${where} ORDER BY id`);
async function expectInStep(room: DataRoom, rows: number): Promise<void> {
  const { note } = await verify.up(room.verify({ onMismatch: 'fail' }), room.bench.context());
  expect(note).toBe(`0 of ${rows} rows differ (1 pass)`);
}

test('must pass 1. a row updated between a chunk’s pick and its write keeps the newest value', async () => {
  const { room, goOn } = await inTheFirstChunk();
  await room.query("UPDATE public.users SET full_name = 'Newest Old' WHERE id = 5");
  await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id = 7");
  await goOn();
  expect(await names(room, 'id IN (5, 7)')).toEqual([
    { id: '5', full_name: 'Newest Old', given_name: 'Newest', family_name: 'Old' },
    { id: '7', full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' },
  ]);
  await expectInStep(room, 200);
});

test('must pass 1. the same without a dual write: what is written follows from the row as it is by then', async () => {
  const room = await dataRoom(users(200));
  const [gate, holder] = [await gateAt(room, 'old.id = 1'), await clientOf(room)];
  await holder.query("BEGIN; UPDATE users SET full_name = 'Held Meanwhile' WHERE id = 8");
  const filling = backfill.up(room.backfill({ ...CHUNKS, set: { note: 'upper(full_name)' } }), room.bench.context());
  await gate.reached(filling);
  await room.query("UPDATE public.users SET full_name = 'Newest Old' WHERE id = 5");
  await gate.open();
  await holder.isWaitedFor();
  await holder.query('COMMIT');
  await filling;
  expect(await room.query('SELECT note FROM public.users WHERE id IN (5, 8) ORDER BY id')).toEqual([
    { note: 'NEWEST OLD' },
    { note: 'HELD MEANWHILE' },
  ]);
  expect(await room.value('SELECT count(*) FROM public.users WHERE note IS DISTINCT FROM upper(full_name)')).toBe('0');
});

test('must pass 2. a key changed across the cursor or above the bound, either way: no loss, no ghost, none unmigrated', async () => {
  const room = await dataRoom(users(200));
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const [gate, holder] = [await gateAt(room, 'old.id = 51'), await clientOf(room)];
  // The row that ends the second chunk goes far above the bound, in a transaction that is open when the chunk comes.
  await holder.query('BEGIN; UPDATE users SET id = 5000 WHERE id = 100');
  const filling = backfill.up(room.backfill(CHUNKS), room.bench.context());
  await gate.reached(filling);
  const moves = [
    [5, 5001],
    [6, 151],
    [60, 5002],
    [61, -61],
    [151, -151],
    [200, 5003],
    [199, 7],
    [70, 201],
  ] as const;
  await room.query('DELETE FROM public.users WHERE id IN (7, 151)');
  for (const [from, to] of moves) await room.query('UPDATE public.users SET id = $2 WHERE id = $1', [from, to]);
  await gate.open();
  await holder.isWaitedFor();
  await holder.query('COMMIT');
  await filling;
  const marker = await room.value(
    `SELECT attname FROM pg_attribute WHERE attrelid = 'public.users'::regclass AND attname LIKE 'zz\\_switchback\\_%'`,
  );
  expect(await room.value(`SELECT count(*) FROM public.users WHERE "${marker}" IS NULL`)).toBe('0');
  expect(
    await room.value('SELECT string_agg(id::text, $1 ORDER BY id) FROM public.users WHERE id > 198 OR id < 1', [',']),
  ).toBe('-151,-61,201,5000,5001,5002,5003');
  await expectInStep(room, 198);
});

test('must pass 2. the same without a dual write: what went behind the cursor is swept up, and nothing is done twice', async () => {
  const room = await dataRoom(
    'CREATE TABLE users (id bigint PRIMARY KEY, a int, b int, times int DEFAULT 0); INSERT INTO users SELECT i, i FROM generate_series(1, 200) i; ANALYZE users',
  );
  const [gate, holder] = [await gateAt(room, 'old.id = 51'), await clientOf(room)];
  await holder.query('BEGIN; UPDATE users SET id = 5000 WHERE id = 100');
  const step = { ...CHUNKS, set: { b: 'a', times: 'times + 1' }, where: 'b IS NULL' };
  const filling = backfill.up(room.backfill(step), room.bench.context());
  await gate.reached(filling);
  for (const [from, to] of [
    [5, 5001],
    [60, -60],
    [200, -200],
    [120, 0],
    [6, 500],
  ])
    await room.query('UPDATE public.users SET id = $2::bigint WHERE id = $1::bigint', [String(from), String(to)]);
  await gate.open();
  await holder.isWaitedFor();
  await holder.query('COMMIT');
  await filling;
  expect(
    await room.query('SELECT count(*) AS rows, count(*) FILTER (WHERE b = a AND times = 1) AS once FROM public.users'),
  ).toEqual([{ rows: '200', once: '200' }]);
});

test('must pass 3. a row deleted mid-chunk stays deleted, through repair too', async () => {
  const { room, goOn } = await inTheFirstChunk();
  const holder = await clientOf(room);
  await room.query('DELETE FROM public.users WHERE id = 5');
  await holder.query('BEGIN; DELETE FROM users WHERE id = 6');
  const done = goOn();
  await holder.isWaitedFor();
  await holder.query('COMMIT');
  await done;
  await room.query(behindTheTriggers("UPDATE public.users SET given_name = 'wrong' WHERE id BETWEEN 20 AND 29"));
  const gate = await gateAt(room, 'old.id = 20');
  const repairing = verify.up(room.verify({ chunk: { rows: 100 } }), room.bench.context());
  await gate.reached(repairing);
  await room.query('DELETE FROM public.users WHERE id = 21');
  await gate.open();
  expect((await repairing).note).toBe('0 of 197 rows differ (2 passes, 9 repaired)');
  expect(await names(room, 'id IN (5, 6, 21)')).toEqual([]);
});

test('must pass 4. lossy `down`, then an old client updates an unrelated column, mid-chunk: the new value stays', async () => {
  const { room, goOn } = await inTheFirstChunk();
  const holder = await clientOf(room);
  await room.query("UPDATE public.users SET given_name = 'Jean Luc', family_name = 'Picard' WHERE id = 7");
  await room.query("UPDATE public.users SET note = 'old client' WHERE id IN (7, 9)");
  // Half of the new side of rows that are not migrated: the other half comes from the old side.
  await room.query("UPDATE public.users SET given_name = 'Anna' WHERE id = 6");
  await holder.query(
    "BEGIN; UPDATE users SET family_name = 'Byron' WHERE id = 11; UPDATE users SET note = 'x' WHERE id = 11",
  );
  const done = goOn();
  await holder.isWaitedFor();
  await holder.query('COMMIT');
  await done;
  await room.query("UPDATE public.users SET note = 'and later' WHERE id IN (6, 7, 11)");
  expect(await names(room, 'id IN (6, 7, 9, 11)')).toEqual([
    { id: '6', full_name: 'Anna Lovelace6', given_name: 'Anna', family_name: 'Lovelace6' },
    { id: '7', full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' },
    { id: '9', full_name: 'Jean Luc Picard9', given_name: 'Jean', family_name: 'Luc Picard9' },
    { id: '11', full_name: 'Ada Byron', given_name: 'Ada', family_name: 'Byron' },
  ]);
  await expectInStep(room, 200);
});

test('must pass 5. a new client’s INSERT during the backfill isn’t overwritten; a new client’s NULL stays NULL', async () => {
  const { room, goOn } = await inTheFirstChunk('DELETE FROM users WHERE id IN (30, 150)');
  // Into the chunk under way, into one to come, and above the bound.
  await room.query(
    "INSERT INTO public.users (id, given_name, family_name) SELECT id, 'Jean Luc', 'Picard' FROM unnest('{30, 150, 300}'::int[]) AS n (id)",
  );
  // Rows of both chunks that no chunk has done yet: a new client's first write migrates them, its NULL is its own then.
  const ids = '(6, 9, 106, 109)';
  await room.query(`UPDATE public.users SET given_name = 'Anna' WHERE id IN ${ids}`);
  await room.query(`UPDATE public.users SET family_name = NULL WHERE id IN ${ids}`);
  await room.query('UPDATE public.users SET given_name = NULL WHERE id IN (9, 109)');
  await goOn();
  await room.query("UPDATE public.users SET note = 'x' WHERE id IN (6, 9, 30, 106, 109)");
  const inserted = { full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' };
  expect(await names(room, 'id IN (6, 9, 30, 106, 109, 150, 300)')).toEqual([
    { id: '6', full_name: 'Anna', given_name: 'Anna', family_name: null },
    { id: '9', full_name: null, given_name: null, family_name: null },
    { id: '30', ...inserted },
    { id: '106', full_name: 'Anna', given_name: 'Anna', family_name: null },
    { id: '109', full_name: null, given_name: null, family_name: null },
    { id: '150', ...inserted },
    { id: '300', ...inserted },
  ]);
  await expectInStep(room, 201);
});

test('must pass 20. COPY, ON CONFLICT DO UPDATE and MERGE through the triggers, mid-chunk', async () => {
  const { room, goOn } = await inTheFirstChunk('DELETE FROM users WHERE id IN (30, 31, 130)');
  const upsert = (columns: string, values: string, set: string) =>
    room.query(`INSERT INTO public.users (${columns}) VALUES ${values} ON CONFLICT (id) DO UPDATE SET ${set}`);
  const [given, family] = ['given_name = excluded.given_name', 'family_name = excluded.family_name'];
  await Promise.all([
    upsert('id, full_name', "(5, 'Niels Bohr'), (30, 'Lise Meitner')", 'full_name = excluded.full_name'),
    upsert('id, given_name, family_name', "(7, 'Max K', 'Planck'), (130, 'Emmy', NULL)", `${given}, ${family}`),
    room.query(`MERGE INTO public.users u USING (VALUES (9, 'Ada Yonath'), (31, 'Rosalind Franklin'), (4, NULL)) v (id, name) ON u.id = v.id
      WHEN MATCHED AND v.name IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET full_name = v.name
      WHEN NOT MATCHED THEN INSERT (id, full_name) VALUES (v.id, v.name)`),
    room.query(
      String.raw`COPY public.users (id, given_name, family_name) FROM PROGRAM 'printf "400\tJean Luc\tPicard\n401\tPlato\t\\\\N\n"'`,
    ),
  ]);
  await goOn();
  expect(await names(room, 'id IN (4, 5, 7, 9, 30, 31, 130, 400, 401)')).toEqual([
    { id: '5', full_name: 'Niels Bohr', given_name: 'Niels', family_name: 'Bohr' },
    { id: '7', full_name: 'Max K Planck', given_name: 'Max K', family_name: 'Planck' },
    { id: '9', full_name: 'Ada Yonath', given_name: 'Ada', family_name: 'Yonath' },
    { id: '30', full_name: 'Lise Meitner', given_name: 'Lise', family_name: 'Meitner' },
    { id: '31', full_name: 'Rosalind Franklin', given_name: 'Rosalind', family_name: 'Franklin' },
    { id: '130', full_name: 'Emmy', given_name: 'Emmy', family_name: null },
    { id: '400', full_name: 'Jean Luc Picard', given_name: 'Jean Luc', family_name: 'Picard' },
    { id: '401', full_name: 'Plato', given_name: 'Plato', family_name: null },
  ]);
  await expectInStep(room, 201);
});
