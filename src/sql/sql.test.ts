import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { columnsOf, ddlFaults, expressionFault, queryFault, SqlFault, statementsOf, tablesTouched } from './index.ts';

/** Where the statements of a text start, or where it is wrong; anything but a SqlFault is thrown on. */
function offsetsIn(sql: string): number[] {
  try {
    return statementsOf(sql).map(({ offset }) => offset);
  } catch (error) {
    if (error instanceof SqlFault) return [error.offset];
    throw error;
  }
}

describe('statements', () => {
  it('come with text, kind and place, whatever stands between them', () => {
    const sql = "/* a; /* b; */ */ ALTER TABLE å ADD b text; -- 😀;\n\nCREATE INDEX i ON å (b) ;;\n SELECT 'x;y'";
    const statements = statementsOf(sql);
    expect(statements.map(({ kind, text }) => [kind, text])).toEqual([
      ['AlterTableStmt', 'ALTER TABLE å ADD b text'],
      ['IndexStmt', 'CREATE INDEX i ON å (b)'],
      ['SelectStmt', "SELECT 'x;y'"],
    ]);
    for (const { text, offset } of statements) expect(sql.startsWith(text, offset)).toBe(true);
  });

  it('are none in a text of comments', () => {
    expect(statementsOf('')).toEqual([]);
    expect(statementsOf(' -- later\n/* much */ ;')).toEqual([]);
  });

  it('are refused at the very place, counted in UTF-16 units', () => {
    const sql = "COMMENT ON TABLE å IS '😀'; DROP TABEL x";
    const fault = ddlFaults(sql, { lossy: true })[0];
    expect(fault?.message).toBe('syntax error at or near "TABEL"');
    expect(sql.startsWith('TABEL', fault?.offset)).toBe(true);
  });

  it('are refused, not crashed on, when nested without end', () => {
    expect(() => statementsOf(`SELECT ${'('.repeat(50_000)}1${')'.repeat(50_000)}`)).toThrow(SqlFault);
    expect(() => statementsOf(`SELECT 1${' + 1'.repeat(20_000)}`)).toThrow('nested too deeply');
    expect(statementsOf('SELECT 1')).toHaveLength(1);
  });

  it('give statements or a SqlFault inside the text, whatever the text', () => {
    const word = fc.constantFrom(
      'ALTER',
      'TABLE',
      'users',
      'ADD',
      'å',
      '😀',
      "'",
      '"',
      '(',
      ')',
      ';',
      '--',
      '/*',
      '*/',
      '$$',
      '\n',
      ',',
      '1',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(word, { maxLength: 12 }).map((words) => words.join(' ')),
        ),
        (sql) => {
          for (const offset of offsetsIn(sql)) expect(offset).toBeLessThanOrEqual(sql.length);
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('ddl', () => {
  const accepted = [
    'ALTER TABLE users ADD COLUMN a text',
    'CREATE INDEX CONCURRENTLY i ON users (a)',
    'DROP INDEX i',
    'CREATE TYPE mood AS ENUM ()',
    'ALTER TABLE users VALIDATE CONSTRAINT c',
    'CREATE VIEW v AS SELECT 1',
    'GRANT SELECT ON users TO readers',
  ];
  it.each(accepted)('takes %s', (sql) => expect(ddlFaults(sql, { lossy: false })).toEqual([]));

  const refused: [string, string][] = [
    ['COMMIT', "COMMIT can't be in a ddl step"],
    ['SAVEPOINT a', "SAVEPOINT can't be in a ddl step"],
    ["PREPARE TRANSACTION 'a'", "PREPARE TRANSACTION can't be in a ddl step"],
    ['CREATE DATABASE d', "CREATE DATABASE can't be in a ddl step"],
    ['ALTER SYSTEM SET a = 1', "ALTER SYSTEM can't be in a ddl step"],
    ["COPY t TO PROGRAM 'x'", "COPY can't be in a ddl step"],
    ['WITH a AS (DELETE FROM t) SELECT 1', "WITH can't be in a ddl step"],
    ['EXPLAIN ANALYZE DELETE FROM t', "EXPLAIN can't be in a ddl step"],
    ['DROP SCHEMA s CASCADE', 'DROP SCHEMA loses data'],
    ['ALTER TABLE t ADD a int, DROP COLUMN b', 'DROP COLUMN b loses data'],
  ];
  it.each(refused)('refuses %s', (sql, words) => expect(ddlFaults(sql, { lossy: false })[0]?.message).toContain(words));

  it('lets go of data where the plan says how it comes back', () => {
    expect(ddlFaults('DROP TABLE t; ALTER TABLE u DROP COLUMN a', { lossy: true })).toEqual([]);
  });
});

describe('names that Postgres would cut off', () => {
  const long = 'é'.repeat(32);
  const cases: [string, number | null][] = [
    [`ALTER TABLE ${long} ADD a int`, 12],
    [`ALTER TABLE t ADD "${long}" int`, 18],
    [`/* 😀 */ ALTER TABLE t ADD U&"${'\\00e9'.repeat(32)}" int`, 27],
    [`ALTER TABLE t ADD "${'"'.repeat(4)}${'x'.repeat(60)}" int`, null],
    [`ALTER TABLE t ADD a text DEFAULT '${long}' /* ${long} */; -- ${long}`, null],
    [`ALTER TABLE t ADD a text DEFAULT E'\u0001\t\\\\' || U&'${'\\00e9'.repeat(32)}' || $$ "${long}" $$`, null],
  ];
  it.each(cases)('%j', (sql, offset) => {
    expect(ddlFaults(sql, { lossy: false }).map((fault) => fault.offset)).toEqual(offset === null ? [] : [offset]);
  });
  it('says how long it is, and how long it may be', () => {
    expect(ddlFaults(`DROP INDEX ${long}`, { lossy: false })[0]?.message).toContain('has 64 bytes; Postgres keeps 63');
    expect(expressionFault(`lower(${long})`)?.message).toContain('has 64 bytes');
    expect(queryFault(`SELECT "${long}" FROM t`)?.message).toContain('has 64 bytes');
  });
});

describe('expressions', () => {
  const accepted = [
    'a',
    "split_part(full_name, ' ', 1)",
    'CASE WHEN a > 0 THEN b END',
    'a IS NULL -- why',
    '(a)::int',
    'users.a || ?'.replace('?', "'x'"),
  ];
  it.each(accepted)('takes %s', (sql) => expect(expressionFault(sql)).toBeNull());

  const refused = [
    '',
    'a;',
    'a, b',
    'a AS b',
    'a b',
    '*',
    't.*',
    'ALL a',
    'DISTINCT a',
    'a FROM t',
    'a ORDER BY b',
    'a) + (b',
    '1) UNION SELECT (2',
    'a INTO b',
    'EXISTS (SELECT 1)',
    'a IN (SELECT 1)',
    '$1',
    'sum(a) OVER ()',
    'a /*',
  ];
  it.each(refused)('refuses %j', (sql) => {
    const fault = expressionFault(sql);
    expect(fault).toBeInstanceOf(SqlFault);
    expect(fault?.offset).toBeLessThanOrEqual(sql.length);
  });

  it('say which columns they read', () => {
    expect(columnsOf('lower(a) || t."B c" || coalesce(a, \'d\')')).toEqual(['B c', 'a']);
  });
});

describe('queries of conditions', () => {
  it.each(['SELECT 1', 'VALUES (1)', 'WITH a AS (SELECT 1) SELECT * FROM a', 'TABLE users;', '(SELECT 1)'])(
    'takes %s',
    (sql) => expect(queryFault(sql)).toBeNull(),
  );
  it.each([
    '',
    'UPDATE t SET a = 1',
    'SELECT 1; SELECT 2',
    'SELECT 1 INTO t',
    'SELECT 1 FROM t FOR SHARE',
    'WITH a AS (UPDATE t SET a = 1 RETURNING a) SELECT * FROM a',
    'CALL p()',
  ])('refuses %s', (sql) => expect(queryFault(sql)).toBeInstanceOf(SqlFault));
});

describe('tables that statements touch', () => {
  const cases: [string, string[]][] = [
    ['ALTER TABLE users ADD a int', ['app.users']],
    ['ALTER TABLE ONLY "Other".users ADD a int', ['Other.users']],
    [
      'CREATE TABLE a (b int REFERENCES c (d), LIKE e, FOREIGN KEY (b) REFERENCES f.g) INHERITS (h)',
      ['app.a', 'app.c', 'app.e', 'app.h', 'f.g'],
    ],
    ['CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)', ['app.p', 'app.p1']],
    ['ALTER TABLE p ATTACH PARTITION p2 DEFAULT', ['app.p', 'app.p2']],
    ['CREATE UNIQUE INDEX CONCURRENTLY i ON s.t (a)', ['s.t']],
    ['DROP TABLE a, s.b CASCADE', ['app.a', 's.b']],
    ['DROP INDEX i', []],
    ['ALTER INDEX i RENAME TO j', []],
    ['ALTER TABLE a RENAME COLUMN b TO c', ['app.a']],
    ['ALTER TABLE a SET SCHEMA archive', ['app.a']],
    ['COMMENT ON COLUMN s.a.b IS NULL', ['s.a']],
    ['COMMENT ON TABLE a IS NULL', ['app.a']],
    ['DROP TRIGGER t ON a', ['app.a']],
    ['CREATE TRIGGER t AFTER INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()', ['app.a']],
    ['CREATE POLICY p ON a USING (b IN (SELECT c FROM d))', ['app.a', 'app.d']],
    ['CREATE VIEW v AS WITH w AS (SELECT * FROM a) SELECT * FROM w JOIN s.w ON true', ['app.a', 'app.v', 's.w']],
    ['CREATE SEQUENCE q OWNED BY a.b', ['app.a']],
    ['ALTER SEQUENCE q OWNED BY s.a.b', ['s.a']],
    ['CREATE TYPE t AS (a int)', []],
    ['CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT a FROM b $$', []],
    ['GRANT SELECT ON a TO b', ['app.a']],
    ['CREATE MATERIALIZED VIEW m AS SELECT * FROM a', ['app.a', 'app.m']],
  ];
  it.each(cases)('%s', (sql, tables) => {
    expect(tablesTouched(sql, 'app').map(({ schema, table }) => `${schema}.${table}`)).toEqual(tables);
  });
});
