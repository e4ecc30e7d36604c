import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { readSchemaFacts } from '../../src/adapters/postgres/schema-facts.ts';
import { relationOf, type RelationFacts, type SchemaFacts } from '../../src/sql/facts.ts';
import { type Postgres14, postgres14 } from '../harness/postgres-14.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

const GIVEN = `
CREATE SCHEMA shop; SET search_path = shop;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN email AS text CHECK (VALUE LIKE '%@%');
CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE FUNCTION price(a int, b int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT a * b';
CREATE TABLE "Kunden" (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mail email, moods mood[],
  half text GENERATED ALWAYS AS (left(name, 2)) STORED, note text COLLATE "C" DEFAULT lower('X'), CONSTRAINT short CHECK (length(name) < 9));
INSERT INTO "Kunden" (name, mail) SELECT 'n' || i, CASE WHEN i % 4 = 0 THEN 'a@b' END FROM generate_series(1, 1000) i;
CREATE INDEX by_name ON "Kunden" (name, lower(note)) WHERE mail IS NOT NULL;
CREATE TRIGGER stamps BEFORE UPDATE ON "Kunden" FOR EACH ROW EXECUTE FUNCTION stamp();
CREATE TABLE orders (id int, customer bigint CONSTRAINT of_customer REFERENCES "Kunden" (id) DEFERRABLE, at date NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2026-01-01') TO ('2026-02-01') PARTITION BY LIST (id);
CREATE TABLE orders_1_a PARTITION OF orders_1 FOR VALUES IN (1, 2);
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
CREATE INDEX orders_at ON orders (at);
INSERT INTO orders SELECT 1, 1, '2026-01-05' FROM generate_series(1, 300);
INSERT INTO orders SELECT 7, 1, '2026-02-05' FROM generate_series(1, 200);
ALTER TABLE orders ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
CREATE VIEW names AS SELECT id, name FROM "Kunden";
CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS n FROM names;
CREATE TABLE apart (a int); CREATE TABLE unread (a text); INSERT INTO unread VALUES ('x');
CREATE TABLE parent (a int); CREATE TABLE heir (b int) INHERITS (parent);
ALTER TABLE "Kunden" ENABLE ROW LEVEL SECURITY;
CREATE PUBLICATION changes FOR TABLE orders_2;
ANALYZE "Kunden"; ANALYZE orders; ANALYZE parent;`;

let oldest: Postgres14;
const opened: { fresh: FreshDatabase; database: Database }[] = [];
beforeAll(async () => {
  oldest = await postgres14();
  for (const server of [undefined, oldest.url]) {
    const fresh = await freshDatabase('facts', server);
    const database = new Database('app', { url: fresh.url });
    opened.push({ fresh, database });
    await database.session((session) => session.query(GIVEN));
  }
});
afterAll(async () => {
  for (const { fresh, database } of opened) {
    await database.close();
    await fresh.drop();
  }
  await oldest.stop();
});

const read = (
  relations: readonly string[],
  more: { types?: string[]; functions?: string[] } = {},
): Promise<SchemaFacts> => {
  const inShop = (names: readonly string[] = []) => names.map((name) => ({ schema: 'shop', name }));
  return readSchemaFacts(database, {
    relations: inShop(relations),
    types: inShop(more.types),
    functions: inShop(more.functions),
  });
};
const named = (facts: SchemaFacts): string[] => facts.relations.map(({ name }) => name);
const get = (facts: SchemaFacts, name: string): RelationFacts => {
  const found = relationOf(facts, 'shop', name);
  if (found === undefined) throw new Error(`no ${name} among ${named(facts).join(', ')}`);
  return found;
};

let database: Database;
let url = '';

