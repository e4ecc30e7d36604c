import { quoteIdentifier, quoteTable } from '../adapters/postgres/identifier.ts';
import type { CheckedRun, CheckFinding, CheckedStatement } from '../messages/index.ts';
import type { Step, StepOf } from '../plan/index.ts';
import { nearest } from '../plan/nearest.ts';
import {
  analyse,
  evolve,
  refuses,
  type RuleFinding,
  ruleOf,
  RULES,
  type SchemaFacts,
  type StatementAnalysis,
  statementsOf,
  whoWaits,
} from '../sql/index.ts';
import type { Deps } from './deps.ts';
import { missingTables } from './ddl-missing-table.ts';
import { type DatabaseView, type LiveView, type PlacedStep, placedSteps } from './live-look.ts';
import { stepFindings, tablesOfStep } from './step-check.ts';

/** Texts of a result are for reading: Temporal takes 2 MiB in all. */
const TEXT_CHARACTERS_MAX = 2_000;

/**
 * Goes through the steps in the order of the plan, each on the catalog that the steps before it will have made: analyses
 * the statements of `ddl` steps, and sees whether the others may do with their tables what they are there for.
 */
export function lookAtSteps(_: Deps, view: LiveView): void {
  const { plan, found, databases } = view;
  const facts = new Map([...databases].map(([name, database]) => [name, database.facts]));
  for (const placed of placedSteps(plan)) {
    for (const of of tablesOfStep(placed.step, plan)) {
      const known = facts.get(of.database);
      if (known !== undefined) found.findings.push(...stepFindings(placed, of, known));
    }
    const name = 'database' in placed.step ? (placed.step.database ?? '') : '';
    const database = databases.get(name);
    const before = facts.get(name);
    if (before !== undefined) view.beforeSteps.set(placed.step.id, before);
    if (database !== undefined && before !== undefined) facts.set(name, factsAfter(placed, before, { view, database }));
  }
}

function factsAfter(
  placed: PlacedStep,
  before: SchemaFacts,
  { view, database }: { view: LiveView; database: DatabaseView },
): SchemaFacts {
  const { phase, step, path } = placed;
  return step.uses === 'ddl' ? analysed({ phase, step, path }, before, view, database) : after(step, before);
}

function analysed(
  placed: PlacedStep<StepOf<'ddl'>>,
  facts: SchemaFacts,
  { found, plan }: LiveView,
  { check }: DatabaseView,
): SchemaFacts {
  const { phase, step } = placed;
  const { schema, down, allow } = step;
  const path = `${placed.path}.up`;
  const {
    statements,
    facts: next,
    allowanceProblems,
  } = analyse(step.up, { schema, facts, hasDown: down !== undefined, allow });
  found.findings.push(...missingTables(step, { database: check.name, phase, step: step.id, path }, { plan, facts }));
  check.steps.push({ phase, step: step.id, path, statements: statements.map(checked) });
  for (const { number, findings } of statements) {
    for (const finding of findings)
      found.findings.push(findingOf(finding, { database: check.name, phase, step: step.id, path, statement: number }));
  }
  found.problems.push(
    ...allowanceProblems.filter(({ is }) => is === 'unknown').map(({ rule }) => unknownRule(rule, phase, step.id)),
  );
  found.notes.push(
    ...allowanceProblems
      .filter(({ is }) => is === 'unused')
      .map(({ rule }) => `${phase}/${step.id}: \`allow\` names "${rule}", which has found nothing; the line can go`),
  );
  return next;
}

function unknownRule(rule: string, phase: string, step: string): string {
  const meant = nearest(
    rule,
    RULES.map(({ code }) => code),
  );
  const hint = meant === undefined ? 'docs/rules lists them all' : `did you mean "${meant}"?`;
  return `${phase}/${step}: \`allow\` names "${rule}", and there is no such rule (${hint})`;
}

const cut = (text: string): string =>
  text.length > TEXT_CHARACTERS_MAX ? `${text.slice(0, TEXT_CHARACTERS_MAX)}…` : text;

const checked = ({ number, text, offset, runs, safeForm, rollback }: StatementAnalysis): CheckedStatement => ({
  number,
  text: cut(text),
  offset,
  // Where that is in the plan's text, the client knows.
  line: null,
  column: null,
  runs: runs.map(runOf),
  safeForm,
  rollback,
});

const runOf = ({ text, concurrently, impact }: StatementAnalysis['runs'][number]): CheckedRun => ({
  text: cut(text),
  concurrently,
  locks: impact.locks.map((lock) => ({ ...lock, waits: lock.fresh === true ? 'nobody' : whoWaits(lock.mode) })),
  rewrites: [...impact.rewrites],
  scans: [...impact.scans],
  diskBytes: impact.diskBytes,
});

type Where = Pick<CheckFinding, 'database' | 'phase' | 'step' | 'path' | 'statement'>;

export const findingOf = (finding: RuleFinding, where: Where): CheckFinding => ({
  ...where,
  line: null,
  column: null,
  rule: finding.rule,
  title: ruleOf(finding.rule)?.title ?? finding.rule,
  severity: finding.severity,
  message: finding.message,
  why: finding.why,
  safeForm: finding.safeForm,
  avoided: finding.avoided,
  allowed: finding.allowed,
  refused: refuses(finding),
});

/** What a step of another kind leaves for the statements after it: what is retired or dropped is there no more by its name. */
function after(step: Step, facts: SchemaFacts): SchemaFacts {
  if (step.uses !== 'retire' && step.uses !== 'drop') return facts;
  const [table = '', column] = (step.table ?? step.column ?? '').split('.');
  const of = quoteTable(step.schema, table);
  const gone = column === undefined ? `DROP TABLE ${of}` : `ALTER TABLE ${of} DROP COLUMN ${quoteIdentifier(column)}`;
  return statementsOf(gone).reduce((so, statement) => evolve(so, statement, step.schema), facts);
}
