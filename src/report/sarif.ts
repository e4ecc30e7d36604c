import { type CheckFinding, problemOf } from '../messages/index.ts';
import type { PlanProblem } from '../plan/file/problem.ts';
import { rulePage, withoutLinks } from './check-findings.ts';
import { oneLine } from './plain-text.ts';

/** What a check has to tell reviewers, from the file alone or from the live databases too. */
export interface SarifInput {
  /** Of this program. */
  version: string;
  /** The plan file as a URI reference: relative to the repository's root, or `file:///…`. */
  uri: string;
  /** What is wrong with the file itself. */
  fileProblems: readonly PlanProblem[];
  findings: readonly CheckFinding[];
  /** Of the live check; those that are findings too are told once. */
  problems: readonly string[];
  /** Why the live databases weren't looked at; null where they were. */
  skipped: string | null;
}

type Level = 'error' | 'warning' | 'note';
interface SarifRule {
  id: string;
  shortDescription: { text: string };
  fullDescription: { text: string };
  help: { text: string; markdown: string };
  defaultConfiguration: { level: Level };
}
interface SarifResult {
  ruleId: string;
  ruleIndex: number;
  level: Level;
  message: { text: string };
  locations: object[];
  partialFingerprints?: Record<string, string>;
  suppressions?: { kind: 'inSource'; status: 'accepted'; justification: string }[];
}
type Found = Omit<SarifResult, 'ruleIndex'>;

const FILE_RULES: Readonly<Record<PlanProblem['code'], [title: string, why: string]>> = {
  PlanInvalid: [
    'The plan is wrong',
    'The plan has a field, a value or a statement that the plan format does not allow.',
  ],
  Unsupported: [
    'The plan asks for more than this version can do',
    'This version has no engine for that part of the plan.',
  ],
};
const LIVE_RULE = 'live-check';

/**
 * A SARIF 2.1.0 log of one run, for code review: each finding at its statement in the plan file, what the plan allows as
 * suppressed with its reason. A rule's page is named in its help: `helpUri` would have to be absolute.
 */
export function sarifLog(input: SarifInput): object {
  const rules = rulesOf(input);
  const index = new Map(rules.map(({ id }, i) => [id, i]));
  const results = [...fileResults(input), ...findingResults(input), ...liveResults(input)];
  return {
    $schema: 'https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: { driver: { name: 'switchback', semanticVersion: input.version, rules } },
        columnKind: 'utf16CodeUnits',
        invocations: [
          {
            executionSuccessful: true,
            ...(input.skipped !== null && {
              toolExecutionNotifications: [
                {
                  level: 'warning',
                  message: { text: `The live databases were not checked: ${oneLine(input.skipped)}` },
                },
              ],
            }),
          },
        ],
        results: results.map(({ ruleId, ...rest }) => ({ ruleId, ruleIndex: index.get(ruleId) ?? -1, ...rest })),
      },
    ],
  };
}

function rulesOf({ fileProblems, findings, problems }: SarifInput): SarifRule[] {
  const rules = new Map<string, SarifRule>();
  for (const code of new Set(fileProblems.map((problem) => problem.code)))
    rules.set(code, ruleOf(code, ...FILE_RULES[code], 'docs/plan-format.md', 'error'));
  for (const { rule, title, why, severity } of findings)
    if (!rules.has(rule)) rules.set(rule, ruleOf(rule, title, why, rulePage(rule), severity));
  if (problems.length > 0) {
    const why = 'A database, Unleash or the configuration is not as the plan needs it.';
    rules.set(LIVE_RULE, ruleOf(LIVE_RULE, 'The plan can’t run here', why, 'docs/checking.md', 'error'));
  }
  return [...rules.values()];
}

/** Links in a rule's text are those of its page, and would lead nowhere from a reviewer's. */
function ruleOf(id: string, title: string, markdown: string, page: string, level: Level): SarifRule {
  const why = withoutLinks(markdown);
  return {
    id,
    shortDescription: { text: title },
    fullDescription: { text: why },
    help: { text: `${why} See ${page}.`, markdown: `${why}\n\nSee \`${page}\`.` },
    defaultConfiguration: { level },
  };
}

function fileResults({ uri, fileProblems }: SarifInput): Found[] {
  return fileProblems.map((problem) => {
    const { code, path, message, found, allowed, didYouMean } = problem;
    const words = [
      `${path === '' ? '' : `${path}: `}${message}`,
      found === null ? '' : `found ${found}`,
      didYouMean === null ? '' : `did you mean "${didYouMean}"?`,
      allowed === null ? '' : `allowed: ${allowed}`,
    ];
    const text = words.filter((part) => part !== '').join('; ');
    return { ruleId: code, level: 'error', message: { text }, locations: [location(uri, problem)] };
  });
}

const findingResults = ({ uri, findings }: SarifInput): Found[] =>
  findings.map((finding) => {
    const { rule, phase, step, statement, message, safeForm, avoided, allowed, severity } = finding;
    const instead = safeForm === '' ? '' : `\n\n${avoided ? 'It runs as' : 'Instead'}: ${withoutLinks(safeForm)}`;
    return {
      ruleId: rule,
      level: avoided ? 'note' : severity,
      message: { text: `${message}${instead}` },
      locations: [location(uri, finding, `${phase}/${step}`)],
      partialFingerprints: { 'stepStatementRule/v1': [phase, step, statement ?? 0, rule].join('/') },
      ...(allowed !== null && {
        suppressions: [{ kind: 'inSource', status: 'accepted', justification: allowed }],
      }),
    };
  });

function liveResults({ uri, findings, problems }: SarifInput): Found[] {
  const told = new Set(findings.map(problemOf));
  return problems
    .filter((problem) => !told.has(problem))
    .map((text) => ({ ruleId: LIVE_RULE, level: 'error', message: { text }, locations: [location(uri, null)] }));
}

function location(uri: string, place: { line: number | null; column: number | null } | null, step?: string): object {
  const { line = null, column = null } = place ?? {};
  return {
    physicalLocation: {
      artifactLocation: { uri },
      ...(line !== null && { region: { startLine: line, ...(column !== null && { startColumn: column }) } }),
    },
    ...(step !== undefined && { logicalLocations: [{ fullyQualifiedName: step, kind: 'member' }] }),
  };
}
