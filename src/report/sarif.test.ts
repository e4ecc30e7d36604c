import { Ajv } from 'ajv';
import { describe, expect, test } from 'vitest';
import type { PlanProblem } from '../plan/file/problem.ts';
import { sampleCheck } from './sample-check.test-data.ts';
import { type SarifInput, sarifLog } from './sarif.ts';

const closed = (properties: object, required: string[]): object => ({
  type: 'object',
  additionalProperties: false,
  required,
  properties,
});
const list = (items: object): object => ({ type: 'array', items });
const text = { type: 'string', minLength: 1 };
const message = closed({ text }, ['text']);
const level = { enum: ['error', 'warning', 'note'] };
const position = { type: 'integer', minimum: 1 };
const rule = closed(
  {
    id: text,
    shortDescription: message,
    fullDescription: message,
    help: closed({ text, markdown: text }, ['text']),
    defaultConfiguration: closed({ level }, ['level']),
  },
  ['id'],
);
const location = closed(
  {
    physicalLocation: closed(
      {
        artifactLocation: closed({ uri: { type: 'string', pattern: '^[^\\\\ ]+$' } }, ['uri']),
        region: closed({ startLine: position, startColumn: position }, ['startLine']),
      },
      ['artifactLocation'],
    ),
    logicalLocations: list(closed({ fullyQualifiedName: text, kind: { const: 'member' } }, ['fullyQualifiedName'])),
  },
  ['physicalLocation'],
);
const result = closed(
  {
    ruleId: text,
    ruleIndex: { type: 'integer', minimum: 0 },
    level,
    message,
    locations: list(location),
    partialFingerprints: { type: 'object', additionalProperties: text },
    suppressions: list(
      closed({ kind: { const: 'inSource' }, status: { const: 'accepted' }, justification: text }, ['kind']),
    ),
  },
  ['ruleId', 'ruleIndex', 'level', 'message', 'locations'],
);
const invocation = closed(
  {
    executionSuccessful: { type: 'boolean' },
    toolExecutionNotifications: list(closed({ level, message }, ['message'])),
  },
  ['executionSuccessful'],
);
/**
 * The part of SARIF 2.1.0 that is used, closed. The standard's own schema is not in this repository; the samples
 * below were held against it when they were written.
 */
const LOG = closed(
  {
    $schema: { type: 'string', pattern: '^https://docs\\.oasis-open\\.org/sarif/.*sarif-schema-2\\.1\\.0\\.json$' },
    version: { const: '2.1.0' },
    runs: list(
      closed(
        {
          tool: closed({ driver: closed({ name: text, semanticVersion: text, rules: list(rule) }, ['name']) }, [
            'driver',
          ]),
          columnKind: { const: 'utf16CodeUnits' },
          invocations: list(invocation),
          results: list(result),
        },
        ['tool', 'results'],
      ),
    ),
  },
  ['version', 'runs'],
);
const validate = new Ajv({ allErrors: true }).compile(LOG);

interface Result {
  ruleId: string;
  ruleIndex: number;
  level: string;
  message: { text: string };
  locations: { physicalLocation: { artifactLocation: object; region?: object }; logicalLocations?: object[] }[];
  suppressions?: object[];
}
function logged(input: Partial<SarifInput>): { rules: { id: string }[]; results: Result[]; invocations: object[] } {
  const log = JSON.parse(
    JSON.stringify(
      sarifLog({
        version: '0.1.0',
        uri: 'plan.yaml',
        fileProblems: [],
        findings: [],
        problems: [],
        skipped: null,
        ...input,
      }),
    ),
  ) as { runs: { tool: { driver: { rules: { id: string }[] } }; results: Result[]; invocations: object[] }[] };
  validate(log);
  expect(validate.errors).toBeNull();
  const [run] = log.runs;
  if (run === undefined) throw new Error('there is no run in the log');
  return { ...run, rules: run.tool.driver.rules };
}

describe('SARIF of a check', () => {
  const live = sampleCheck();
  const { rules, results } = logged({ findings: live.findings, problems: live.problems });
  test('each finding once, at its statement in the plan file, with its rule', () => {
    expect(results.map(({ ruleId, level: of }) => [ruleId, of])).toEqual([
      ['type-change-rewrites', 'error'],
      ['index-not-concurrent', 'note'],
      ['add-column-select-star', 'warning'],
      ['not-idempotent', 'note'],
      ['drop-index', 'error'],
      ['live-check', 'error'],
    ]);
    expect(results.map(({ ruleId, ruleIndex }) => rules[ruleIndex]?.id === ruleId)).not.toContain(false);
    expect(results[1]?.locations).toEqual([
      {
        physicalLocation: { artifactLocation: { uri: 'plan.yaml' }, region: { startLine: 15, startColumn: 13 } },
        logicalLocations: [{ fullyQualifiedName: 'expand/columns', kind: 'member' }],
      },
    ]);
    expect(results[1]?.message.text).toContain('It runs as: CREATE INDEX CONCURRENTLY');
  });
  test('what the plan allows is suppressed with its reason, and nothing else is', () => {
    expect(results.map(({ suppressions }) => suppressions ?? null)).toEqual([
      null,
      null,
      null,
      null,
      [{ kind: 'inSource', status: 'accepted', justification: 'unused since May, DBA-311' }],
      null,
    ]);
  });
  test('links of a rule’s page are words: they would lead nowhere', () => {
    const [first] = live.findings;
    if (first === undefined) throw new Error('the sample has no finding');
    const of = logged({
      findings: [{ ...first, why: 'Say [`room`](../configuration.md) so.', safeForm: 'See [a](b.md).' }],
    });
    expect(JSON.stringify(of)).not.toContain('.md)');
    expect(of.results[0]?.message.text).toContain('Instead: See a.');
  });
  test('problems of the file are results too; why the databases were left out is a notification', () => {
    const problem: PlanProblem = {
      code: 'PlanInvalid',
      path: 'spec.risk',
      line: 6,
      column: 9,
      message: 'not one of the values',
      found: '"hgih"',
      allowed: 'low, moderate, high',
      didYouMean: 'high',
    };
    const whole = {
      ...problem,
      path: '',
      line: null,
      column: null,
      message: 'the plan is empty',
      found: null,
      allowed: null,
      didYouMean: null,
    };
    const of = logged({ fileProblems: [problem, whole], skipped: 'the plan file is wrong' });
    expect(of.results.map(({ message: { text: words } }) => words)).toEqual([
      'spec.risk: not one of the values; found "hgih"; did you mean "high"?; allowed: low, moderate, high',
      'the plan is empty',
    ]);
    expect(of.results[0]?.locations[0]?.physicalLocation.region).toEqual({ startLine: 6, startColumn: 9 });
    expect(of.results[1]?.locations[0]?.physicalLocation.region).toBeUndefined();
    expect(JSON.stringify(of.invocations)).toContain('the plan file is wrong');
  });
});
