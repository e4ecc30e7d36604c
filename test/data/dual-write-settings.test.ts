import { expect, test } from 'vitest';
import { syncHall } from './table-sync-room.ts';

const hall = syncHall();
type Room = Awaited<ReturnType<typeof hall.room>>;

/** A client whose texts look otherwise than ours. */
const elsewhere = async (room: Room, sql: string): Promise<void> => {
  await room.database.transaction(async (session) => {
    await session.query(
      `SET LOCAL TimeZone = 'Asia/Tokyo'; SET LOCAL DateStyle = 'German'; SET LOCAL IntervalStyle = 'iso_8601';
       SET LOCAL bytea_output = 'escape'; SET LOCAL extra_float_digits = 0`,
    );
    await session.query(sql.replaceAll('%.', `${room.schema}.`));
  });
};
const OLD = "at timestamptz DEFAULT '2024-05-01 20:00+00', raw bytea, span interval, ratio float8";
const NEW = 'at_text text, day date, raw_text text, span_text text, ratio_text text';
const UP = {
  at_text: 'at::text',
  day: 'at::date',
  raw_text: 'raw::text',
  // The cast is made by the assignment.
  span_text: 'span',
  ratio_text: 'ratio::text',
};
const ROWS =
  "SELECT i, '2024-05-01 20:00+00', '\\x0102', '26 hours', 0.1 + 0.2 FROM pg_catalog.generate_series(1, 3) i";
const EXPECTED = {
  at_text: '2024-05-01 20:00:00+00',
  day: '2024-05-01',
  raw_text: '\\x0102',
  span_text: '26:00:00',
  ratio_text: '0.30000000000000004',
};
const CHANGED = "at = '2024-05-01 20:00+00', raw = '\\x0102', span = '26 hours', ratio = 0.1::float8 + 0.2::float8";

test('what a client’s settings would write otherwise is written as the backfill and verify see it', async () => {
  const room = await hall.room(`CREATE TABLE events (id bigint PRIMARY KEY, ${OLD}, ${NEW})`);
  const step = { table: 'events', up: UP };
  await room.query('ALTER TABLE %.events ALTER COLUMN at DROP DEFAULT');
  const sync = room.sync(step);
  await sync.up();
  await elsewhere(
    room,
    "INSERT INTO %.events (id, at, raw, span, ratio) VALUES (1, '2024-05-01 20:00+00', '\\x0102', '26 hours', 0.1::float8 + 0.2::float8), (2, now(), '\\x00', '1 day', 1)",
  );
  await elsewhere(room, `UPDATE %.events SET ${CHANGED} WHERE id = 2`);
  expect(await room.query('SELECT at_text, day, raw_text, span_text, ratio_text FROM %.events ORDER BY id')).toEqual([
    EXPECTED,
    EXPECTED,
  ]);
  expect(await sync.check()).toMatchObject({ note: '0 of 2 rows differ (1 pass)' });
  // A function that needs no settings sets none.
  const plain = await hall.room('CREATE TABLE users (id bigint PRIMARY KEY, name text, upper_name text)');
  await plain.sync({ table: 'users', up: { upper_name: 'upper(name)' }, down: { name: 'lower(upper_name)' } }).up();
  const settings = (schema: string): Promise<string | null> =>
    room.value(
      `SELECT p.proconfig::text FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
       WHERE t.tgrelid = ANY (ARRAY[to_regclass($1), to_regclass($2)]) LIMIT 1`,
      [`${schema}.events`, `${schema}.users`],
    );
  expect(await settings(room.schema)).toContain('TimeZone=UTC');
  expect(await settings(plain.schema)).not.toContain('TimeZone');
});

test('the same between two tables, either way', async () => {
  const room = await hall.room(
    `CREATE TABLE events (id bigint PRIMARY KEY, ${OLD}); CREATE TABLE texts (id bigint PRIMARY KEY, ${NEW});
     INSERT INTO events (id, at, raw, span, ratio) ${ROWS}`,
  );
  const sync = room.sync({
    from: { table: 'events', key: 'id' },
    to: { table: 'texts', key: 'id' },
    up: UP,
    down: {
      at: 'at_text::timestamptz',
      raw: 'raw_text::bytea',
      span: 'span_text::interval',
      ratio: 'ratio_text::float8',
    },
  });
  await sync.up();
  await elsewhere(room, `UPDATE %.events SET id = 1, ${CHANGED.replace('26 hours', '25 hours')} WHERE id = 1`);
  await elsewhere(room, `UPDATE %.events SET ${CHANGED} WHERE id = 1`);
  // German: day before month. Here it is the day of ours.
  await elsewhere(room, "UPDATE %.texts SET at_text = '2024-02-03 04:05:06' WHERE id = 1");
  expect(await room.query('SELECT at, span FROM %.events WHERE id = 1')).toEqual([
    { at: '2024-02-03 04:05:06+00', span: '26:00:00' },
  ]);
  await sync.backfill();
  expect(await sync.check()).toMatchObject({ note: '0 of 3 rows differ (1 pass)' });
  expect(await room.query('SELECT day, raw_text, ratio_text FROM %.texts WHERE id = 1')).toMatchObject([
    { raw_text: EXPECTED.raw_text, ratio_text: EXPECTED.ratio_text },
  ]);
});
