import { describe, expect, test } from 'vitest';
import type { LiveCheck } from '../messages/index.ts';
import { readGivenPlan } from './given-plan.ts';
import { placedCheck } from './placed-check.ts';

const TEXT = `apiVersion: switchback/v1
kind: Migration
metadata: {name: placed, version: 1, owner: me}
spec:
  summary: places
  phases:
    - name: one
      steps:
        - {id: rest, uses: wait, for: 1s}
        - id: add
          uses: ddl
          database: app
          up: |
            ALTER TABLE a ADD b int;
            ALTER TABLE a ADD c int;
`;
const statement = { number: 2, text: 'ALTER TABLE a ADD c int', offset: 25, line: null, column: null };
const finding = { database: 'app', phase: 'one', step: 'add', line: null, column: null, rule: 'r' };
const answer = {
  digest: 'd',
  problems: [],
  notes: [],
  databases: [
    { name: 'app', version: '18.0', steps: [{ phase: 'one', step: 'add', path: '', statements: [statement] }] },
  ],
  findings: [
    { ...finding, statement: 2 },
    { ...finding, statement: null },
    { ...finding, step: 'gone', statement: null },
  ],
  schemas: {},
} as unknown as LiveCheck;

describe('places of a worker’s answer', () => {
  const { plan, source } = readGivenPlan(TEXT);
  test('are those of the plan’s text: the statement’s, else the step’s', () => {
    const placed = placedCheck(answer, plan, source);
    expect(placed.databases[0]?.steps[0]?.statements[0]).toMatchObject({ line: 15, column: 13 });
    expect(placed.findings.map(({ line, column }) => [line, column])).toEqual([
      [15, 13],
      [10, 11],
      [null, null],
    ]);
  });
  test('a worker of an earlier version says less: what it leaves out is empty', () => {
    expect(placedCheck({ digest: 'd', problems: ['p'], notes: [] }, plan, source)).toEqual({
      digest: 'd',
      problems: ['p'],
      notes: [],
      databases: [],
      findings: [],
      schemas: {},
    });
  });
});
