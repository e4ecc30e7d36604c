import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database, type Queryable } from '../../src/adapters/postgres/database.ts';
import { readSchemaFacts } from '../../src/adapters/postgres/schema-facts.ts';
import { evolve, namesUsed, type RelationFacts, type SchemaFacts, statementsOf } from '../../src/sql/index.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

let fresh: FreshDatabase;
let database: Database;
beforeAll(async () => {
  fresh = await freshDatabase('evolve');
  database = new Database('app', { url: fresh.url });
});
afterAll(async () => {
  await database.close();
  await fresh.drop();
});

const GIVEN = `
  CREATE TYPE mood AS ENUM ('sad', 'glad');
  CREATE DOMAIN plain AS integer;
  CREATE TABLE countries (id bigint PRIMARY KEY, code text NOT NULL UNIQUE);
  CREATE TABLE users (id bigint PRIMARY KEY, email varchar(40), age integer DEFAULT 7, country bigint,
    CONSTRAINT grown_up CHECK (age > 0));
  CREATE INDEX users_email ON users (email);
  ALTER TABLE users ADD CONSTRAINT users_country FOREIGN KEY (country) REFERENCES countries NOT VALID;
  ALTER TABLE users ADD CONSTRAINT aged CHECK (age < 200) NOT VALID;
  CREATE VIEW addresses AS SELECT id, email FROM users;
  CREATE TABLE visits (id bigint, at date, page text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
  CREATE TABLE visits_26 PARTITION OF visits FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
  CREATE TABLE visits_27 (id bigint NOT NULL, at date NOT NULL, page text, PRIMARY KEY (id, at));
  CREATE SEQUENCE numbers`;

/** Statements one after the other, each list on the schema above. */
const STORIES: Readonly<Record<string, string>> = {
  columns: `ALTER TABLE users ADD COLUMN handle text NOT NULL DEFAULT 'x';
    ALTER TABLE users ADD COLUMN feeling mood;
    ALTER TABLE users ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
    ALTER TABLE users ADD COLUMN twice integer GENERATED ALWAYS AS (age * 2) STORED;
    ALTER TABLE users ALTER COLUMN age DROP DEFAULT, ALTER COLUMN email SET DEFAULT '';
    ALTER TABLE users ALTER COLUMN handle TYPE varchar(20);
    ALTER TABLE users ALTER COLUMN number DROP IDENTITY;
    ALTER TABLE users RENAME COLUMN handle TO nick`,
  'not null': `ALTER TABLE users ADD CONSTRAINT email_given CHECK (email IS NOT NULL) NOT VALID;
    ALTER TABLE users VALIDATE CONSTRAINT email_given;
    ALTER TABLE users ALTER COLUMN email SET NOT NULL;
    ALTER TABLE users DROP CONSTRAINT email_given;
    ALTER TABLE countries ALTER COLUMN code DROP NOT NULL;
    ALTER TABLE visits ALTER COLUMN page SET NOT NULL`,
  constraints: `ALTER TABLE users VALIDATE CONSTRAINT aged;
    ALTER TABLE users VALIDATE CONSTRAINT users_country;
    ALTER TABLE users ADD UNIQUE (email, age);
    ALTER TABLE users ADD CHECK (email <> '');
    ALTER TABLE users DROP CONSTRAINT grown_up;
    CREATE UNIQUE INDEX users_age ON users (age);
    ALTER TABLE users ADD CONSTRAINT one_age UNIQUE USING INDEX users_age;
    ALTER TABLE users RENAME CONSTRAINT one_age TO each_age;
    ALTER TABLE users DROP CONSTRAINT users_country`,
  'foreign keys': `ALTER TABLE visits_27 ADD CONSTRAINT by_user FOREIGN KEY (id) REFERENCES users;
    CREATE TABLE notes (id bigint PRIMARY KEY, author bigint REFERENCES users, place text REFERENCES countries (code));
    ALTER TABLE notes ADD COLUMN editor bigint REFERENCES users;
    ALTER TABLE notes DROP COLUMN author;
    ALTER TABLE countries DROP CONSTRAINT countries_code_key CASCADE`,
  drops: `ALTER TABLE users DROP COLUMN email CASCADE;
    DROP TABLE visits_26;
    DROP INDEX IF EXISTS nothing;
    DROP SEQUENCE numbers;
    DROP TABLE users`,
  tables: `CREATE TABLE a (id bigserial PRIMARY KEY, b integer NOT NULL CHECK (b > 0), c text UNIQUE, UNIQUE (b, c));
    CREATE TABLE like_a (LIKE a INCLUDING DEFAULTS INCLUDING CONSTRAINTS, d plain);
    CREATE INDEX ON a (b);
    ALTER TABLE a RENAME TO aa;
    ALTER INDEX a_b_idx RENAME TO aa_b;
    CREATE SCHEMA other;
    ALTER TABLE aa SET SCHEMA other`,
  partitions: `CREATE TABLE visits_28 PARTITION OF visits FOR VALUES FROM ('2028-01-01') TO ('2029-01-01');
    ALTER TABLE visits ATTACH PARTITION visits_27 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01');
    ALTER TABLE visits DETACH PARTITION visits_26;
    CREATE TABLE visits_else PARTITION OF visits DEFAULT;
    ALTER TABLE visits ADD COLUMN seconds integer`,
  views: `CREATE VIEW ages AS SELECT id, age FROM users;
    CREATE MATERIALIZED VIEW by_age AS SELECT age, count(*) AS people FROM users GROUP BY age;
    ALTER TABLE users RENAME TO people;
    DROP VIEW addresses`,
  types: `ALTER TYPE mood ADD VALUE 'so so' BEFORE 'glad';
    CREATE TYPE size AS ENUM ('s', 'm');
    CREATE DOMAIN small AS integer CHECK (VALUE < 10);
    ALTER TYPE size RENAME TO sizes;
    DROP TYPE mood`,
};

