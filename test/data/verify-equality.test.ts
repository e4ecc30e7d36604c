import { expect, test } from 'vitest';
import { dataRoom, effects } from './room.ts';

const { verify } = effects;

const TYPES = `
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TYPE pair AS (n numeric, t text);
CREATE TYPE note AS (n int, j json);
CREATE DOMAIN short AS varchar(10) CHECK (value <> 'never');
CREATE DOMAIN document AS json;
CREATE DOMAIN given AS text NOT NULL DEFAULT 'x';
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`;

/** Type, what the column holds, what is expected of it. */
type Case = readonly [type: string, actual: string, expected: string];

/** In step, though not always written alike: Postgres's own equality of the type. */
const SAME: readonly Case[] = [
  ['text', 'NULL', 'NULL'],
  ['text', "''", "''"],
  ['float8', "'NaN'", "'NaN'"],
  ['float8', "'-0'", '0'],
  ['float4', '1.5', '1.5'],
  ['numeric', '1.0', '1.00'],
  ['numeric', "'NaN'", "'NaN'"],
  ['numeric(10, 2)', '2.34', '2.335'],
  ['jsonb', `'{"a": 1, "b": [1.0]}'`, `'{"b": [1.00], "a": 1}'`],
  ['json', `'{"a": 1}'`, `'{"a": 1}'`],
  ['json[]', `ARRAY['{"a": 1}'::json, NULL]`, `ARRAY['{"a": 1}'::json, NULL]`],
  ['bytea', "'\\x00ff'", "decode('AP8=', 'base64')"],
  ['timestamptz', "'2026-03-29 02:30:00+02'", "'2026-03-29 00:30:00+00'"],
  ['timestamp', "'2026-01-01 00:00:00.000001'", "'2026-01-01 00:00:00.000001'"],
  ['timetz', "'12:00+02'", "'12:00+02'"],
  ['interval', "'1 day'", "'24 hours'"],
  ['int[]', "'{1,NULL,3}'", 'ARRAY[1, NULL, 3]'],
  ['short', "'abc'", "'abc'"],
  ['document', `'[1]'`, `'[1]'`],
  ['given', "'y'", "'y'"],
  ['char(5)', "'ab'", "'ab   '"],
  ['varchar(3)', "'abc'", "'abc'"],
  ['text COLLATE ci', "'bob'", "'BOB'"],
  ['mood', "'high'", "'high'"],
  ['pair', "ROW(1.0, 'x')", "ROW(1.00, 'x')"],
  ['note', `ROW(1, '{"a": 1}')`, `ROW(1, '{"a": 1}')`],
  ['int4range', "'[1,4]'", "'[1,5)'"],
  ['bit(3)', "B'101'", "B'101'"],
  ['box', "'(1,1),(0,0)'", "'(1,1),(0,0)'"],
  ['xml', "'<a/>'", "'<a/>'"],
];

/** Differs, though some of it looks alike. */
const DIFFERENT: readonly Case[] = [
  ['text', 'NULL', "''"],
  ['text', "''", 'NULL'],
  ['text', "'a'", "'a '"],
  ['text', "'bob'", "'BOB'"],
  ['text', "U&'\\00e9'", "U&'e\\0301'"],
  ['float8', "'NaN'", 'NULL'],
  ['float8', "'NaN'", "'Infinity'"],
  ['float8', '0.1', '0.30000000000000004 - 0.2'],
  ['numeric', '1.0', '1.0000000000000000000000000001'],
  ['bigint', '9007199254740993', '9007199254740992'],
  ['jsonb', `'{"a": 1}'`, `'{"a": "1"}'`],
  ['jsonb', "'null'", 'NULL'],
  ['json', `'{"a": 1, "b": 2}'`, `'{"b": 2, "a": 1}'`],
  ['json', `'{"a":1}'`, `'{"a": 1}'`],
  ['json[]', `ARRAY['[1]'::json]`, `ARRAY['[1 ]'::json]`],
  ['bytea', "'\\x00'", "'\\x0000'"],
  ['timestamptz', "'2026-03-29 02:30:00+02'", "'2026-03-29 02:30:00+00'"],
  ['timestamptz', "'2026-01-01 00:00:00.000001+00'", "'2026-01-01 00:00:00+00'"],
  ['timetz', "'12:00+02'", "'10:00+00'"],
  ['int[]', "'{1,NULL}'", "'{1}'"],
  ['int[]', "'[0:1]={1,2}'", "'{1,2}'"],
  ['short', "'abc'", "'ABC'"],
  ['document', `'[1]'`, `'[1 ]'`],
  ['char(5)', "'ab'", "' ab'"],
  ['text COLLATE ci', "'bob'", "'rob'"],
  ['mood', "'high'", "'low'"],
  ['pair', 'ROW(1, NULL)', "ROW(1, '')"],
  ['note', `ROW(1, '{"a": 1}')`, `ROW(1, '{"a":1}')`],
  ['int4range', "'[1,4]'", "'[1,4)'"],
  ['box', "'(1,1),(0,0)'", "'(2,2),(1,1)'"],
  ['point', "'(1,1)'", "'(1,2)'"],
  ['xml', "'<a/>'", "'<a></a>'"],
];

/** A table of one row with two columns for each case: what there is, and what is expected, of the same type. */
function tableOf(name: string, cases: readonly Case[]): string {
  const columns = cases.map(([type], index) => `a${index} ${type}, e${index} ${type}`);
  const values = cases.map(([type, actual, expected]) =>
    [actual, expected].map((value) => `(${value})::${type.replace(/ COLLATE \w+$/, '')}`).join(', '),
  );
  return `CREATE TABLE ${name} (id int PRIMARY KEY, ${columns.join(', ')}); INSERT INTO ${name} VALUES (1, ${values.join(', ')})`;
}
const expectOf = (cases: readonly Case[]): Record<string, string> =>
  Object.fromEntries(cases.map((_, index) => [`a${index}`, `e${index}`]));

test('equality is that of the type; where it has none, that of its text', async () => {
  const room = await dataRoom(`${TYPES}; ${tableOf('same', SAME)}; ${tableOf('different', DIFFERENT)}`);
  const same = room.verify({ table: 'same', expect: expectOf(SAME), onMismatch: 'fail', showValues: true });
  expect((await verify.up(same, room.bench.context())).note).toBe('0 of 1 row differ (1 pass)');
  const expectation = expectOf(DIFFERENT);
  const different = room.verify({
    id: 'other',
    table: 'different',
    expect: expectation,
    onMismatch: 'fail',
    showValues: true,
  });
  const error = await verify.up(different, room.bench.context()).catch((caught: unknown) => caught);
  expect(error).toMatchObject({ code: 'VerifyMismatch', fields: { differing: 1, keys: '1' } });
  const { message } = error as Error;
  const unseen = DIFFERENT.filter((_, index) => !new RegExp(`[:,] a${index} is `).test(message));
  expect(unseen).toEqual([]);
  const repair = room.verify({ id: 'repair', table: 'different', expect: expectation });
  expect((await verify.up(repair, room.bench.context())).note).toBe('0 of 1 row differ (2 passes, 1 repaired)');
});
