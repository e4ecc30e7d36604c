/** One table of `types.test.ts`: what is in it, how it is kept in step, who writes what, and what must be there then. */
export interface TypeCase {
  name: string;
  /** Makes table and rows; `new columns` are there already. Runs with `public` on the search path. */
  sql: string;
  schema?: string;
  table: string;
  up: Record<string, string>;
  down?: Record<string, string>;
  bothWritten?: 'new' | 'old' | 'error';
  /** Statements of old and new clients: before the backfill, and again after it. */
  before: string[];
  after?: string[];
  /** A query over the table, and its rows as they must be at the end. */
  see: string;
  rows: (string | null)[][];
  /** Only from this major version of Postgres on. */
  since?: number;
}

const SPLIT_UP = {
  first: "split_part(name, ' ', 1)",
  rest: "CASE WHEN strpos(name, ' ') > 0 THEN substr(name, strpos(name, ' ') + 1) END",
};
const SPLIT_DOWN = { name: "first || coalesce(' ' || rest, '')" };
const NAMES = 'name text, first text, rest text';
const LONG = `l${'ö'.repeat(31)}`;

export const PLACES: readonly TypeCase[] = [
  {
    name: 'partitions by range, below them by list and by hash',
    sql: `CREATE TABLE part (id int, at date, region text, ${NAMES}, PRIMARY KEY (id, at, region)) PARTITION BY RANGE (at);
      CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2025-01-01') TO ('2026-01-01') PARTITION BY LIST (region);
      CREATE TABLE part_2 (region text NOT NULL, junk int, rest text, first text, name text, at date NOT NULL, id int NOT NULL) PARTITION BY HASH (id);
      ALTER TABLE part_2 DROP COLUMN junk; ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
      CREATE TABLE part_1_eu PARTITION OF part_1 FOR VALUES IN ('eu'); CREATE TABLE part_1_rest PARTITION OF part_1 DEFAULT;
      CREATE TABLE part_2_0 PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
      CREATE TABLE part_2_1 PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
      INSERT INTO part SELECT i, '2025-12-28'::date + i, CASE i % 2 WHEN 0 THEN 'eu' ELSE 'us' END, 'Ada Lovelace ' || i FROM generate_series(1, 8) i`,
    table: 'part',
    up: SPLIT_UP,
    down: SPLIT_DOWN,
    bothWritten: 'error',
    before: [
      "UPDATE part SET region = 'eu' WHERE id = 1",
      "UPDATE part SET at = '2026-06-01', name = 'Max Born' WHERE id = 2",
      "UPDATE part_2 SET first = 'A B', rest = 'C' WHERE id = 5",
      "INSERT INTO part_1_eu (id, at, region, first) VALUES (20, '2025-02-02', 'eu', 'Plato')",
    ],
    after: ["UPDATE part SET at = '2025-03-03', region = 'us' WHERE id IN (5, 6)"],
    see: 'SELECT id, tableoid::regclass, name, first, rest FROM part WHERE id IN (1, 2, 5, 6, 20) ORDER BY id',
    rows: [
      ['1', 'part_1_eu', 'Ada Lovelace 1', 'Ada', 'Lovelace 1'],
      ['2', 'part_2_0', 'Max Born', 'Max', 'Born'],
      ['5', 'part_1_rest', 'A B C', 'A B', 'C'],
      ['6', 'part_1_rest', 'Ada Lovelace 6', 'Ada', 'Lovelace 6'],
      ['20', 'part_1_eu', 'Plato', 'Plato', null],
    ],
  },
  {
    name: 'a row that moves between partitions keeps what neither direction gives back',
    sql: `CREATE TABLE moved (id int, region text, code text, label text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
      CREATE TABLE moved_eu PARTITION OF moved FOR VALUES IN ('eu'); CREATE TABLE moved_us PARTITION OF moved FOR VALUES IN ('us');
      INSERT INTO moved VALUES (1, 'eu', NULL), (2, 'eu', 'b'), (3, 'eu', 'c')`,
    table: 'moved',
    up: { label: "coalesce(code, 'none')" },
    down: { code: 'upper(label)' },
    bothWritten: 'old',
    before: [
      "UPDATE moved SET region = 'us' WHERE id = 1",
      'UPDATE moved SET label = NULL WHERE id = 2',
      "UPDATE moved SET label = 'x', code = 'X' WHERE id = 2",
      'UPDATE moved SET label = NULL WHERE id = 2',
    ],
    after: ["UPDATE moved SET region = 'us' WHERE id > 1"],
    see: 'SELECT id, region, code, label FROM moved ORDER BY id',
    rows: [
      ['1', 'us', null, 'none'],
      ['2', 'us', null, null],
      ['3', 'us', 'c', 'c'],
    ],
  },
  {
    name: 'one way: a row that moves keeps what a new client wrote',
    sql: `CREATE TABLE oneway (id int, region text, code text, label text, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
      CREATE TABLE oneway_eu PARTITION OF oneway FOR VALUES IN ('eu'); CREATE TABLE oneway_us PARTITION OF oneway FOR VALUES IN ('us');
      INSERT INTO oneway VALUES (1, 'eu', 'a'), (2, 'eu', 'b')`,
    table: 'oneway',
    up: { label: 'upper(code)' },
    bothWritten: 'error',
    before: ["UPDATE oneway SET label = 'mine' WHERE id = 2", "UPDATE oneway SET region = 'us'"],
    after: ["UPDATE oneway SET region = 'eu'"],
    see: 'SELECT id, region, code, label FROM oneway ORDER BY id',
    rows: [
      ['1', 'eu', 'a', 'A'],
      ['2', 'eu', 'b', 'mine'],
    ],
  },
  {
    name: 'heirs and heirs of heirs have triggers of their own',
    sql: `CREATE TABLE being (id int PRIMARY KEY, ${NAMES}); CREATE TABLE animal (legs int) INHERITS (being);
      CREATE TABLE dog (PRIMARY KEY (id)) INHERITS (animal);
      INSERT INTO being VALUES (1, 'Some One'); INSERT INTO animal (id, name) VALUES (2, 'Old Cat'); INSERT INTO dog (id, name) VALUES (3, 'Top Dog')`,
    table: 'being',
    up: SPLIT_UP,
    down: SPLIT_DOWN,
    before: [
      "UPDATE being SET name = 'Any ' || id WHERE id = 3",
      "INSERT INTO animal (id, first) VALUES (4, 'Cow')",
      "INSERT INTO dog (id, name) VALUES (5, 'Pit Bull')",
    ],
    after: ["UPDATE dog SET rest = 'Terrier' WHERE id = 5"],
    see: 'SELECT id, name, first, rest FROM being ORDER BY id',
    rows: [
      ['1', 'Some One', 'Some', 'One'],
      ['2', 'Old Cat', 'Old', 'Cat'],
      ['3', 'Any 3', 'Any', '3'],
      ['4', 'Cow', 'Cow', null],
      ['5', 'Pit Terrier', 'Pit', 'Terrier'],
    ],
  },
  {
    name: 'names in quotes: reserved, PL/pgSQL’s own, 63 bytes, not ASCII, another schema',
    sql: `CREATE SCHEMA "Größe ""x"""; CREATE TABLE "Größe ""x"""."select" ("new" int PRIMARY KEY, "old" text, "select" text, "${LONG}" text, zz_new text);
      INSERT INTO "Größe ""x"""."select" VALUES (1, 'a', NULL, NULL, 'k'), (2, 'b', NULL, NULL, NULL)`,
    schema: 'Größe "x"',
    table: 'select',
    up: { select: `"old" || 'x'`, [LONG]: `"select"."old" || -- a comment\n '\n  ''two'' lines'` },
    down: { old: 'left("select", -1)' },
    before: [
      `UPDATE "Größe ""x"""."select" SET "old" = 'c' WHERE "new" = 1`,
      `INSERT INTO "Größe ""x"""."select" ("new", "select") VALUES (3, 'dx')`,
    ],
    see: `SELECT "new", "old", "select", "${LONG}", zz_new FROM "Größe ""x"""."select" ORDER BY 1`,
    rows: [
      ['1', 'c', 'cx', "c\n  'two' lines", 'k'],
      ['2', 'b', 'bx', "b\n  'two' lines", null],
      ['3', 'd', 'dx', null, null],
    ],
  },
  {
    name: 'columns called as their table, as a variable, and with a quote',
    sql: `CREATE TABLE name (id int PRIMARY KEY, name text, "new" text, "tg_op" text, "it's" text); INSERT INTO name VALUES (1, 'a'), (2, 'b')`,
    table: 'name',
    up: { new: 'name.name || 1', tg_op: 'name', "it's": `name || 'é'` },
    down: { name: `rtrim("new", '1')` },
    before: ["UPDATE name SET name = 'c' WHERE id = 1", `UPDATE name SET "new" = 'z1' WHERE id = 2`],
    see: `SELECT id, name, "new", "tg_op", "it's" FROM name ORDER BY id`,
    rows: [
      ['1', 'c', 'c1', 'c', 'cé'],
      ['2', 'z', 'z1', 'b', 'bé'],
    ],
  },
];

