import { expect, test } from 'vitest';
import { findKey, keyOrder } from '../../src/adapters/postgres/range-key.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import { readTableShape } from '../../src/adapters/postgres/table-shape.ts';
import { type DataRoom, dataRoom, effects } from './room.ts';

const { backfill, verify } = effects;

/** Tables of 400 rows, each with another kind of key; `zz_times` counts the updates of a row. */
const TABLES: Record<string, string> = {
  'text under a nondeterministic collation': `CREATE COLLATION folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
    CREATE TABLE t (k text COLLATE folded PRIMARY KEY); INSERT INTO t SELECT CASE i % 2 WHEN 0 THEN 'é' ELSE 'E' END || chr(97 + i % 26) || i FROM generate_series(1, 400) i`,
  'text under C': `CREATE TABLE t (k text COLLATE "C" PRIMARY KEY); INSERT INTO t SELECT chr(200 - i % 150) || i FROM generate_series(1, 400) i`,
  'an index of another collation than its column': `CREATE TABLE t (k text NOT NULL); CREATE UNIQUE INDEX ON t (k COLLATE "C"); INSERT INTO t SELECT chr(65 + i % 60) || i FROM generate_series(1, 400) i`,
  'an index of another operator class': `CREATE TABLE t (k varchar(20) NOT NULL); CREATE UNIQUE INDEX ON t (k text_pattern_ops); INSERT INTO t SELECT chr(65 + i % 60) || i FROM generate_series(1, 400) i`,
  'random uuids': `CREATE TABLE t (k uuid PRIMARY KEY); INSERT INTO t SELECT gen_random_uuid() FROM generate_series(1, 400) i`,
  'negative, huge and sparse numbers': `CREATE TABLE t (k bigint PRIMARY KEY); INSERT INTO t SELECT (i - 200) * 40000000000000000 + i FROM generate_series(1, 400) i`,
  microseconds: `CREATE TABLE t (k timestamptz PRIMARY KEY); INSERT INTO t SELECT '2026-01-01Z'::timestamptz + i * interval '1 microsecond' FROM generate_series(1, 400) i`,
  'floats that differ in the last bit': `CREATE TABLE t (k float8 PRIMARY KEY); INSERT INTO t SELECT 0.1::float8 + i * 1.4e-17 FROM generate_series(1, 400) i ON CONFLICT DO NOTHING; INSERT INTO t VALUES ('NaN'), ('-Infinity'), ('Infinity')`,
  'a falling index with NULLS LAST': `CREATE TABLE t (k int NOT NULL); CREATE UNIQUE INDEX ON t (k DESC NULLS LAST); INSERT INTO t SELECT i FROM generate_series(1, 400) i`,
  'characters padded with spaces': `CREATE TABLE t (k char(6) PRIMARY KEY); INSERT INTO t SELECT i::text FROM generate_series(1, 400) i`,
  'several columns, rising': `CREATE TABLE t (a int, b text, PRIMARY KEY (a, b)); INSERT INTO t SELECT i % 3, 'x' || i FROM generate_series(1, 400) i`,
  'several columns, all falling': `CREATE TABLE t (a int NOT NULL, b text NOT NULL); CREATE UNIQUE INDEX ON t (a DESC, b DESC); INSERT INTO t SELECT i % 3, 'x' || i FROM generate_series(1, 400) i`,
  'several columns of mixed types and directions': `CREATE TABLE t (a int NOT NULL, b text NOT NULL, c timestamptz NOT NULL); CREATE UNIQUE INDEX ON t (a, b DESC NULLS LAST, c);
    INSERT INTO t SELECT i % 3, 'x' || i % 7, '2026-01-01Z'::timestamptz + i * interval '1 microsecond' FROM generate_series(1, 400) i`,
  'an enum and a quoted name': `CREATE TYPE size AS ENUM ('small', 'large'); CREATE TABLE t ("the ""key""" size NOT NULL, b int NOT NULL, UNIQUE ("the ""key""", b));
    INSERT INTO t SELECT (CASE i % 2 WHEN 0 THEN 'small' ELSE 'large' END)::size, i FROM generate_series(1, 400) i`,
};

test('every row once, along every kind of key, and never by a sort', async () => {
  const room = await dataRoom('SELECT 1');
  for (const [kind, sql] of Object.entries(TABLES)) {
    await room.query(
      `SET search_path = public; DROP TABLE IF EXISTS t; ${sql}; ALTER TABLE t ADD COLUMN times int DEFAULT 0; ANALYZE t; SET search_path = pg_catalog`,
    );
    const rows = await room.value('SELECT count(*) FROM public.t');
    const run = room.bench.run({ migration: kind });
    await new StepLedger(room.database).raiseFence(run);
    const step = { table: 't', parallelism: 2, chunk: { rows: 7, fixed: true }, set: { times: 'times + 1' } };
    const { note } = await backfill.up(room.backfill(step, { run }), room.bench.context());
    const check = { table: 't', expect: { times: '1' }, onMismatch: 'fail', chunk: { rows: 50 } };
    const verified = await verify.up(room.verify(check, { run }), room.bench.context());
    expect([kind, note, verified.note]).toEqual([
      kind,
      expect.stringContaining(`${rows} rows changed`),
      `0 of ${rows} rows differ (1 pass)`,
    ]);
    expect([kind, await planOfWalk(room)]).toEqual([kind, expect.not.stringContaining('Sort')]);
  }
});

/** How Postgres finds the next rows in the walk's order. */
async function planOfWalk(room: DataRoom): Promise<string> {
  return room.database.transaction(async (session) => {
    const key = await findKey(session, await readTableShape(session, 'public', 't'), null);
    if (key === null) throw new Error('the table has no key');
    await session.query('SET LOCAL enable_seqscan = off');
    const lines = await session.query(
      `EXPLAIN SELECT FROM public.t t ORDER BY ${keyOrder(key, 't', 'forward')} LIMIT 7`,
    );
    return lines.map((line) => line['QUERY PLAN']).join('\n');
  });
}
