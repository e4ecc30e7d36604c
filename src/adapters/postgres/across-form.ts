import type { TypeFacts } from './across-types.ts';

/**
 * How a pair of columns, one of each side, is made comparable: the SQL of a value's canonical text, and of its hash. Two
 * values are equal across databases where their canonical texts are. Text counts byte for byte, whatever the collations
 * say: a collation's opinion is worth nothing in another database.
 *
 * Postgres's own hash functions are made for hash joins, not for comparing: `hash_numeric_extended` leaves out the sign
 * and takes NaN and the infinities for one, `hashint8extended` and the timestamps' fold 64 bits into 32, `hashbpchar`
 * and `jsonb_hash_extended` rest on these. So only text, uuid and integers use theirs, integers with the value mixed into
 * the seed, which keeps all 64 bits; every other type is hashed by its canonical text.
 */
export interface Form {
  native: 'integer' | 'uuid' | 'text';
  /** The value as `native` is hashed. */
  value(sql: string): string;
  /** The canonical text; NULL stays NULL. */
  text(sql: string): string;
  /** Postgres takes some values for equal whose texts differ: then its own equality, of this type, has the last word. */
  looseType: string | null;
}

/** What both servers can do alike: seen by asking both for the same hashes, not by their versions. */
export interface HashWay {
  /** Both give the same extended hashes. Elsewhere md5 does it, which is slower and the same everywhere. */
  native: boolean;
  /** Both keep text in the same encoding; elsewhere it is hashed as UTF-8. */
  sameEncoding: boolean;
}

const INTEGERS = new Set(['smallint', 'integer', 'bigint']);
const FLOATS = new Set(['real', 'double precision']);
const DATES = new Set(['date', 'timestamp without time zone', 'timestamp with time zone']);
/** Types whose equal values have one text only. */
const STRICT = new Set([
  ...['text', 'character varying', 'character', 'name', 'boolean', 'oid', 'json', 'xml', 'bytea', 'uuid', 'money'],
  ...[...DATES, 'time without time zone', 'pg_lsn', 'macaddr', 'macaddr8', 'inet', 'cidr', 'bit', 'bit varying'],
]);

const asText = (cast: (sql: string) => string, looseType: string | null = null): Form => ({
  native: 'text',
  value: cast,
  text: cast,
  looseType,
});

/** The form of a pair of types: of a value of either type, on either side. */
export function formOf(left: TypeFacts, right: TypeFacts): Form {
  const names = [left.name, right.name];
  const all = (set: ReadonlySet<string>): boolean => names.every((name) => set.has(name));
  const both = (name: string): boolean => names.every((one) => one === name);
  const numbers = new Set([...INTEGERS, ...FLOATS, 'numeric']);
  if (all(INTEGERS)) {
    return { native: 'integer', value: (sql) => `(${sql})::bigint`, text: (sql) => `(${sql})::text`, looseType: null };
  }
  if (both('uuid')) return { native: 'uuid', value: (sql) => sql, text: (sql) => `(${sql})::text`, looseType: null };
  // −0 plus 0 is 0: they are equal, and print differently.
  if (all(numbers) && names.some((name) => FLOATS.has(name))) return asText((sql) => `((${sql})::float8 + 0)::text`);
  if (all(numbers)) return asText((sql) => `trim_scale((${sql})::numeric)::text`);
  if (both('bytea')) return asText((sql) => `encode(${sql}, 'hex')`);
  if (both('money')) return asText((sql) => `(${sql})::numeric::text`);
  if (names.includes('json') && names.includes('jsonb')) return asText((sql) => `(${sql})::jsonb::text`, 'jsonb');
  if (all(DATES) && left.name !== right.name) {
    const wider = names.includes('timestamp with time zone') ? 'timestamptz' : 'timestamp';
    return asText((sql) => `(${sql})::${wider}::text`);
  }
  const loose = left.name === right.name && left.builtIn && right.builtIn && !STRICT.has(left.name) && left.hasEquality;
  return asText((sql) => `(${sql})::text`, loose ? left.name : null);
}

/** A column with its form, as one side gives it. */
export interface FormedColumn {
  sql: string;
  form: Form;
}

/**
 * The hash of a row: of each column with a seed of its own, so that values which change places show, and a constant of
 * its own for NULL, which would otherwise take the row out of `bit_xor`; these together seed the hash of the key, so that
 * rows which exchange their values don't cancel each other out. Keys are unique, so no two rows of a side have the same
 * hash but by accident: a range that differs passes for equal with a probability of 2⁻⁶⁴.
 */
export function rowHash(key: readonly FormedColumn[], columns: readonly FormedColumn[], way: HashWay): string {
  const values = columns.map(
    ({ sql, form }, index) => `coalesce(${hashOf(sql, form, `${index + 1}::bigint`, way)}, ${nullHash(index)})`,
  );
  return keyHash(key, values.length === 0 ? '1::bigint' : `(${values.join(' # ')})`, way);
}

export const keyHash = (key: readonly FormedColumn[], seed: string, way: HashWay): string =>
  key.reduce((inner, { sql, form }) => hashOf(sql, form, inner, way), seed);

function hashOf(sql: string, form: Form, seed: string, way: HashWay): string {
  if (!way.native) {
    return `('x' || left(md5(convert_to(${form.text(sql)} || ':' || (${seed})::text, 'UTF8')), 16))::bit(64)::bigint`;
  }
  switch (form.native) {
    case 'integer':
      return `hashint8extended(${form.value(sql)}, ${form.value(sql)} # ${seed})`;
    case 'uuid':
      return `uuid_hash_extended(${form.value(sql)}, ${seed})`;
    case 'text': {
      const text = form.value(sql);
      const bytes = way.sameEncoding ? text : `encode(convert_to(${text}, 'UTF8'), 'hex')`;
      return `hashtextextended(${bytes} COLLATE "C", ${seed})`;
    }
  }
}

/** Multiples of the golden ratio of 2⁶⁴: far from each other and from every seed. */
const nullHash = (index: number): string =>
  `'${BigInt.asIntN(64, 0x9e37_79b9_7f4a_7c15n * BigInt(index + 1))}'::bigint`;

/** What both servers are asked, to see whether they hash alike: short and long, positive and negative. */
export const PROBE = `
SELECT concat_ws(' ', hashtextextended('x' COLLATE "C", 42), hashtextextended('Switchback compares every row' COLLATE "C", -7),
  hashint8extended(-4294967297, 9), uuid_hash_extended('0a0b0c0d-0102-0304-0506-0708090a0b0c', 5)) AS hashes,
  (SELECT pg_encoding_to_char(d.encoding) FROM pg_database d WHERE d.datname = current_database()) AS encoding`;
