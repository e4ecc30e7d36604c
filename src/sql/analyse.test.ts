import { describe, expect, it } from 'vitest';
import { newRelation } from './evolve/catalog.ts';
import { analyse, refuses, type RelationFacts, type SchemaFacts } from './index.ts';

const users: RelationFacts = {
  ...newRelation({ schema: 'app', name: 'users' }, 'table'),
  fresh: false,
  rows: 50_000,
  heapBytes: 8_000_000,
  indexBytes: 1_200_000,
  columns: ['id', 'email', 'age'].map((name) => ({
    name,
    type: name === 'email' ? 'text' : 'bigint',
    notNull: name === 'id',
    default: null,
    generated: false,
    identity: false,
    collation: null,
    nullShare: 0,
    widthBytes: 8,
  })),
};
const facts: SchemaFacts = {
  serverVersion: 180_000,
  role: { name: 'worker', superuser: false, bypassesRowSecurity: true, mayCreateInDatabase: true },
  roomBytes: null,
  relations: [users],
  types: [],
  functions: [],
  schemas: [{ name: 'app', mayCreate: true }],
  clientStatements: null,
  oldSnapshots: [],
};
const of = (sql: string, allow: { rule: string; reason: string }[] = []) =>
  analyse(sql, { schema: 'app', facts, hasDown: false, allow });

describe('analyse', () => {
  it('shows what really runs, with the impact of each unit on the catalog that the unit before leaves', () => {
    const [statement] = of('ALTER TABLE users ALTER COLUMN email SET NOT NULL').statements;
    expect(statement?.safeForm).not.toBeNull();
    const runs = statement?.runs.map(({ impact }) => impact.locks.map(({ mode, held }) => `${mode} ${held}`)) ?? [];
    // The scan is under a lock that nobody waits for; no unit both locks everybody out and reads the rows.
    expect(runs.flat()).toContain('SHARE UPDATE EXCLUSIVE scan');
    expect(runs.flat()).not.toContain('ACCESS EXCLUSIVE scan');
  });

  it('tells what the engine avoids as a note, and what it cannot avoid as it is', () => {
    const { statements } = of(
      'ALTER TABLE users ADD CONSTRAINT aged CHECK (age > 0); ALTER TABLE users ALTER COLUMN age TYPE text',
    );
    const [check, type] = statements.map(({ findings }) => findings);
    expect(check).toMatchObject([{ rule: 'check-not-validated-apart', avoided: true, severity: 'note' }]);
    expect(check?.some(refuses)).toBe(false);
    expect(type).toMatchObject([{ rule: 'type-change-rewrites', avoided: false, severity: 'error', allowed: null }]);
    expect(type?.some(refuses)).toBe(true);
  });

  it('takes a rule as allowed with its reason, and names entries that allow nothing', () => {
    const { statements, allowanceProblems } = of('ALTER TABLE users ALTER COLUMN age TYPE text', [
      { rule: 'type-change-rewrites', reason: 'at night' },
      { rule: 'drop-table', reason: 'never comes up' },
      { rule: 'type-change-rewrite', reason: 'misspelt' },
    ]);
    expect(statements[0]?.findings[0]).toMatchObject({ allowed: 'at night' });
    expect(statements[0]?.findings.some(refuses)).toBe(false);
    expect(allowanceProblems).toEqual([
      { rule: 'drop-table', is: 'unused' },
      { rule: 'type-change-rewrite', is: 'unknown' },
    ]);
  });

  it('stays silent about what the plan itself has made, and sees what it has proved', () => {
    const made = of('CREATE TABLE fresh (id bigint PRIMARY KEY); ALTER TABLE fresh ALTER COLUMN id TYPE numeric');
    expect(made.statements.flatMap(({ findings }) => findings.map(({ rule }) => rule))).toEqual([]);
    const proved = of(
      `ALTER TABLE users ADD CONSTRAINT given CHECK (email IS NOT NULL) NOT VALID;
       ALTER TABLE users VALIDATE CONSTRAINT given;
       ALTER TABLE users ALTER COLUMN email SET NOT NULL`,
    );
    expect(proved.statements.flatMap(({ findings }) => findings.map(({ rule }) => rule))).toEqual([]);
    expect(proved.statements[2]?.runs[0]?.impact.scans).toEqual([]);
    expect(proved.facts.relations[0]?.columns[1]?.notNull).toBe(true);
  });
});
