import { expect, test } from 'vitest';
import { type DataRoom, dataRoom, effects } from '../data/room.ts';
import { gateAt } from './gate.ts';

const { dualWrite, backfill, verify } = effects;

/** A table of 300 rows by its key's columns, what the key of the n-th row is, and which row stands in the middle. */
interface Keyed {
  columns: string;
  /** The key of row `n`, as expressions. */
  key(n: string): [string, ...string[]];
}
const KEYS: Record<string, Keyed & { title: string }> = {
  icu: {
    title: 'must pass 7. text key under an ICU nondeterministic collation: every row once',
    columns: 'k text COLLATE folded PRIMARY KEY',
    key: (n) => [`CASE ${n} % 2 WHEN 0 THEN 'é' ELSE 'E' END || chr(97 + ${n} % 26) || ${n}`],
  },
  c: {
    title: 'must pass 7. text key under C: every row once',
    columns: 'k text COLLATE "C" PRIMARY KEY',
    key: (n) => [`chr(200 - ${n} % 150) || ${n}`],
  },
  uuid: {
    title: 'must pass 8. UUIDv4 keys with inserts behind the cursor: every row once',
    columns: 'k uuid PRIMARY KEY',
    key: () => ['gen_random_uuid()'],
  },
  composite: {
    title: 'must pass 9. composite key of mixed types and directions: every row once',
    columns: 'a int NOT NULL, b text NOT NULL, c timestamptz NOT NULL',
    key: (n) => [`${n} % 3`, `'x' || ${n} % 7`, `'2026-01-01Z'::timestamptz + ${n} * interval '1 microsecond'`],
  },
};

/** Rows 1 to 300; `once` holds what the backfill did, row by row. */
const tableOf = ({ columns, key }: Keyed): string => `
CREATE COLLATION IF NOT EXISTS folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE t (${columns}, n int UNIQUE, old_value int, new_value int);
${columns.includes('PRIMARY KEY') ? '' : 'CREATE UNIQUE INDEX t_key ON t (a, b DESC NULLS LAST, c);'}
INSERT INTO t SELECT ${key('n').join(', ')}, n, n FROM generate_series(1, 300) n; ANALYZE t;
CREATE TABLE once (n int);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.once VALUES (new.n); RETURN new; END $$`;

const SYNC = { table: 't', up: { new_value: 'old_value * 2' }, down: { old_value: 'new_value / 2' } };

test.each(Object.values(KEYS))('$title', async ({ columns, key }) => {
  const room: DataRoom = await dataRoom(tableOf({ columns, key }));
  const input = room.dualWrite(SYNC);
  await dualWrite.up(input, room.bench.context());
  const marker = await room.value(
    "SELECT attname FROM pg_attribute WHERE attrelid = 'public.t'::regclass AND attname LIKE 'zz\\_switchback\\_%'",
  );
  // The backfill's own writes are told by the value they leave in the marker.
  await room.query(`CREATE TRIGGER note AFTER UPDATE ON public.t FOR EACH ROW
    WHEN (old."${marker}" IS NULL AND new."${marker}" = 2) EXECUTE FUNCTION public.note()`);
  const single = columns.includes('PRIMARY KEY');
  const names = single ? 'k' : 'a, b DESC NULLS LAST, c';
  // The rows of the eighth chunk: whichever of them comes first stops it. Clients keep away from these.
  const chunk = `ANY ('${await room.value(`SELECT array_agg(n) FROM (SELECT n FROM public.t ORDER BY ${names} OFFSET 140 LIMIT 20) c`)}'::int[])`;
  const gate = await gateAt(room, `old.n = ${chunk}`, 'public.t');
  const fill = { ...(single ? {} : { key: ['a', 'b', 'c'] }), chunk: { rows: 20, fixed: true } };
  const filling = backfill.up(room.backfill(fill, { of: input.step }), room.bench.context());
  await gate.reached(filling);
  // Behind the cursor and ahead of it: rows come, go and change places; what a client touches is in step by that.
  await Promise.all([
    room.query(`INSERT INTO public.t SELECT ${key('n').join(', ')}, n, n FROM generate_series(301, 350) n`),
    room.query(`INSERT INTO public.t SELECT ${key('n').join(', ')}, n, NULL, n * 2 FROM generate_series(351, 400) n`),
    room.query(`DELETE FROM public.t WHERE n <= 300 AND n % 30 = 1 AND n <> ALL ${chunk.slice(4)}`),
    room.query(
      `UPDATE public.t SET ${names.split(/[ ,]/)[0]} = ${key('(n + 1000)')[0]} WHERE n <= 300 AND n % 30 = 2 AND n <> ALL ${chunk.slice(4)}`,
    ),
    room.query(`UPDATE public.t SET new_value = 7777 WHERE n <= 300 AND n % 30 = 3 AND n <> ALL ${chunk.slice(4)}`),
  ]);
  const before = Number(await room.value('SELECT count(*) FROM public.once'));
  await gate.open();
  await filling;
  expect(before).toBeGreaterThan(0);
  expect(before).toBeLessThan(200);
  expect(await room.value(`SELECT count(*) FROM public.t WHERE "${marker}" IS NULL`)).toBe('0');
  expect(await room.value('SELECT max(times) FROM (SELECT count(*) AS times FROM public.once GROUP BY n) o')).toBe('1');
  // Of the rows that nobody else touched, none was left out.
  expect(
    await room.value(
      `SELECT count(*) FROM public.t WHERE n <= 300 AND n % 30 NOT IN (1, 2, 3) AND n NOT IN (SELECT n FROM public.once)`,
    ),
  ).toBe('0');
  expect(await room.value('SELECT bool_and(old_value = 3888) FROM public.t WHERE new_value = 7777')).toBe('t');
  const check = room.verify({ onMismatch: 'fail' }, { of: input.step });
  expect((await verify.up(check, room.bench.context())).note).toMatch(/^0 of 39\d rows differ/);
});
