import { expect, test } from 'vitest';
import { SwitchbackError } from '../messages/index.ts';
import { ddlStatements } from './ddl-statements.ts';

const only = (sql: string) => {
  const [statement] = ddlStatements(sql, 'app');
  if (statement === undefined) throw new Error('no statement');
  return statement;
};

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
  ['CREATE TABLE t (a int)', false],
  ['GRANT SELECT ON t TO PUBLIC', false],
  ['ALTER TABLE t OWNER TO someone', false],
])('%s: whether the catalog snapshot has no eyes for it', (sql, hidden) => {
  expect(only(sql).unseen !== null).toBe(hidden);
});

test.each([
  ['CREATE INDEX CONCURRENTLY ON users (a)', 'PlanInvalid'],
  ['ALTER TABLE t DETACH PARTITION p CONCURRENTLY', 'Unsupported'],
  ['ALTER TABLE', 'PlanInvalid'],
])('%s is refused', (sql, code) => {
  expect(() => ddlStatements(sql, 'app')).toThrow(expect.objectContaining({ code }) as SwitchbackError);
});
