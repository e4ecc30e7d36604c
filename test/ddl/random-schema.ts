import fc from 'fast-check';
import { quoteIdentifier as q, quoteLiteral } from '../../src/adapters/postgres/identifier.ts';

/** Random schemas, and random plans over them, as SQL that is mostly valid: what Postgres refuses is a failed step. */

export interface Relation {
  name: string;
  kind: 'table' | 'partitioned' | 'view' | 'materialized';
  columns: string[];
  indexes: string[];
  constraints: string[];
}
export interface World {
  relations: Relation[];
  enums: string[];
  domains: string[];
  composites: string[];
  sequences: string[];
  functions: string[];
}
/** Numbers that an operation picks by: whatever they are, they pick something that is there. */
export interface Choice {
  op: number;
  a: number;
  b: number;
  c: number;
}
export const choice: fc.Arbitrary<Choice> = fc.record({
  op: fc.nat(1_000),
  a: fc.nat(1_000),
  b: fc.nat(1_000),
  c: fc.nat(1_000),
});

export const emptyWorld = (): World => ({
  relations: [],
  enums: [],
  domains: [],
  composites: [],
  sequences: [],
  functions: [],
});

const ODD_NAMES = ['Mixed Case', 'straße', 'quote"d', 'select', 'ユーザー', 'a.b', "apo'strophe", 'ü'.repeat(31)];
/** A name that nothing has yet: plain ones mostly, odd ones now and then. */
export function freshName(world: World, stem: string, number: number): string {
  const odd = number % 4 === 0 ? (ODD_NAMES[number % ODD_NAMES.length] ?? '') : '';
  const base =
    odd === '' ? `${stem}_${number % 100}` : Buffer.from(odd).subarray(0, 58).toString('utf8').replace(/�+$/, '');
  const taken = new Set([
    ...world.relations.flatMap(({ name, columns, indexes, constraints }) => [
      name,
      ...columns,
      ...indexes,
      ...constraints,
    ]),
    ...world.enums,
    ...world.domains,
    ...world.composites,
    ...world.sequences,
    ...world.functions,
  ]);
  for (let suffix = 0; ; suffix++) {
    const name = suffix === 0 ? base : `${base.slice(0, 26)}_${suffix}`;
    if (!taken.has(name)) return name;
  }
}

export const pick = <T>(items: readonly T[], number: number): T | undefined =>
  items[number % Math.max(1, items.length)];
export const tablesOf = (world: World): Relation[] =>
  world.relations.filter(({ kind }) => kind === 'table' || kind === 'partitioned');

const TYPES: readonly [type: string, value: string][] = [
  ['integer', '7'],
  ['bigint', '-9007199254740993'],
  ['text', `'it''s'`],
  ['varchar(20)', `'v'`],
  ['numeric(12,3)', '1.50'],
  ['boolean', 'true'],
  ['date', `'2026-01-02'`],
  ['timestamptz', `'2026-01-02 03:04:05+00'`],
  ['uuid', `'00000000-0000-4000-8000-000000000001'`],
  ['jsonb', `'{"a": [1, null]}'`],
  ['text[]', `'{a,b}'`],
  ['bytea', `'\\x00ff'`],
  ['double precision', `'NaN'`],
  ['inet', `'10.0.0.1'`],
  ['int4range', `'[1,5)'`],
  ['json', `'{}'`],
];

/** A column's type with a value of it; now and then one that the schema itself made. */
export function randomType(world: World, number: number): readonly [type: string, value: string] {
  const own = number % 5 === 0 ? pick([...world.enums, ...world.domains], number) : undefined;
  if (own !== undefined) return [q(own), world.enums.includes(own) ? `'one'` : '5'];
  return pick(TYPES, number) ?? ['text', `''`];
}