export const TYPES: readonly TypeCase[] = [
  {
    name: 'a stored generated column as a source',
    sql: `CREATE TABLE gen (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) STORED, label text);
      INSERT INTO gen (a) VALUES (1), (2)`,
    table: 'gen',
    up: { label: "'<' || twice || '#' || id || '>'" },
    before: ['UPDATE gen SET a = 5 WHERE id = 1'],
    see: 'SELECT id, label FROM gen ORDER BY id',
    rows: [
      ['1', '<10#1>'],
      ['2', '<4#2>'],
    ],
  },
  {
    name: 'a virtual generated column as a source',
    since: 18,
    sql: `CREATE TABLE virt (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, a int, twice int GENERATED ALWAYS AS (a * 2) VIRTUAL, label text);
      INSERT INTO virt (a) VALUES (1), (2)`,
    table: 'virt',
    up: { label: "'<' || twice || '>'" },
    before: ['UPDATE virt SET a = 5 WHERE id = 1', 'INSERT INTO virt (a) VALUES (7)'],
    see: 'SELECT id, label FROM virt ORDER BY id',
    rows: [
      ['1', '<10>'],
      ['2', '<4>'],
      ['3', '<14>'],
    ],
  },
  {
    name: 'a domain with a check, and a domain over it',
    sql: `CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN small AS positive CHECK (VALUE < 100);
      CREATE TABLE dom (id int PRIMARY KEY, a text, b positive, c small); INSERT INTO dom VALUES (1, '7'), (2, NULL)`,
    table: 'dom',
    up: { b: 'a::int', c: 'a::numeric' },
    down: { a: 'b::text' },
    before: ["UPDATE dom SET a = '8' WHERE id = 2", 'INSERT INTO dom (id, b, c) VALUES (3, 9, 9)'],
    see: 'SELECT id, a, b, c FROM dom ORDER BY id',
    rows: [
      ['1', '7', '7', '7'],
      ['2', '8', '8', '8'],
      ['3', '9', '9', '9'],
    ],
  },
  {
    name: 'arrays, and arrays of a composite type',
    sql: `CREATE TYPE tag AS (name text, weight numeric(4,1)); CREATE TABLE arr (id int PRIMARY KEY, list text, many text[], tags tag[]);
      INSERT INTO arr VALUES (1, 'a,b'), (2, ''), (3, NULL)`,
    table: 'arr',
    up: { many: "string_to_array(list, ',')", tags: 'ARRAY[ROW(list, 1.25)::tag]' },
    down: { list: "array_to_string(many, ',')" },
    before: ["UPDATE arr SET many = '{x,y}' WHERE id = 1", "UPDATE arr SET list = 'q' WHERE id = 3"],
    after: ["UPDATE arr SET many[2] = 'z' WHERE id = 1"],
    see: 'SELECT id, list, many, tags FROM arr ORDER BY id',
    rows: [
      ['1', 'x,z', '{x,z}', '{"(\\"a,b\\",1.3)"}'],
      ['2', '', '{}', '{"(\\"\\",1.3)"}'],
      ['3', 'q', '{q}', '{"(q,1.3)"}'],
    ],
  },
  {
    name: 'an enum',
    sql: `CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE TABLE moods (id int PRIMARY KEY, a text, m mood); INSERT INTO moods VALUES (1, 'ok'), (2, NULL)`,
    table: 'moods',
    up: { m: 'a::mood' },
    down: { a: 'm::text' },
    before: ["UPDATE moods SET m = 'sad' WHERE id = 1", "INSERT INTO moods (id, a) VALUES (3, 'ok')"],
    see: 'SELECT id, a, m FROM moods ORDER BY id',
    rows: [
      ['1', 'sad', 'sad'],
      ['2', null, null],
      ['3', 'ok', 'ok'],
    ],
  },
  {
    name: 'json and jsonb',
    sql: `CREATE TABLE docs (id int PRIMARY KEY, j json, b jsonb, t text); INSERT INTO docs VALUES (1, '{"a": 1, "a": 2}'), (2, 'null'), (3, NULL)`,
    table: 'docs',
    up: { b: 'j::jsonb', t: 'j::text' },
    down: { j: 'b::text' },
    before: [`UPDATE docs SET j = '{"a":  1}' WHERE id = 2`, `UPDATE docs SET b = '{"z": 1.00}' WHERE id = 3`],
    after: [`UPDATE docs SET j = '{"a": 1}' WHERE id = 2`, `UPDATE docs SET b = '{"z": 1.0}' WHERE id = 3`],
    see: 'SELECT id, j, b, t FROM docs ORDER BY id',
    rows: [
      ['1', '{"a": 1, "a": 2}', '{"a": 2}', '{"a": 1, "a": 2}'],
      ['2', '{"a": 1}', '{"a": 1}', '{"a": 1}'],
      ['3', '{"z": 1.0}', '{"z": 1.0}', null],
    ],
  },
  {
    name: 'a composite type on either side; a row of NULLs is not NULL',
    sql: `CREATE TYPE address AS (street text, city text); CREATE TABLE homes (id int PRIMARY KEY, street text, city text, home address);
      INSERT INTO homes VALUES (1, 'A', 'B'), (2, NULL, NULL)`,
    table: 'homes',
    up: { home: 'ROW(street, city)' },
    down: { street: '(home).street', city: '(homes.home).city' },
    before: [
      "UPDATE homes SET home = ROW('A', 'C') WHERE id = 1",
      "INSERT INTO homes (id, home) VALUES (3, ROW('x', NULL)), (4, NULL)",
    ],
    after: ['UPDATE homes SET home = NULL WHERE id = 3', "UPDATE homes SET home.city = 'D' WHERE id = 1"],
    see: 'SELECT id, street, city, home::text FROM homes ORDER BY id',
    rows: [
      ['1', 'A', 'D', '(A,D)'],
      ['2', null, null, '(,)'],
      ['3', null, null, null],
      ['4', null, null, '(,)'],
    ],
  },
  {
    name: 'ranges and multiranges',
    sql: `CREATE TABLE spans (id int PRIMARY KEY, lo int, hi int, span int4range, spans int4multirange); INSERT INTO spans VALUES (1, 1, 5), (2, NULL, 3)`,
    table: 'spans',
    up: { span: 'int4range(lo, hi)', spans: 'int4multirange(int4range(lo, hi))' },
    down: { lo: 'lower(span)', hi: 'upper(span)' },
    before: ["UPDATE spans SET span = '[2,9]' WHERE id = 1", 'UPDATE spans SET hi = 4 WHERE id = 2'],
    see: 'SELECT id, lo, hi, span, spans FROM spans ORDER BY id',
    rows: [
      ['1', '2', '10', '[2,10)', '{[1,5)}'],
      ['2', null, '4', '(,4)', '{(,4)}'],
    ],
  },
  {
    name: 'a collation that calls different texts equal, on both sides',
    sql: `CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      CREATE TABLE folded (id int PRIMARY KEY, a text COLLATE caseless, b text COLLATE caseless, v varchar(9) COLLATE caseless);
      INSERT INTO folded VALUES (1, 'bob'), (2, 'eve')`,
    table: 'folded',
    up: { b: 'a', v: 'a' },
    down: { a: 'b' },
    before: ["UPDATE folded SET a = 'BOB' WHERE id = 1", "UPDATE folded SET b = 'EVE' WHERE id = 2"],
    after: ["UPDATE folded SET a = 'Bob' WHERE id = 1"],
    see: 'SELECT id, a COLLATE "C", b COLLATE "C" AS b, v COLLATE "C" AS v FROM folded ORDER BY id',
    rows: [
      ['1', 'Bob', 'Bob', 'Bob'],
      ['2', 'EVE', 'EVE', 'eve'],
    ],
  },
  {
    name: 'numeric scale, bytea, char(n), bit, interval, money-like rounding',
    sql: `CREATE TABLE exact (id int PRIMARY KEY, n numeric, t text, c char(6), raw bytea, flags bit(4), took interval, fixed numeric(8,2));
      INSERT INTO exact (id, n) VALUES (1, 1.0), (2, 1.005), (3, 'NaN')`,
    table: 'exact',
    up: {
      t: 'n::text',
      c: 'n::text',
      raw: "convert_to(n::text, 'UTF8')",
      flags: "CASE WHEN n > 1 THEN B'1010' END",
      took: "make_interval(secs => CASE WHEN n <> 'NaN' THEN n END::float8)",
      fixed: 'n',
    },
    before: ['UPDATE exact SET n = 1.00 WHERE id = 1'],
    see: 'SELECT id, t, c, raw, flags, took, fixed FROM exact ORDER BY id',
    rows: [
      ['1', '1.00', '1.00  ', '\\x312e3030', null, '00:00:01', '1.00'],
      ['2', '1.005', '1.005 ', '\\x312e303035', '1010', '00:00:01.005', '1.01'],
      ['3', 'NaN', 'NaN   ', '\\x4e614e', '1010', null, 'NaN'],
    ],
  },
  {
    name: 'instants: a microsecond and infinity stay, whatever the client’s time zone',
    sql: `CREATE TABLE instants (id int PRIMARY KEY, at timestamptz, local timestamp, day date); INSERT INTO instants VALUES (1, '2026-03-29 00:59:59.999999+00'), (2, 'infinity')`,
    table: 'instants',
    up: { local: "at AT TIME ZONE 'UTC'", day: "(at AT TIME ZONE 'UTC')::date" },
    down: { at: "local AT TIME ZONE 'UTC'" },
    before: [
      "SET TimeZone = 'Asia/Tokyo'; UPDATE instants SET local = '2026-01-01 00:00:00.000001' WHERE id = 1; SET TimeZone = 'UTC'",
    ],
    see: 'SELECT id, at, local, day FROM instants ORDER BY id',
    rows: [
      ['1', '2026-01-01 00:00:00.000001+00', '2026-01-01 00:00:00.000001', '2026-03-29'],
      ['2', 'infinity', 'infinity', 'infinity'],
    ],
  },
];
