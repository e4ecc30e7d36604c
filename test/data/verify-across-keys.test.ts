import { afterAll, beforeAll, expect, test } from 'vitest';
import { type AcrossRoom, acrossRoom } from './across-room.ts';

let room: AcrossRoom;
beforeAll(async () => {
  room = await acrossRoom();
  const collation = "CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false)";
  await room.make(collation, collation);
});
afterAll(() => room.close());

interface KeyCase {
  /** Columns and key of the tables. */
  left: string;
  right: string;
  /** The key's values for number `i`. */
  key: string;
  keys?: [string | string[], string | string[]];
  /** The right side's name of the first key column, where it is another. */
  rightFirst?: string;
}
const CASES: Record<string, KeyCase> = {
  'integers of different width, below and above zero': {
    left: 'k bigint PRIMARY KEY',
    right: 'k int PRIMARY KEY',
    key: '(i - 500) * 3',
  },
  uuid: { left: 'k uuid PRIMARY KEY', right: 'k uuid PRIMARY KEY', key: 'md5(i::text)::uuid' },
  'text of the same order': {
    left: 'k varchar(40) PRIMARY KEY',
    right: 'k text PRIMARY KEY',
    key: `chr(65 + i % 26) || 'é ' || i`,
  },
  'text under collations that sort differently': {
    left: 'k text PRIMARY KEY',
    right: 'k text COLLATE public.no_case PRIMARY KEY',
    key: `chr(CASE i % 2 WHEN 0 THEN 65 ELSE 97 END + i % 26) || i`,
  },
  'types that sort differently': { left: 'k int PRIMARY KEY', right: 'k text PRIMARY KEY', key: 'i' },
  'composite, in mixed directions, in another order on the right': {
    left: 'k date, n int, UNIQUE (k, n)',
    right: 'n int, k date, PRIMARY KEY (n, k)',
    key: `'2026-01-01'::date + i % 40, i`,
    keys: [
      ['k', 'n'],
      ['k', 'n'],
    ],
  },
  'a unique index under another name on the right': {
    left: 'k numeric PRIMARY KEY',
    right: 'id int PRIMARY KEY DEFAULT random(0, 2000000000), key_of numeric(20, 5) NOT NULL UNIQUE',
    key: 'i + 0.5',
    keys: ['k', 'key_of'],
    rightFirst: 'key_of',
  },
  timestamps: {
    left: 'k timestamptz PRIMARY KEY',
    right: 'k timestamptz PRIMARY KEY',
    key: `'2026-01-01Z'::timestamptz + i * interval '1 ms'`,
  },
};

test.each(Object.keys(CASES))('a key: %s', async (name) => {
  const { left, right, key, keys, rightFirst = 'k' } = CASES[name] as KeyCase;
  const table = `keys_${Object.keys(CASES).indexOf(name)}`;
  const names = (first: string): string => (key.includes(',') ? `${first}, n` : first);
  const fill = (first: string): string =>
    `INSERT INTO ${table} (${names(first)}, v) SELECT ${key}, 'v' || i FROM generate_series(1, 3000) i; ANALYZE ${table}`;
  const index = left.includes('UNIQUE (k, n)')
    ? `ALTER TABLE ${table} DROP CONSTRAINT ${table}_k_n_key, ALTER k SET NOT NULL, ALTER n SET NOT NULL;
       CREATE UNIQUE INDEX ON ${table} (k DESC, n);`
    : '';
  await room.make(
    `CREATE TABLE ${table} (${left}, v text); ${index} ${fill('k')}`,
    `CREATE TABLE ${table} (${right}, v text); ${fill(rightFirst)}`,
  );
  const side = (database: 'left' | 'right') => ({
    ...{ database, table, columns: ['v'] },
    ...(keys === undefined ? {} : { key: keys[database === 'left' ? 0 : 1] }),
  });
  // Fixed chunks, so that ranges are walked and not the whole table at once.
  const step = { left: side('left'), right: side('right'), chunk: { rows: 500, fixed: true } };
  const clean = await room.verify({ ...step, id: `${table}-clean`.replace('_', '-') });
  expect(clean.note).toBe('0 of 3,000 rows differ (1 pass)');
  await room.query(
    'right',
    `DELETE FROM public.${table} WHERE v = 'v1'; UPDATE public.${table} SET v = 'other' WHERE v = 'v2000'`,
  );
  await room.query('left', `DELETE FROM public.${table} WHERE v = 'v3000'`);
  const mended = await room.verify({ ...step, id: `${table}-mended`.replace('_', '-') });
  expect(mended.note).toBe('0 of 2,999 rows differ (2 passes, 3 repaired)');
  const rows = `SELECT count(*), bit_xor(hashtextextended(v, 0)) FROM public.${table}`;
  expect(await room.query('right', rows)).toEqual(await room.query('left', rows));
});

test('tables without a key that serves are refused by name', async () => {
  const plain = 'CREATE TABLE loose (a int, v text); INSERT INTO loose VALUES (1, 1)';
  await room.make(`${plain}; ALTER TABLE loose ADD PRIMARY KEY (a)`, plain);
  const side = (database: string) => ({ database, table: 'loose', columns: ['v'] });
  const step = { id: 'loose', left: side('left'), right: side('right') };
  await expect(room.verify(step)).rejects.toMatchObject({
    code: 'KeyMissing',
    message: expect.stringContaining('"public"."loose" has no primary key'),
  });
  await room.query('right', 'ALTER TABLE public.loose ADD PRIMARY KEY (a)');
  await expect(room.verify({ ...step, left: { ...side('left'), key: ['v'] } })).rejects.toMatchObject({
    code: 'KeyMissing',
    message: expect.stringContaining('no unique index over (v)'),
  });
});
