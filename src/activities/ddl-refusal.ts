import { statementLabel } from '../adapters/postgres/ddl-record.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { StepOf } from '../plan/index.ts';
import { analyse } from '../sql/analyse.ts';
import { refuses } from '../sql/analysis.ts';
import type { SchemaFacts } from '../sql/facts.ts';
import type { Statement } from '../sql/index.ts';

const VIOLATIONS_SHOWN_MAX = 5;

/** Throws `RuleViolated` where a rule says that the statement would do harm, and the plan doesn't allow it. */
export function refuseViolations(
  step: StepOf<'ddl'>,
  { statement, number, facts }: { statement: Statement; number: number; facts: SchemaFacts },
): void {
  const { schema, allow } = step;
  const hasDown = step.down !== undefined;
  const [analysis] = analyse(statement.text, { schema, facts, hasDown, allow }).statements;
  if (analysis === undefined) return;
  const violations = analysis.findings.filter(refuses);
  const [first] = violations;
  if (first === undefined) return;
  const shown = violations.slice(0, VIOLATIONS_SHOWN_MAX);
  const lines = [...new Set(shown.map(({ rule }) => `{ rule: ${rule}, reason: … }`))];
  throw new SwitchbackError(
    'RuleViolated',
    `${statementLabel({ number, text: statement.text })}: ${shown.map(({ rule, message }) => `${message} (${rule})`).join('; ')}`,
    {
      hint: `${first.safeForm} Or take it upon yourself, in the step: allow: [${lines.join(', ')}]`,
      fields: { statement: number, rule: first.rule, rules: violations.map(({ rule }) => rule).join(',') },
    },
  );
}
