import { SwitchbackError } from '../../messages/index.ts';
import type { Finding, Path } from '../finding.ts';
import { pathText } from '../finding.ts';
import type { Source } from './source.ts';

/** Something wrong with a plan, where it is, and what would be right. */
export interface PlanProblem {
  code: 'PlanInvalid' | 'Unsupported';
  /** `spec.phases[0].steps[1].uses`; empty for the file as a whole. */
  path: string;
  /** Counted from 1, in the file; for a plan that was given as a value, in `JSON.stringify(plan, null, 2)`. */
  line: number | null;
  column: number | null;
  message: string;
  /** What stands there. */
  found: string | null;
  /** What may stand there. */
  allowed: string | null;
  didYouMean: string | null;
}

const FOUND_LENGTH_MAX = 80;

/** Findings with their places, in the order of the file. */
export function problemsOf(findings: readonly Finding[], source: Source): PlanProblem[] {
  const problems: PlanProblem[] = [];
  for (const finding of findings) {
    const at = source.locate(finding.path, finding.at ?? 'value', finding.offset ?? null);
    problems.push({
      code: finding.code,
      path: pathText(finding.path),
      line: at?.line ?? null,
      column: at?.column ?? null,
      message:
        finding.offset === undefined || at === null || at.exact ? finding.message : `${finding.message} (${at.inside})`,
      found: finding.found === undefined ? null : cut(finding.found),
      allowed: finding.allowed ?? null,
      didYouMean: finding.didYouMean ?? null,
    });
  }
  return inOrder(problems);
}

const PROBLEMS_MAX = 200;

/** Problems in the order of the file; what is said twice of one place is kept once. Of very many, the first. */
export function inOrder(problems: readonly PlanProblem[]): PlanProblem[] {
  const seen = new Set<string>();
  const once = problems
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0))
    .filter((problem) => {
      const key = `${problem.line}:${problem.column} ${problem.path} ${problem.message}`;
      if (seen.has(key)) return false;
      seen.add(key);
      return true;
    });
  const last = once[PROBLEMS_MAX];
  if (last === undefined) return once;
  const more = { ...last, path: '', message: `and ${once.length - PROBLEMS_MAX} more problems from here on` };
  return [...once.slice(0, PROBLEMS_MAX), { ...more, found: null, allowed: null, didYouMean: null }];
}

const cut = (text: string): string => (text.length > FOUND_LENGTH_MAX ? `${text.slice(0, FOUND_LENGTH_MAX)}…` : text);

/** A value as it is shown to people: short, on one line. */
export function shown(value: unknown, path: Path, source: Source): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'nothing (null)';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return Object.keys(value).length === 0 ? 'an empty mapping' : 'a mapping';
  if (typeof value === 'number') return source.scalarText(path) ?? JSON.stringify(value);
  return JSON.stringify(value);
}

/**
 * Problems as text, one after the other:
 *
 *     plan.yaml:12:15  spec.phases[0].steps[1].uses: unknown step kind
 *         found "ddll"; did you mean "ddl"?
 *         allowed: ddl, dual-write, …
 */
export function formatProblems(problems: readonly PlanProblem[], options: { file?: string | null } = {}): string {
  const file = options.file ?? 'plan';
  const lines: string[] = [];
  for (const problem of problems) {
    const place = problem.line === null ? file : `${file}:${problem.line}:${problem.column ?? 1}`;
    lines.push(`${place}  ${problem.path === '' ? '' : `${problem.path}: `}${problem.message}`);
    const notes = [
      problem.found === null ? null : `found ${problem.found}`,
      problem.didYouMean === null ? null : `did you mean "${problem.didYouMean}"?`,
    ].filter((note) => note !== null);
    if (notes.length > 0) lines.push(`    ${notes.join('; ')}`);
    if (problem.allowed !== null) lines.push(`    allowed: ${problem.allowed}`);
  }
  return lines.join('\n');
}

const PROBLEMS_IN_ERROR_MAX = 20;

/** A wrong plan as a failure: `Unsupported` when nothing else is wrong with it, else `PlanInvalid`. Never retried. */
export class PlanError extends SwitchbackError {
  readonly problems: readonly PlanProblem[];

  constructor(problems: readonly PlanProblem[], options: { file?: string | null; hint?: string } = {}) {
    const first = problems[0];
    const more = problems.length - PROBLEMS_IN_ERROR_MAX;
    const text = formatProblems(problems.slice(0, PROBLEMS_IN_ERROR_MAX), options);
    super(
      problems.length > 0 && problems.every((problem) => problem.code === 'Unsupported')
        ? 'Unsupported'
        : 'PlanInvalid',
      more > 0 ? `${text}\n… and ${more} more` : text,
      {
        hint:
          options.hint ?? 'Correct the plan and start it again; `switchback check PLAN` shows all problems at once.',
        fields: {
          problems: problems.length,
          path: first?.path ?? null,
          line: first?.line ?? null,
          column: first?.column ?? null,
        },
      },
    );
    this.problems = problems;
  }
}
