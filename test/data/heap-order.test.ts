import { expect, test } from 'vitest';
import { AUDIT, type DataRoom, dataRoom, effects } from './room.ts';

const { dualWrite, backfill } = effects;
const ROWS = 4_500;
const small = { chunk: { rows: 100, fixed: true } };
/** One row on each page: so few rows are a table that is worth it. */
const SPREAD = `CREATE TABLE users (id uuid PRIMARY KEY, full_name text, note text, given_name text, family_name text, filler text) WITH (fillfactor = 10);
  INSERT INTO users (id, full_name, filler) SELECT md5(i::text)::uuid, 'Ada Lovelace' || i, repeat('x', 700) FROM generate_series(1, ${ROWS}) i;
  ANALYZE users`;
const OUT_OF_STEP = `SELECT count(*) FROM public.users WHERE (given_name, family_name) IS DISTINCT FROM
  (split_part(full_name, ' ', 1), CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END)`;
const RANGES = `SELECT count(*) FILTER (WHERE upper_key[2] = 'heap order') || ' of ' || count(*) FROM switchback.ranges`;

async function prepared(sql = ''): Promise<DataRoom> {
  const room = await dataRoom(`${SPREAD}; ${sql}`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  return room;
}
/** Walks until some rows are done, and is interrupted there. */
async function interrupted(room: DataRoom, fields: Record<string, unknown> = {}): Promise<void> {
  const stop = new AbortController();
  const context = room.bench.context({ signal: stop.signal });
  const report: typeof context.report = ({ progress }) => {
    if ((progress?.done ?? 0) > 600) stop.abort(new Error('interrupted'));
  };
  const step = room.backfill({ ...small, ...fields, throttle: { maxRowsPerSecond: 4_000 } });
  await expect(backfill.up(step, { ...context, report })).rejects.toThrow('interrupted');
}

test('along the heap, while clients write, interrupted and resumed: every row once, and none left out', async () => {
  const room = await prepared(AUDIT.replace('id bigint', 'id uuid'));
  const over = new AbortController();
  const touched = new Set<number>();
  const clients = [0, 1].map(async (client) => {
    for (let at = client; !over.signal.aborted; at += 2) {
      const row = (at * 7919) % ROWS;
      touched.add(row);
      if (at % 3 === 0)
        await room.query('UPDATE public.users SET full_name = $2 WHERE id = md5($1)::uuid', [row, `Neu Name${at}`]);
      else if (at % 3 === 1)
        await room.query('UPDATE public.users SET given_name = $2 WHERE id = md5($1)::uuid', [row, `G${at}`]);
      else await room.query("INSERT INTO public.users (id, full_name) VALUES (gen_random_uuid(), 'New Row')");
    }
  });
  try {
    await interrupted(room);
    expect(await room.value(RANGES)).toBe('1 of 1');
    await backfill.up(room.backfill(small), room.bench.context());
  } finally {
    over.abort();
    await Promise.all(clients);
  }
  expect(await room.value(OUT_OF_STEP)).toBe('0');
  expect(
    await room.value(
      `SELECT count(*) FROM generate_series(1, ${ROWS}) i WHERE i <> ALL ($1::int[])
         AND (SELECT coalesce(bool_or(u.given_name IS NULL), true) FROM public.users u WHERE u.id = md5(i::text)::uuid)`,
      [[...touched].map(String)],
    ),
  ).toBe('0');
  const once =
    'SELECT count(*) FROM (SELECT id FROM public.audit GROUP BY id HAVING count(*) > 1) a WHERE id <> ALL ($1::uuid[])';
  const ids = await room.query('SELECT md5(i::text)::uuid AS id FROM unnest($1::int[]) i', [[...touched].map(String)]);
  expect(await room.value(once, [ids.map(({ id }) => id ?? '')])).toBe('0');
  expect(await room.query('SELECT lower_key, upper_key FROM switchback.lineage')).toEqual([
    { lower_key: null, upper_key: null },
  ]);
  expect(
    await room.value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'switchback'::regnamespace AND prokind = 'p'"),
  ).toBe('0');
}, 30_000);

test('rows that a VACUUM FULL has moved behind the cursor are found along the key', async () => {
  const room = await prepared();
  await interrupted(room);
  await room.query('ALTER TABLE public.users SET (fillfactor = 100)');
  await room.query('VACUUM (FULL) public.users');
  const { note } = await backfill.up(room.backfill(small), room.bench.context());
  expect(note).toMatch(/^4,500 rows changed/);
  expect(await room.value(OUT_OF_STEP)).toBe('0');
  expect(await room.value(RANGES)).toBe('1 of 2');
}, 30_000);

test('half a walk along the heap is undone with the before-images of its rows', async () => {
  const room = await prepared("UPDATE users SET given_name = 'was ' || id");
  await interrupted(room, { preserve: true });
  expect(Number(await room.value("SELECT count(*) FROM public.users WHERE given_name = 'Ada'"))).toBeGreaterThan(600);
  const { note } = await backfill.down(room.backfill({ ...small, preserve: true }), room.bench.context());
  expect(note).toMatch(/^([\d,]+) of \1 rows hold again what they held$/);
  expect(await room.value("SELECT count(*) FROM public.users WHERE given_name IS DISTINCT FROM 'was ' || id")).toBe(
    '0',
  );
  expect(
    await room.query('SELECT DISTINCT direction, lower_key, upper_key FROM switchback.lineage ORDER BY 1'),
  ).toEqual([
    { direction: 'down', lower_key: null, upper_key: null },
    { direction: 'up', lower_key: null, upper_key: null },
  ]);
}, 30_000);

test('a row that can’t be changed is named by its key, and goes once it can', async () => {
  const room = await prepared(`UPDATE users SET note = 'poison' WHERE id = md5('700')::uuid;
    ALTER TABLE users ADD CONSTRAINT pure CHECK (note IS NULL OR given_name IS NULL)`);
  const key = await room.value("SELECT md5('700')::uuid");
  await expect(backfill.up(room.backfill(small), room.bench.context())).rejects.toMatchObject({
    code: 'RowErrors',
    fields: { keys: key },
  });
  await room.query('ALTER TABLE public.users DROP CONSTRAINT pure');
  await backfill.up(room.backfill(small), room.bench.context());
  expect(await room.value(OUT_OF_STEP)).toBe('0');
  expect(await room.value(RANGES)).toBe('1 of 2');
  expect(await room.value('SELECT sum(rows_changed) FROM switchback.lineage')).toBe(String(ROWS));
}, 30_000);
