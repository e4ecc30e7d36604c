import { describe, expect, test } from 'vitest';
import { deparse, means, type Wanted } from './deparse.ts';
import type { RelationFacts, SchemaFacts } from './facts.ts';
import { statementsOf } from './parser.ts';
import { safeForm } from './safe-form.ts';

/** A table with rows, of which only what the forms look at is filled in. */
const table = (fields: Partial<RelationFacts> = {}): RelationFacts =>
  ({
    schema: 'app',
    name: 'users',
    kind: 'table',
    fresh: false,
    heapBytes: 8_192,
    columns: [{ name: 'email', notNull: false }],
    constraints: [],
    indexes: [],
    partitions: [],
    replicatedBy: [],
    rowSecurity: { enabled: false, forced: false },
    owned: true,
    of: null,
    ...fields,
  }) as unknown as RelationFacts;
const TOKEN = { schema: 'app', name: 'token', kind: 'domain', domain: { base: 'uuid', constrained: true } };
const factsOf = (...relations: RelationFacts[]): SchemaFacts =>
  ({
    serverVersion: 180_000,
    relations,
    functions: [],
    types: [TOKEN],
    role: { bypassesRowSecurity: false },
  }) as unknown as SchemaFacts;
function formOf(sql: string, relation = table(), ...others: RelationFacts[]) {
  const [statement] = statementsOf(sql);
  if (statement === undefined) throw new Error('no statement');
  return safeForm(statement, 'app', factsOf(relation, ...others));
}
const texts = (sql: string, relation?: RelationFacts): string[] | null =>
  formOf(sql, relation)?.units.map((unit) => unit.text) ?? null;

describe('SQL from a tree', () => {
  function treeOf(sql: string): Wanted {
    const [statement] = statementsOf(sql);
    if (statement === undefined) throw new Error('no statement');
    return statement;
  }
  const LOST = 'ALTER TABLE users ADD CONSTRAINT one UNIQUE (email) INCLUDE (age)';

  test('counts only where it reads as the tree that was meant', () => {
    expect(deparse(treeOf('ALTER TABLE users ADD CONSTRAINT one UNIQUE (email)'))).not.toBeNull();
    expect(deparse(treeOf(LOST))).toBeNull();
  });
  test('is the first other writing that means the same', () => {
    const others = ['ALTER TABLE users', LOST.replace('age', 'id'), LOST.toLowerCase(), LOST];
    expect(deparse(treeOf(LOST), ...others.map((text) => () => text))).toBe(LOST.toLowerCase());
  });
  test('is one statement', () => {
    expect(means(`${LOST}; ${LOST}`, treeOf(LOST))).toBe(false);
    expect(means(`/* the same */ ${LOST};`, treeOf(LOST))).toBe(true);
  });
});

describe('a statement runs as written', () => {
  const CHECK = 'ALTER TABLE users ADD CHECK (email > 0)';
  test.each([
    ['on a table that is empty', CHECK, table({ heapBytes: 0 })],
    ['on a table that the same plan makes', CHECK, table({ fresh: true })],
    ['on a table that isn’t there', CHECK, table({ name: 'others' })],
    ['where it is safe already', 'ALTER TABLE users ADD CHECK (email > 0) NOT VALID', table()],
    ['where it isn’t enforced', 'ALTER TABLE users ADD CHECK (email > 0) NOT ENFORCED', table()],
    ['where the column is there already', 'ALTER TABLE users ADD COLUMN IF NOT EXISTS email text UNIQUE', table()],
    ['where a default is constant', `ALTER TABLE users ADD COLUMN a text DEFAULT 'x' NOT NULL`, table()],
    [
      'where a valid check says NOT NULL',
      'ALTER TABLE users ALTER email SET NOT NULL',
      table({
        constraints: [
          {
            name: 'c',
            kind: 'check',
            columns: ['email'],
            validated: true,
            deferrable: false,
            definition: 'CHECK ((email IS NOT NULL))',
            references: null,
          },
        ],
      }),
    ],
  ])('%s', (_name, sql, relation) => expect(formOf(sql, relation)).toBeNull());
});

describe('rows that an UPDATE can’t fill, or must not, get their value from the statement as written', () => {
  const FILLED = 'ALTER TABLE users ADD COLUMN a uuid DEFAULT gen_random_uuid()';
  const child = { schema: 'app', name: 'heirs' };
  const below = [{ ...child, parent: { schema: 'app', name: 'users' }, leaf: true }];
  const heir = table({ ...child, columns: [{ name: 'a' }] } as unknown as Partial<RelationFacts>);
  const published = {
    replicatedBy: ['others'],
    standing: { replicaIdentity: 'default' },
  } as unknown as Partial<RelationFacts>;
  const key = { name: 'users_pkey', kind: 'primary' } as RelationFacts['constraints'][number];

  test('a published table needs something to know its rows by', () => {
    expect(formOf(FILLED, table(published))).toBeNull();
    expect(formOf(FILLED, table({ ...published, constraints: [key] }))?.units).toHaveLength(2);
  });
  test('a domain that checks its values takes no NULL meanwhile', () => {
    expect(formOf(FILLED.replace('uuid', 'token'))).toBeNull();
  });
  test('an heir’s own column keeps the values that it has', () => {
    expect(formOf(FILLED, table({ partitions: below }), heir)).toBeNull();
    expect(formOf(FILLED, table({ partitions: below }), table(child))?.units).toHaveLength(2);
  });
  test('policies hide rows from the owner only where they are forced', () => {
    expect(formOf(FILLED, table({ rowSecurity: { enabled: true, forced: true } }))).toBeNull();
    expect(formOf(FILLED, table({ rowSecurity: { enabled: true, forced: false } }))?.units).toHaveLength(2);
  });
  test('a partition’s primary key is taken over', () => {
    const add = 'ALTER TABLE users ADD PRIMARY KEY (email)';
    const parent = table({ kind: 'partitioned', partitions: below, columns: [] });
    expect(formOf(add, parent, table({ ...child, constraints: [key] }))).toBeNull();
    expect(formOf(add, parent, table(child))).not.toBeNull();
  });
});

test('a function that nobody knows may give another value for each row', () => {
  expect(texts('ALTER TABLE users ADD COLUMN a int DEFAULT ours()')).toHaveLength(2);
});

test('a rule is avoided only where no command of the statement breaks it', () => {
  const both = 'ALTER TABLE users ADD COLUMN a serial, ADD COLUMN b int GENERATED ALWAYS AS IDENTITY';
  expect(formOf('ALTER TABLE users ADD COLUMN a serial')?.avoids).toContain('add-column-identity-or-serial');
  expect(formOf(both)?.avoids).not.toContain('add-column-identity-or-serial');
});

test('commands that stay keep their author’s words where the deparser loses some', () => {
  const stays = 'ADD COLUMN a text STORAGE EXTERNAL COMPRESSION pglz /* why */';
  expect(texts(`ALTER TABLE ONLY users ${stays}, ALTER COLUMN email SET NOT NULL`)?.[0]).toBe(
    `ALTER TABLE ONLY users ${stays.replace(' /* why */', '')}`,
  );
});

test('a name is taken once', () => {
  const names = texts('ALTER TABLE users ADD UNIQUE (email), ADD UNIQUE (email)')?.filter((text) =>
    /INDEX CON/.test(text),
  );
  expect(names).toEqual([
    'CREATE UNIQUE INDEX CONCURRENTLY users_email_key ON users (email)',
    'CREATE UNIQUE INDEX CONCURRENTLY users_email_key1 ON users (email)',
  ]);
});