/** `"name" type DEFAULT … NOT NULL …` */
export function columnSql(world: World, name: string, { a, b, c }: Choice): string {
  const [type, value] = randomType(world, a);
  switch (b % 9) {
    case 0:
      return `${q(name)} ${type} DEFAULT ${value}`;
    case 1:
      return `${q(name)} ${type} NOT NULL DEFAULT ${value}`;
    case 2:
      return `${q(name)} text DEFAULT 'x' CHECK (length(${q(name)}) < ${10 + c})`;
    case 3:
      return `${q(name)} integer GENERATED ALWAYS AS (1 + ${c}) STORED`;
    case 4:
      return `${q(name)} integer UNIQUE`;
    case 5:
      return `${q(name)} text COLLATE "C"`;
    default:
      return `${q(name)} ${type}`;
  }
}

function tableSql(world: World, given: Choice): string[] {
  const { a, b, c } = given;
  const name = freshName(world, 'table', a);
  const columns = [freshName(world, 'id', b + 1)];
  const relation: Relation = { name, kind: 'table', columns, indexes: [], constraints: [] };
  const list = [`${q(columns[0] ?? '')} integer NOT NULL`];
  world.relations.push(relation);
  for (let i = 0; i < 1 + (c % 4); i++) {
    const column = freshName(world, 'col', a + b + 7 * i);
    columns.push(column);
    const own = { op: 0, a: a + i, b: b + 3 * i, c };
    // Partition keys rule out some constraints; these tables have plain columns.
    list.push(c % 5 === 1 ? `${q(column)} text` : columnSql(world, column, own));
  }
  const id = q(columns[0] ?? '');
  if (c % 5 === 1) {
    relation.kind = 'partitioned';
    const part = freshName(world, 'part', b);
    world.relations.push({ name: part, kind: 'table', columns: [...columns], indexes: [], constraints: [] });
    return [
      `CREATE TABLE ${q(name)} (${list.join(', ')}, PRIMARY KEY (${id})) PARTITION BY RANGE (${id})`,
      `CREATE TABLE ${q(part)} PARTITION OF ${q(name)} FOR VALUES FROM (MINVALUE) TO (1000)`,
    ];
  }
  if (c % 5 === 2) {
    const heir = freshName(world, 'heir', b);
    world.relations.push({ name: heir, kind: 'table', columns: [...columns], indexes: [], constraints: [] });
    return [
      `CREATE TABLE ${q(name)} (${list.join(', ')})`,
      `CREATE TABLE ${q(heir)} (more text) INHERITS (${q(name)})`,
    ];
  }
  const key = c % 5 === 3 ? '' : `, PRIMARY KEY (${id})`;
  return [`CREATE TABLE ${q(name)} (${list.join(', ')}${key})`];
}

/** SQL that makes a schema, statement by statement, and rows in its tables. Names are unqualified. */
export function schemaSql(world: World, choices: readonly Choice[]): string[] {
  const statements: string[] = [];
  for (const one of choices) {
    switch (one.op % 8) {
      case 0: {
        const name = freshName(world, 'kind', one.a);
        world.enums.push(name);
        statements.push(`CREATE TYPE ${q(name)} AS ENUM ('one', 'two')`);
        break;
      }
      case 1: {
        const name = freshName(world, 'amount', one.a);
        world.domains.push(name);
        statements.push(`CREATE DOMAIN ${q(name)} AS integer DEFAULT 3 CHECK (VALUE < 1000)`);
        break;
      }
      case 2: {
        const name = freshName(world, 'pair', one.a);
        world.composites.push(name);
        statements.push(`CREATE TYPE ${q(name)} AS (x integer, "the y" text)`);
        break;
      }
      case 3: {
        const name = freshName(world, 'twice', one.a);
        world.functions.push(name);
        statements.push(
          `CREATE FUNCTION ${q(name)}(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 * 2'`,
        );
        break;
      }
      default:
        statements.push(...tableSql(world, one));
    }
  }
  for (const { name, columns } of tablesOf(world)) {
    const id = columns[0] ?? '';
    statements.push(`INSERT INTO ${q(name)} (${q(id)}) SELECT i FROM generate_series(1, 3) i`);
  }
  return statements;
}

export const textLiteral = (text: string): string => quoteLiteral(text).trim();
