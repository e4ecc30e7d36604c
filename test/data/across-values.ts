/**
 * Columns of two tables that are compared: the type on the left, on the right, a value for each that counts as the same,
 * and one on the right that doesn't. NULL is another row.
 */
export interface ValueCase {
  name: string;
  left: string;
  right: string;
  same: [string, string];
  other: string;
}

const one = (name: string, left: string, right: string, same: [string, string], other: string): ValueCase => ({
  ...{ name, left, right },
  ...{ same, other },
});

export const VALUES: readonly ValueCase[] = [
  one('int_bigint', 'int', 'bigint', ['5', '5'], '4294967301'),
  // hashint8 folds both halves together: these two have one hash there.
  one('folded', 'bigint', 'bigint', ['0', '0'], '4294967297'),
  one('bigint_numeric', 'bigint', 'numeric', ['-9007199254740993', '-9007199254740993.00'], '-9007199254740992'),
  one('scale', 'numeric(10, 3)', 'numeric', ["'1.000'", "'1.0'"], "'1.001'"),
  // hash_numeric leaves out the sign, and takes all that is not finite for one.
  one('sign', 'numeric', 'numeric', ['5', '5.0'], '-5'),
  one('infinite', 'numeric', 'numeric', ["'Infinity'", "'Infinity'"], "'NaN'"),
  one('minus_zero', 'float8', 'float8', ["'-0'", '0'], '1e-300'),
  one('not_a_number', 'float8', 'float8', ["'NaN'", "'NaN'"], "'Infinity'"),
  one('half', 'float4', 'float8', ['0.5', '0.5'], '0.1'),
  one('float_numeric', 'float8', 'numeric', ['0.25', '0.250'], '0.26'),
  one('varchar_text', 'varchar(20)', 'text', ["'grün'", "'grün'"], "'gru\u0308n'"),
  one('padded', 'char(8)', 'char(4)', ["'ab'", "'ab'"], "'ac'"),
  one('padded_text', 'char(8)', 'text', ["'ab'", "'ab'"], "'ab '"),
  one('empty', 'text', 'text', ["''", "''"], 'NULL'),
  one('collated', 'text COLLATE public.no_case', 'text COLLATE public.no_case', ["'bob'", "'bob'"], "'BOB'"),
  one(
    'zone',
    'timestamptz',
    'timestamptz',
    ["'2026-01-01 12:00+02'", "'2026-01-01 10:00+00'"],
    "'2026-01-01 12:00+00'",
  ),
  one('no_zone', 'timestamp', 'timestamptz', ["'2026-01-01 12:00'", "'2026-01-01 12:00+00'"], "'2026-01-01 12:00+01'"),
  // The timestamps' hash folds as that of bigint does.
  one('folded_time', 'timestamp', 'timestamp', ["'2000-01-01'", "'2000-01-01'"], "'2000-01-01 01:11:34.967297'"),
  one('day', 'date', 'timestamp', ["'2026-01-01'", "'2026-01-01'"], "'2026-01-01 00:00:00.000001'"),
  one('json_text', 'json', 'json', [`'{"a": 1}'`, `'{"a": 1}'`], `'{"a":1}'`),
  one('json_jsonb', 'json', 'jsonb', [`'{"b": 1, "a": 2}'`, `'{"a": 2, "b": 1}'`], `'{"a": 2, "b": 2}'`),
  one('jsonb_scale', 'jsonb', 'jsonb', [`'{"a": 1.0}'`, `'{"a": 1.00}'`], `'{"a": 1.01}'`),
  one('span', 'interval', 'interval', ["'1 day'", "'24:00'"], "'25:00'"),
  one('numbers', 'numeric[]', 'numeric[]', ["'{1.0,NULL}'", "'{1.00,NULL}'"], "'{1.01,NULL}'"),
  one('label', 'public.mood', 'text', ["'glad'", "'glad'"], "'sad'"),
  one('labels', 'public.mood', 'public.mood', ["'glad'", "'glad'"], "'sad'"),
  one('bytes', 'bytea', 'bytea', ["'\\x00ff'", "'\\x00ff'"], "'\\x00fe'"),
  one('truth', 'boolean', 'boolean', ['true', 'true'], 'false'),
  one(
    'id128',
    'uuid',
    'uuid',
    ["'0a0b0c0d-0102-0304-0506-0708090a0b0c'", "'0A0B0C0D-0102-0304-0506-0708090A0B0C'"],
    "'0a0b0c0d-0102-0304-0506-0708090a0b0d'",
  ),
  one('numbers_between', 'int4range', 'int4range', ["'[1,5]'", "'[1,6)'"], "'[1,5)'"),
  one('narrow', 'public.short', 'text', ["'abc'", "'abc'"], "'abd'"),
];

const TYPES = `CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN short AS text CHECK (length(value) < 10);
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`;

/** Row 0: NULL everywhere; row 1: the same everywhere; from row 2 on each has one value that is another on the right. */
export function valueTables(): { left: string; right: string } {
  const table = (side: 'left' | 'right'): string => {
    const columns = VALUES.map((value) => `${value.name} ${value[side]}`).join(', ');
    const same = VALUES.map((value) => value.same[side === 'left' ? 0 : 1]);
    const rows = VALUES.map((value, at) =>
      [at + 2, ...(side === 'left' ? same : same.with(at, value.other))].join(', '),
    );
    return `${TYPES} CREATE TABLE many (id int PRIMARY KEY, ${columns}); INSERT INTO many (id) VALUES (0);
      INSERT INTO many VALUES ${[[1, ...same].join(', '), ...rows].map((row) => `(${row})`).join(', ')}; ANALYZE many`;
  };
  return { left: table('left'), right: table('right') };
}
