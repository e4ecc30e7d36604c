import { expect, test } from 'vitest';
import { namesUsed } from './names.ts';

const names = (sql: string): Record<string, string[]> => {
  const { relations, types, functions, schemas } = namesUsed(sql, 'app');
  const text = (of: readonly { schema: string; name: string }[]): string[] =>
    of.map(({ schema, name }) => `${schema}.${name}`);
  return {
    relations: text(relations),
    types: text(types),
    functions: text(functions).filter((name) => !name.startsWith('pg_catalog.')),
    schemas: schemas.filter((name) => name !== 'app' && name !== 'pg_catalog'),
  };
};
const none = { relations: [], types: [], functions: [], schemas: [] };

test.each([
  [
    'ALTER TABLE t ALTER c TYPE shop.mood USING f(c)',
    { relations: ['app.t'], types: ['shop.mood'], functions: ['app.f'], schemas: ['shop'] },
  ],
  ['ALTER TABLE s.t ADD CONSTRAINT u UNIQUE USING INDEX i', { relations: ['s.i', 's.t'], schemas: ['s'] }],
  [
    'ALTER TABLE t ADD COLUMN a integer, ADD COLUMN b "Mood"[] DEFAULT public.g()',
    { relations: ['app.t'], types: ['app.Mood'], functions: ['public.g'], schemas: ['public'] },
  ],
  [
    'CREATE INDEX CONCURRENTLY i ON s.t (lower(a))',
    { relations: ['s.i', 's.t'], functions: ['app.lower'], schemas: ['s'] },
  ],
  ['DROP INDEX a.b, c', { relations: ['a.b', 'app.c'], schemas: ['a'] }],
  ['DROP INDEX CONCURRENTLY c', { relations: ['app.c'] }],
  ['ALTER INDEX i RENAME TO j', { relations: ['app.i'] }],
  ['ALTER INDEX p ATTACH PARTITION q', { relations: ['app.p', 'app.q'] }],
  ['ALTER INDEX i SET (fillfactor = 70)', { relations: ['app.i'] }],
  ['DROP TYPE m', { types: ['app.m'] }],
  ["ALTER TYPE shop.m ADD VALUE 'x'", { types: ['shop.m'], schemas: ['shop'] }],
  ['ALTER TYPE m RENAME TO n', { types: ['app.m'] }],
  ['ALTER TYPE m ADD ATTRIBUTE a int', { types: ['app.m'] }],
  ['ALTER DOMAIN d ADD CONSTRAINT x CHECK (f(VALUE))', { types: ['app.d'], functions: ['app.f'] }],
  ["COMMENT ON CONSTRAINT c ON DOMAIN s.d IS 'x'", { types: ['s.d'], schemas: ['s'] }],
  ['CREATE TYPE c AS (a mood)', { types: ['app.c', 'app.mood'] }],
  ['CREATE DOMAIN d AS mood', { types: ['app.d', 'app.mood'] }],
  ["CREATE FUNCTION f(a mood) RETURNS mood LANGUAGE sql AS ''", { types: ['app.mood'], functions: ['app.f'] }],
  ['DROP FUNCTION f(int, mood)', { types: ['app.mood'], functions: ['app.f'] }],
  ['ALTER FUNCTION s.f(int) OWNER TO x', { functions: ['s.f'], schemas: ['s'] }],
  ['ALTER FUNCTION f(int) STABLE', { functions: ['app.f'] }],
  [
    'CREATE TRIGGER x BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION g()',
    { relations: ['app.t'], functions: ['app.g'] },
  ],
  ['GRANT USAGE ON TYPE m TO x', { types: ['app.m'] }],
  ['GRANT SELECT ON ALL TABLES IN SCHEMA z TO x', { schemas: ['z'] }],
  ['ALTER TABLE t SET SCHEMA z', { relations: ['app.t'], schemas: ['z'] }],
  ['CREATE SCHEMA z', { schemas: ['z'] }],
  ['DROP SCHEMA z', { schemas: ['z'] }],
  ['ALTER SEQUENCE q OWNED BY t.c', { relations: ['app.q', 'app.t'] }],
  ['CREATE TABLE x OF mood', { relations: ['app.x'], types: ['app.mood'] }],
])('%s', (sql, expected) => {
  expect(names(sql)).toEqual({ ...none, ...expected });
});

test('an unqualified function may be one of Postgres', () => {
  expect(namesUsed('ALTER TABLE t ADD COLUMN a uuid DEFAULT gen_random_uuid()', 'public').functions).toEqual([
    { schema: 'pg_catalog', name: 'gen_random_uuid' },
    { schema: 'public', name: 'gen_random_uuid' },
  ]);
});
