import { type SqlNode, parseSql } from './parser.ts';
import { fieldsOf, listIn, nodeIn, textsIn } from './tree.ts';

/** A type as the parser names it, the same whether a statement writes it or `format_type` prints it. */
export interface SqlType {
  /** null for Postgres's own. */
  schema: string | null;
  /** `int4`, `varchar`, `timestamptz`; a type of the user's by its own name. */
  name: string;
  /** `[20]` of varchar(20), `[10, 2]` of numeric(10,2); empty where none are given. */
  modifiers: readonly number[];
  array: boolean;
}

const OWN =
  'aclitem bit bool box bpchar bytea char cid cidr circle date datemultirange daterange float4 float8 inet int2 int4 ' +
  'int4multirange int4range int8 int8multirange int8range interval json jsonb jsonpath line lseg macaddr macaddr8 money ' +
  'name numeric nummultirange numrange oid path pg_lsn point polygon refcursor regclass regcollation regconfig ' +
  'regdictionary regnamespace regoper regoperator regproc regprocedure regrole regtype text tid time timestamp ' +
  'timestamptz timetz tsmultirange tsquery tsrange tstzmultirange tstzrange tsvector txid_snapshot uuid varbit varchar ' +
  'xid xid8 xml';
const OWN_TYPES = new Set(OWN.split(' '));
const SERIALS: Readonly<Record<string, string>> = {
  serial: 'int4',
  serial4: 'int4',
  bigserial: 'int8',
  serial8: 'int8',
  smallserial: 'int2',
  serial2: 'int2',
};
/** Names that `format_type` prints in SQL's own words. */
const PRINTED: Readonly<Record<string, string>> = {
  bool: 'boolean',
  bpchar: 'character',
  char: '"char"',
  float4: 'real',
  float8: 'double precision',
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  time: 'time without time zone',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
  timetz: 'time with time zone',
  varbit: 'bit varying',
  varchar: 'character varying',
};
/** What the parser writes for an interval of all fields, before its precision. */
export const INTERVAL_FULL_RANGE = 32_767;

/** A `TypeName` of the parse tree; unqualified types of the user's are in `schema`. */
export function typeOf(node: SqlNode, schema: string): SqlType {
  const names = textsIn(node['names']);
  const written = names.at(-1) ?? '';
  const stated = names.length > 1 ? (names.at(-2) ?? null) : null;
  const modifiers = listIn(node['typmods']).map((item) => {
    // A zero is left out of the tree.
    const value = nodeIn(fieldsOf(item, 'A_Const')?.['ival'])['ival'];
    return typeof value === 'number' ? value : 0;
  });
  const array = listIn(node['arrayBounds']).length > 0;
  const name = stated === null ? (SERIALS[written] ?? written) : written;
  const own = stated === 'pg_catalog' || (stated === null && OWN_TYPES.has(name));
  return { schema: own ? null : (stated ?? schema), name, modifiers: canonical(name, modifiers), array };
}

/** `numeric(10)` is numeric(10,0), `interval` with all fields is plain. */
function canonical(name: string, modifiers: number[]): number[] {
  if (name === 'numeric' && modifiers.length === 1) return [...modifiers, 0];
  if (name === 'interval' && modifiers.length === 1 && modifiers[0] === INTERVAL_FULL_RANGE) return [];
  return modifiers;
}

const read = new Map<string, SqlType>();
const READ_MAX = 2_000;

/** A type as the catalog prints it (`character varying(20)`, `app.mood[]`). */
export function typeIn(text: string): SqlType {
  const known = read.get(text);
  if (known !== undefined) return known;
  if (read.size >= READ_MAX) read.clear();
  // format_type prints "character" for char(1) only with its length; without one it is bpchar.
  const plain = text === 'character' ? 'bpchar' : text;
  const type = typeOf(castIn(`SELECT NULL::${plain}`), '');
  read.set(text, type);
  return type;
}

function castIn(sql: string): SqlNode {
  const select = fieldsOf(parseSql(sql).stmts?.[0]?.stmt, 'SelectStmt');
  const target = fieldsOf(listIn(select?.['targetList'])[0], 'ResTarget');
  return nodeIn(fieldsOf(target?.['val'], 'TypeCast')?.['typeName']);
}

/** A type as `format_type` prints it where the search path has nothing of the user's. */
export function typeText({ schema, name, modifiers, array }: SqlType): string {
  const base = schema === null ? (PRINTED[name] ?? name) : `${printed(schema)}.${printed(name)}`;
  const given = modifiers.length === 0 || name === 'interval' ? '' : `(${modifiers.join(',')})`;
  // The length of a timestamp stands in the middle: timestamp(3) without time zone.
  const full = /^time(stamp)?(tz)?$/.test(name) ? base.replace(/^(time(?:stamp)?)/, `$1${given}`) : `${base}${given}`;
  const interval = name === 'interval' && modifiers.length === 2 ? `(${modifiers[1]})` : '';
  const character = name === 'bpchar' && modifiers.length === 0 ? 'bpchar' : full;
  return `${character}${interval}${array ? '[]' : ''}`;
}
/** A name as Postgres prints it in a definition: for comparing and showing, never for running. */
const printed = (name: string): string => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

export const sameType = (a: SqlType, b: SqlType): boolean => typeText(a) === typeText(b);