describe.each([
  ['Postgres 18', 0],
  ['Postgres 14', 1],
])('facts of the catalog of %s', (_, at) => {
  beforeAll(() => {
    const server = opened[at];
    if (server === undefined) throw new Error('the server did not start');
    database = server.database;
    url = server.fresh.url;
  });

  test('a table with all that reaches it', async () => {
    const facts = await read(['Kunden']);
    expect(named(facts).slice(0, 5)).toEqual(['Kunden', 'Kunden_id_seq', 'counts', 'names', 'orders']);
    const table = get(facts, 'Kunden');
    expect(table).toMatchObject({
      kind: 'table',
      fresh: false,
      rows: 1000,
      owned: true,
      rowSecurity: { enabled: true, forced: false },
      replicatedBy: [],
      of: null,
      partitions: [],
      parents: [],
      readBy: [{ schema: 'shop', name: 'names', kind: 'view', columns: ['id', 'name'] }],
      triggers: [{ name: 'stamps', enabled: true }],
    });
    expect(table.heapBytes).toBeGreaterThan(40_000);
    expect(table.indexBytes).toBeGreaterThan(40_000);
    expect(table.referencedBy).toEqual([
      { schema: 'shop', table: 'orders', constraint: 'of_customer', columns: ['id'] },
    ]);
    expect(
      table.columns.map(({ name, type, notNull, default: value, generated, identity, collation }) => [
        name,
        type,
        notNull,
        value,
        generated,
        identity,
        collation,
      ]),
    ).toEqual([
      ['id', 'bigint', true, null, false, true, null],
      ['name', 'text', true, null, false, false, null],
      ['mail', 'shop.email', false, null, false, false, null],
      ['moods', 'shop.mood[]', false, null, false, false, null],
      ['half', 'text', false, null, true, false, null],
      ['note', 'text', false, "lower('X'::text)", false, false, '"C"'],
    ]);
    expect(table.columns[2]).toMatchObject({ nullShare: 0.75, widthBytes: 4 });
    expect(table.constraints.filter(({ kind }) => kind !== 'not null')).toMatchObject([
      { name: 'Kunden_pkey', kind: 'primary', columns: ['id'], validated: true, references: null },
      { name: 'short', kind: 'check', columns: ['name'], definition: 'CHECK ((length(name) < 9))' },
    ]);
    expect(table.indexes).toMatchObject([
      {
        name: 'Kunden_pkey',
        columns: ['id'],
        unique: true,
        valid: true,
        partial: false,
        constraint: 'Kunden_pkey',
        method: 'btree',
      },
      { name: 'by_name', columns: ['name', null], unique: false, partial: true, constraint: null },
    ]);
    expect(get(facts, 'counts').kind).toBe('materialized view');
    expect(facts.types.map(({ name, kind, labels, usedBy }) => [name, kind, labels, usedBy])).toEqual([
      ['email', 'domain', [], [{ schema: 'shop', table: 'Kunden', column: 'mail' }]],
      ['mood', 'enum', ['sad', 'ok', 'happy'], [{ schema: 'shop', table: 'Kunden', column: 'moods' }]],
    ]);
  });

  test('a partitioned table is the sum of its partitions; one of them shows its parents', async () => {
    const facts = await read(['orders']);
    const orders = get(facts, 'orders');
    expect(orders).toMatchObject({ kind: 'partitioned', rows: 500, replicatedBy: ['changes'] });
    expect(orders.heapBytes).toBe(get(facts, 'orders_1').heapBytes + get(facts, 'orders_2').heapBytes);
    expect(orders.partitions.map(({ name, parent, leaf }) => [name, parent.name, leaf])).toEqual([
      ['orders_1', 'orders', false],
      ['orders_2', 'orders', true],
      ['orders_1_a', 'orders_1', true],
    ]);
    expect(orders.constraints.filter(({ kind }) => kind !== 'not null')).toMatchObject([
      {
        name: 'of_customer',
        kind: 'foreign',
        deferrable: true,
        references: { schema: 'shop', name: 'Kunden', columns: ['id'] },
      },
      { name: 'positive', kind: 'check', validated: false },
    ]);
    expect(orders.indexes[0]).toMatchObject({ name: 'orders_at', columns: ['at'] });
    expect(orders.indexes[0]?.bytes).toBeGreaterThan(0);
    const part = await read(['orders_1_a']);
    expect(get(part, 'orders_1_a')).toMatchObject({
      kind: 'table',
      rows: 300,
      parents: [{ schema: 'shop', name: 'orders_1' }],
      replicatedBy: [],
    });
    expect(named(part)).toContain('orders');
    expect(named(part)).not.toContain('orders_2');
  });

  test('an index leads to its table, a type to its columns, heirs to their parents', async () => {
    const byIndex = await read(['by_name']);
    expect(get(byIndex, 'by_name')).toMatchObject({ kind: 'index', of: { schema: 'shop', name: 'Kunden' } });
    expect(get(byIndex, 'Kunden').kind).toBe('table');
    expect(named(await read([], { types: ['mood'] }))).toContain('Kunden');
    expect(get(await read(['heir']), 'heir').parents).toEqual([{ schema: 'shop', name: 'parent' }]);
    expect(get(await read(['parent']), 'parent').partitions).toMatchObject([{ name: 'heir', leaf: true }]);
  });

  test('what was never counted is unknown; what never held a row is empty', async () => {
    const facts = await read(['apart', 'unread', 'none']);
    expect(get(facts, 'unread').rows).toBeNull();
    expect(get(facts, 'unread').heapBytes).toBe(8192);
    expect(get(facts, 'apart')).toMatchObject({ rows: 0, heapBytes: 0 });
    expect(relationOf(facts, 'shop', 'none')).toBeUndefined();
  });

  test('functions, schemas and the role', async () => {
    const facts = await read([], { functions: ['price'] });
    expect(facts.functions).toEqual([
      {
        schema: 'shop',
        name: 'price',
        arguments: 'a integer, b integer',
        result: 'integer',
        volatility: 'immutable',
        securityDefiner: true,
        fixedSearchPath: true,
        language: 'sql',
        owned: true,
        usedBy: [],
      },
    ]);
    expect(facts.schemas).toContainEqual(expect.objectContaining({ name: 'shop', mayCreate: true }));
    expect(facts.role).toMatchObject({ superuser: true, bypassesRowSecurity: true, mayCreateInDatabase: true });
    expect(facts.serverVersion).toBeGreaterThanOrEqual(140000);
  });

  test('a role with few rights reads the same, and is told what it lacks', async () => {
    const role = `clerk_${randomBytes(4).toString('hex')}`;
    const password = randomBytes(8).toString('hex');
    await database.session((session) =>
      session.query(`CREATE ROLE ${role} LOGIN PASSWORD '${password}'; GRANT USAGE ON SCHEMA shop TO ${role}`),
    );
    const own = new URL(url);
    own.username = role;
    own.password = password;
    const clerk = new Database('app', { url: own.href });
    try {
      const names = ['Kunden', 'orders'].map((name) => ({ schema: 'shop', name }));
      const facts = await readSchemaFacts(clerk, { relations: names });
      expect(facts.role).toEqual({
        name: role,
        superuser: false,
        bypassesRowSecurity: false,
        mayCreateInDatabase: false,
      });
      expect(facts.schemas.find(({ name }) => name === 'shop')).toMatchObject({ mayCreate: false });
      expect(get(facts, 'Kunden')).toMatchObject({ owned: false, rows: 1000 });
      expect(get(facts, 'orders').replicatedBy).toEqual(['changes']);
      expect(facts.clientStatements).toBeNull();
    } finally {
      await clerk.close();
      await database.session((session) => session.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`));
    }
  });

  test('a table that someone holds exclusively is read without waiting', async () => {
    await database.transaction(async (other) => {
      await other.query('LOCK TABLE shop.unread IN ACCESS EXCLUSIVE MODE');
      await database.transaction(async (session) => {
        await session.query("SET LOCAL lock_timeout = '1s'");
        const facts = await readSchemaFacts(session, { relations: [{ schema: 'shop', name: 'unread' }] });
        expect(get(facts, 'unread').columns).toMatchObject([{ name: 'a', type: 'text' }]);
      });
    });
  });

  test('a session with an old snapshot is named', async () => {
    await database.transaction(async (other) => {
      await other.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ');
      const [row] = await other.query('SELECT pg_backend_pid()::text AS pid');
      const facts = await readSchemaFacts(database, { relations: [] }, { oldAfterSeconds: 0 });
      expect(facts.oldSnapshots.map(({ pid }) => pid)).toContain(row?.['pid']);
    });
    expect((await read([])).oldSnapshots).toEqual([]);
  });
});

describe('statements of clients', () => {
  test('those that name a table, without values', async () => {
    const [, old] = opened;
    if (old === undefined) throw new Error('the server did not start');
    database = old.database;
    await database.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA shop');
    await database.query('SELECT a FROM shop.apart WHERE a = 4711');
    await database.query('SELECT /* apartment */ 1');
    const { clientStatements } = await read(['apart']);
    expect(clientStatements).toContain('SELECT a FROM shop.apart WHERE a = $1');
    expect(clientStatements?.filter((text) => text.includes('apartment') || text.includes('4711'))).toEqual([]);
  });

  test('where the extension is installed but not loaded, nobody can say, and nothing fails', async () => {
    const [newest] = opened;
    if (newest === undefined) throw new Error('the server did not start');
    database = newest.database;
    await database.query('CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA shop');
    await database.transaction(async (session) => {
      expect((await readSchemaFacts(session, { relations: [] })).clientStatements).toBeNull();
      expect(await session.query('SELECT 1 AS one')).toEqual([{ one: '1' }]);
    });
  });
});