/** What of the facts a statement itself tells: not sizes, not texts that Postgres prints in its own way. */
function told(facts: SchemaFacts): string[] {
  const sorted = <T>(items: readonly T[]): T[] =>
    items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  const name = ({ schema, name: of }: { schema: string; name: string }): string => `${schema}.${of}`;
  const relation = (one: RelationFacts): unknown => ({
    name: name(one),
    kind: one.kind,
    of: one.of === null ? null : name(one.of),
    columns: one.kind.endsWith('view')
      ? 'known to Postgres'
      : one.columns.map(({ name: of, type, notNull, default: has, generated, identity }) => ({
          name: of,
          type,
          notNull,
          default: has !== null,
          generated,
          identity,
        })),
    constraints: sorted(
      one.constraints.map(({ kind, name: of, columns, validated, references }) => ({
        kind,
        // Partitions and copies get names by rules of their own.
        name: kind === 'not null' || one.parents.length > 0 ? '' : of,
        columns: kind === 'check' ? sorted(columns) : columns,
        validated,
        references: references === null ? null : [name(references), references.columns],
      })),
    ),
    indexes: sorted(
      one.indexes.map(({ name: of, columns, unique, valid, constraint }) => ({
        name: one.parents.length > 0 ? '' : of,
        columns,
        unique,
        valid,
        constraint: constraint !== null,
      })),
    ),
    partitions: sorted(
      one.partitions.map((part) => `${name(part)} of ${name(part.parent)} ${part.leaf} ${part.default}`),
    ),
    parents: one.parents.map(name),
    readBy: sorted(one.readBy.map((view) => `${name(view)} ${view.kind} ${sorted(view.columns).join(',')}`)),
    referencedBy: sorted(
      one.referencedBy.map((key) => `${key.schema}.${key.table} ${key.constraint} ${key.columns.join(',')}`),
    ),
  });
  // Indexes and sequences come with their tables; only those that a statement makes by name are told.
  const tables = facts.relations.filter(({ kind }) => kind !== 'index' && kind !== 'sequence');
  const types = facts.types.map(({ kind, labels, domain, ...of }) => ({
    name: name(of),
    kind,
    labels,
    domain: domain ?? null,
  }));
  return [...tables.map(relation), ...types].map((one) => JSON.stringify(one));
}

const NAMED = `countries, users, visits, visits_27`;

describe('the facts after a statement are those that Postgres has then', () => {
  test.each(Object.entries(STORIES))('%s', async (_, sql) => {
    const undo = new Error('rolled back');
    const wrong: unknown[] = [];
    const story = async (session: Queryable): Promise<void> => {
      await session.query(`CREATE SCHEMA shop; SET LOCAL search_path = shop; ${GIVEN}`);
      const named = namesUsed(`SELECT FROM ${NAMED}; ${sql}`, 'shop');
      const read = async (): Promise<SchemaFacts> => {
        await session.query('SET LOCAL search_path = pg_catalog');
        // Under names that come later too.
        const relations = [...named.relations, ...named.relations.map(({ name }) => ({ schema: 'other', name }))];
        const later = ['aa', 'people', 'aa_b'].flatMap((name) => ['shop', 'other'].map((schema) => ({ schema, name })));
        const types = [
          ...named.types,
          ...['mood', 'plain', 'small', 'sizes'].map((name) => ({ schema: 'shop', name })),
        ];
        return readSchemaFacts(session, { ...named, relations: [...relations, ...later], types });
      };
      let facts = await read();
      for (const statement of statementsOf(sql)) {
        facts = evolve(facts, statement, 'shop');
        await session.query('SET LOCAL search_path = shop');
        await session.query(statement.text);
        const [foretold, there] = [told(facts), told(await read())];
        const [missing, extra] = [
          there.filter((one) => !foretold.includes(one)),
          foretold.filter((one) => !there.includes(one)),
        ];
        if (missing.length > 0 || extra.length > 0) wrong.push({ statement: statement.text, extra, missing });
      }
      throw undo;
    };
    await expect(database.transaction(story)).rejects.toBe(undo);
    expect(wrong).toEqual([]);
  });
});

test('a column that is dropped no longer uses its type: a later statement may drop that', async () => {
  const undo = new Error('rolled back');
  const uses: unknown[] = [];
  const story = async (session: Queryable): Promise<void> => {
    await session.query(`CREATE SCHEMA shop; SET LOCAL search_path = shop; ${GIVEN};
      CREATE TABLE people (id int, feeling mood); CREATE TABLE pets (id int, feeling mood)`);
    await session.query('SET LOCAL search_path = pg_catalog');
    const sql = 'ALTER TABLE people DROP COLUMN feeling; DROP TYPE mood';
    let facts = await readSchemaFacts(session, namesUsed(sql, 'shop'));
    uses.push(facts.types[0]?.usedBy);
    for (const statement of statementsOf(sql).slice(0, 1)) facts = evolve(facts, statement, 'shop');
    uses.push(facts.types[0]?.usedBy);
    throw undo;
  };
  await expect(database.transaction(story)).rejects.toBe(undo);
  const of = (table: string) => ({ schema: 'shop', table, column: 'feeling' });
  expect(uses).toEqual([expect.arrayContaining([of('people'), of('pets')]), [of('pets')]]);
});
