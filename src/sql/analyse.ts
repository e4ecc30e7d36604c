import type { RuleFinding, StatementAnalysis } from './analysis.ts';
import { evolve } from './evolve.ts';
import type { SchemaFacts } from './facts.ts';
import { impactOf } from './impact-of.ts';
import { type Statement, statementsOf } from './parser.ts';
import { type Reversal, reversals } from './reversibility.ts';
import { RULES } from './rules/index.ts';
import type { Rule } from './rules/rule.ts';
import { type SafeForm, safeForm, type SafeUnit } from './safe-form.ts';

/** What a plan allows, and why. */
export interface Allowance {
  rule: string;
  reason: string;
}
export interface AnalysisInput {
  /** The schema that unqualified names mean. */
  schema: string;
  /** The live catalog, with what earlier steps of the plan make of it. */
  facts: SchemaFacts;
  /** Whether the step has its own `down`. */
  hasDown: boolean;
  allow?: readonly Allowance[];
}
/** An entry of `allow` that allows nothing: no rule has that code, or the rule has found nothing in the step. */
export interface AllowanceProblem {
  rule: string;
  is: 'unknown' | 'unused';
}
export interface Analysis {
  statements: StatementAnalysis[];
  /** After the last statement; what the statements make is fresh. */
  facts: SchemaFacts;
  allowanceProblems: AllowanceProblem[];
}

/**
 * What the statements of a `ddl` step would do, what will run in their place, and what the rules say of them, each with
 * the catalog as the statements before it leave it. Pure. Throws `SqlFault` where the SQL doesn't parse.
 */
export function analyse(sql: string, { schema, facts, hasDown, allow = [] }: AnalysisInput): Analysis {
  let current = facts;
  const read = statementsOf(sql);
  const back = reversals(read, schema, facts);
  const statements = read.map((statement, index): StatementAnalysis => {
    const before = current;
    current = evolve(before, statement, schema);
    const form = safeForm(statement, schema, before);
    return {
      number: index + 1,
      text: statement.text,
      offset: statement.offset,
      runs: runsOf(statement, form, { schema, facts: before }),
      safeForm: form?.why ?? null,
      rollback: hasDown ? 'runs the `down` of the step' : rollbackOf(back[index]),
      findings: findingsOf({ statement, schema, facts: before, hasDown }, form, allow),
    };
  });
  const fired = new Set(statements.flatMap(({ findings }) => findings.map(({ rule }) => rule)));
  return { statements, facts: current, allowanceProblems: allowanceProblems(allow, fired) };
}

const rollbackOf = (reversal: Reversal | undefined): string | null =>
  reversal?.needsDown === null ? reversal.by : null;

/** What runs, one transaction each, with the impact of each on the catalog that those before it leave. */
function runsOf(
  statement: Statement,
  form: SafeForm | null,
  { schema, facts }: { schema: string; facts: SchemaFacts },
): StatementAnalysis['runs'] {
  let current = facts;
  const units: readonly SafeUnit[] = form?.units ?? [
    { text: statement.text, concurrently: statement.node['concurrent'] === true },
  ];
  return units.map(({ text, concurrently }) => {
    const [unit] = form === null ? [statement] : statementsOf(text);
    if (unit === undefined) throw new Error(`a safe form without a statement: ${text}`);
    const impact = impactOf(unit, schema, current);
    current = evolve(current, unit, schema);
    return { text, concurrently, impact };
  });
}

function findingsOf(
  context: { statement: Statement; schema: string; facts: SchemaFacts; hasDown: boolean },
  form: SafeForm | null,
  allow: readonly Allowance[],
): RuleFinding[] {
  const impact = impactOf(context.statement, context.schema, context.facts);
  return RULES.flatMap((rule: Rule) =>
    rule.check({ ...context, impact }).map(({ message, severity, safeForm: instead }): RuleFinding => {
      const avoided = form?.avoids.includes(rule.code) === true;
      return {
        rule: rule.code,
        severity: avoided ? 'note' : (severity ?? rule.severity),
        message,
        why: rule.why,
        safeForm: instead ?? rule.safeForm,
        avoided,
        allowed: allow.find((one) => one.rule === rule.code)?.reason ?? null,
      };
    }),
  );
}

function allowanceProblems(allow: readonly Allowance[], fired: ReadonlySet<string>): AllowanceProblem[] {
  return allow
    .filter(({ rule }) => !fired.has(rule))
    .map(({ rule }) => ({ rule, is: RULES.some(({ code }) => code === rule) ? 'unused' : 'unknown' }));
}
