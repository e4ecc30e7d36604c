import { expect, test } from 'vitest';
import { SwitchbackError } from '../messages/index.ts';
import { ddlStatement, plannedStatements } from './ddl-statements.ts';

const only = (sql: string) => ddlStatement({ text: sql }, 'app', { number: 1, part: 1, of: 1 });
const planned = (sql: string) => plannedStatements(sql, 'app', async () => []);

test.each([
  ['ALTER TABLE users ADD COLUMN a text', [{ schema: 'app', name: 'users' }]],
  [
    'ALTER TABLE other.users ADD COLUMN a int REFERENCES teams (id)',
    [
      { schema: 'app', name: 'teams' },
      { schema: 'other', name: 'users' },
    ],
  ],
  [
    'CREATE VIEW v AS SELECT * FROM other.t',
    [
      { schema: 'app', name: 'v' },
      { schema: 'other', name: 't' },
    ],
  ],
  [`COMMENT ON COLUMN users.a IS 'x'`, [{ schema: 'app', name: 'users' }]],
  ['ALTER TABLE users RENAME COLUMN a TO b', undefined],
  ['ALTER TABLE users DROP CONSTRAINT c CASCADE', undefined],
  ['CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1', undefined],
])('%s: where it can have effects', (sql, relations) => {
  expect(only(sql).scope.relations).toEqual(relations);
});

test.each([
  [
    'CREATE INDEX CONCURRENTLY i ON users (a)',
    { schema: 'app', table: 'users', name: 'i', unique: false, ifNotExists: false, rest: '(a)' },
  ],
  [
    '/* ü */ CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "Ü 1" ON "O""x" . "User (s)" USING gin (lower("ä")) WHERE b > 1',
    {
      schema: 'O"x',
      table: 'User (s)',
      name: 'Ü 1',
      unique: true,
      ifNotExists: true,
      rest: 'USING gin (lower("ä")) WHERE b > 1',
    },
  ],
])('%s is taken apart', (sql, index) => {
  expect(only(sql).runs).toEqual({ as: 'index-build', index });
});

test('DROP INDEX CONCURRENTLY names its index', () => {
  expect(only('DROP INDEX CONCURRENTLY IF EXISTS x.i').runs).toEqual({
    as: 'index-drop',
    schema: 'x',
    index: 'i',
    ifExists: true,
  });
  expect(only('DROP INDEX i').runs).toEqual({ as: 'transaction' });
});

test.each([
  ['CREATE CAST (a AS b) WITHOUT FUNCTION', true],
  ['DROP OPERATOR FAMILY f USING btree', true],
  ['DO $$ BEGIN END $$', true],
  ['CALL p()', true],
  ["COPY t FROM PROGRAM 'x'", true],
  ['CREATE TABLE t (a int)', false],
  ['GRANT SELECT ON t TO PUBLIC', false],
  ['ALTER TABLE t OWNER TO someone', false],
])('%s: whether the catalog snapshot has no eyes for it', (sql, hidden) => {
  expect(only(sql).unseen !== null).toBe(hidden);
});

test.each([
  ['ALTER TABLE t DETACH PARTITION p CONCURRENTLY', 'Unsupported'],
  ['ALTER TABLE', 'PlanInvalid'],
])('%s is refused', (sql, code) => {
  expect(() => planned(sql)).toThrow(expect.objectContaining({ code }) as SwitchbackError);
});

test('units are read with their place', () => {
  const [, second] = planned('SELECT 1; ALTER TABLE t ADD CHECK (a > 0)');
  const fill = { schema: 'app', table: 't', column: 'a' };
  const units = second?.read([
    { text: 'CREATE INDEX CONCURRENTLY i ON t (a)' },
    { text: 'UPDATE t SET a = DEFAULT', fill },
  ]);
  expect(units?.map(({ number, part, runs }) => [number, part, runs.as])).toEqual([
    [2, { number: 1, of: 2 }, 'index-build'],
    [2, { number: 2, of: 2 }, 'column-fill'],
  ]);
});

test('an index without a name can’t be built CONCURRENTLY: nobody would find it again', () => {
  expect(() => only('CREATE INDEX CONCURRENTLY ON users (a)')).toThrow(
    expect.objectContaining({ code: 'PlanInvalid' }) as SwitchbackError,
  );
});
