import { describe, expect, test } from 'vitest';
import type { SchemaFacts } from './facts.ts';
import { ddlFaults, statementsOf } from './index.ts';
import { reversals } from './reversibility.ts';

const foretold = (sql: string, facts: SchemaFacts | null = null): string[] =>
  reversals(statementsOf(sql), 'public', facts).map(({ by, needsDown }) =>
    needsDown === null ? by : `down: ${needsDown}`,
  );

const FACTS = {
  relations: [],
  types: [{ schema: 'public', name: 'mood', kind: 'enum', labels: ['good'], owned: true, usedBy: [] }],
} as unknown as SchemaFacts;

describe('how a statement is taken back', () => {
  test.each([
    ['ALTER TABLE t ADD COLUMN a int', /^drops the column; values/],
    ['ALTER TABLE t ADD COLUMN a int, ALTER COLUMN b DROP NOT NULL', /^drops the column.*; sets NOT NULL again/],
    ['CREATE INDEX IF NOT EXISTS i ON t (a)', /if it wasn't there before$/],
    ['DROP INDEX i', /^builds the index again, concurrently$/],
    ["ALTER TYPE mood RENAME VALUE 'a' TO 'b'", /gives the label its name back/],
    ['CREATE OR REPLACE VIEW v AS SELECT 1', /former query/],
    ['REFRESH MATERIALIZED VIEW v', /^nothing/],
    ['ALTER TABLE t ATTACH PARTITION p FOR VALUES IN (1)', /detaches/],
    ['ALTER TABLE t SET SCHEMA other', /moves it back/],
    ['ALTER TYPE pair ADD ATTRIBUTE c int', /drops the attribute/],
  ])('%s', (sql, words) => expect(foretold(sql)[0]).toMatch(words));

  test.each([
    "ALTER TYPE mood ADD VALUE 'fair'",
    'ALTER TABLE t ALTER COLUMN a TYPE bigint',
    'ALTER TABLE t ALTER COLUMN a DROP IDENTITY',
    'ALTER TABLE t DETACH PARTITION p',
    'ALTER TABLE t DISABLE TRIGGER ALL',
    'ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i',
    'ALTER TYPE pair RENAME ATTRIBUTE a TO b',
    'ALTER EXTENSION e UPDATE',
    'DROP TYPE mood',
    'DROP EXTENSION e',
    'CREATE CAST (a AS b) WITHOUT FUNCTION',
    'ALTER INDEX i ALTER COLUMN 1 SET STATISTICS 5',
    'ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC',
  ])('%s needs a down, and the plan is refused without one', (sql) => {
    expect(foretold(sql)[0]).toMatch(/^down: /);
    expect(ddlFaults(`CREATE TABLE x (); ${sql}`, { lossy: false })).toMatchObject([
      { message: expect.stringMatching(/^rollback can't take .* back: .*; write `down`$/), offset: 19 },
    ]);
    expect(ddlFaults(sql, { lossy: true })).toEqual([]);
  });

  test.each([
    "CREATE TYPE mood AS ENUM ('a'); ALTER TYPE public.mood ADD VALUE 'b'",
    'CREATE TABLE t (a int); ALTER TABLE t ALTER COLUMN a TYPE bigint',
    'ALTER TABLE t ADD COLUMN a int; ALTER TABLE t ALTER COLUMN a TYPE bigint',
    'CREATE UNIQUE INDEX CONCURRENTLY i ON t (a); ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i',
    'CREATE TYPE mood AS ENUM (); DROP TYPE mood',
    'CREATE EXTENSION e; DROP EXTENSION e',
    'CREATE TABLE t (a int); ALTER TABLE t SET SCHEMA other',
  ])('%s: what the step made itself goes with it', (sql) => {
    expect(foretold(sql).filter((words) => words.startsWith('down'))).toEqual([]);
    expect(ddlFaults(sql, { lossy: false })).toEqual([]);
  });

  test('what IF NOT EXISTS or OR REPLACE found there is not the step’s own', () => {
    expect(foretold('CREATE TABLE IF NOT EXISTS t (a int); ALTER TABLE t ALTER COLUMN a TYPE bigint')[1]).toMatch(
      /^down/,
    );
  });

  test('a label that is there needs nothing; whether it is there, only the catalog knows', () => {
    const add = (label: string): string => `ALTER TYPE mood ADD VALUE IF NOT EXISTS '${label}'`;
    expect(foretold(add('good'), FACTS)[0]).toMatch(/^nothing/);
    expect(foretold(add('fair'), FACTS)[0]).toMatch(/^down/);
    expect(foretold(add('fair'))[0]).toMatch(/^nothing/);
  });
});
