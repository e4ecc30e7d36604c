import { expect, test } from 'vitest';
import { cutTable } from '../../src/adapters/postgres/range-cut.ts';
import { findKey, keyUpTo, keyValues } from '../../src/adapters/postgres/range-key.ts';
import { readTableShape } from '../../src/adapters/postgres/table-shape.ts';
import { dataRoom, type DataRoom } from './room.ts';

const ROWS = 20_000;
const RANGES = 8;
/** Key columns, and the key of the `i`-th row as SQL. */
const KEYS: Readonly<Record<string, [columns: string, key: string]>> = {
  'nine tenths of the rows in a hundredth of the key space': [
    'k bigint PRIMARY KEY',
    `CASE WHEN i % 10 = 0 THEN i * 100 ELSE 2000000 + i END`,
  ],
  'gaps of a thousand million': ['k bigint PRIMARY KEY', 'i * 1000000000::bigint'],
  'gaps that double': ['k numeric PRIMARY KEY', '(2::numeric ^ (i / 200)) * 100000 + i'],
  'negative and huge integers': [
    'k bigint PRIMARY KEY',
    'CASE WHEN i % 2 = 0 THEN -9223372036854775808 + i ELSE 9223372036854775807 - i END',
  ],
  'uuids in any order': ['k uuid PRIMARY KEY', 'md5(i::text)::uuid'],
  'texts under ICU': [
    'k text COLLATE "und-x-icu" PRIMARY KEY',
    `CASE WHEN i % 10 = 0 THEN md5(i::text) ELSE 'Zeta ' || i END`,
  ],
  'texts under a collation that takes cases for equal': [
    'k text COLLATE public.anycase PRIMARY KEY',
    `chr(65 + i % 26 + 32 * (i % 2)) || i`,
  ],
  'two columns, the first nearly always the same': [
    'a int, k bigint, PRIMARY KEY (a, k)',
    `CASE WHEN i % 100 = 0 THEN i ELSE 7 END, i`,
  ],
  'a key that falls': ['k bigint NOT NULL, UNIQUE (k)', '-i * i'],
};

async function rowsOfRanges(room: DataRoom, table: string): Promise<number[]> {
  const shape = await readTableShape(room.database, 'public', table);
  const key = await findKey(room.database, shape, null);
  if (key === null) throw new Error('no key');
  const uppers = await cutTable(room.database, shape, key, RANGES);
  const upTo: number[] = [];
  for (const upper of uppers) {
    const condition = keyUpTo(key, 't', keyValues(key, '$1::text[]'));
    upTo.push(Number(await room.value(`SELECT count(*) FROM public.${table} t WHERE ${condition}`, [upper])));
  }
  return upTo.map((rows, index) => rows - (upTo[index - 1] ?? 0));
}

test('whatever the keys are like, ranges have about as many rows, and together all', async () => {
  const tables = Object.values(KEYS).map(
    ([columns, key], at) => `CREATE TABLE t${at} (${columns}, filler text);
      INSERT INTO t${at} SELECT ${key}, repeat('x', 20) FROM generate_series(1, ${ROWS}) i; ANALYZE t${at}`,
  );
  const room = await dataRoom(
    `CREATE COLLATION public.anycase (provider = icu, locale = 'und-u-ks-level2', deterministic = false); ${tables.join(';')}`,
  );
  const mean = ROWS / RANGES;
  const found = await Promise.all(Object.keys(KEYS).map((_, at) => rowsOfRanges(room, `t${at}`)));
  for (const [at, name] of Object.keys(KEYS).entries()) {
    const rows = found[at] ?? [];
    expect(
      rows.reduce((sum, of) => sum + of, 0),
      name,
    ).toBe(ROWS);
    expect(rows, name).toHaveLength(RANGES);
    expect(Math.max(...rows), name).toBeLessThan(1.5 * mean);
    expect(Math.min(...rows), name).toBeGreaterThan(0.5 * mean);
  }
});
