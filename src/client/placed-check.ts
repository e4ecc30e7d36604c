import type { LiveCheck } from '../messages/index.ts';
import type { PlanInput } from '../plan/index.ts';
import type { Source } from '../plan/file/source.ts';

/** What a worker may leave out that doesn't know of it yet. */
type Answer = Partial<LiveCheck> & Pick<LiveCheck, 'digest' | 'problems' | 'notes'>;

/** Completes a worker's answer: it knows where in a step's SQL a statement starts, and the plan's text is here. */
export function placedCheck(answer: Answer, plan: PlanInput, source: Source): LiveCheck {
  const paths = new Map(
    plan.spec.phases.flatMap((phase, i) =>
      phase.steps.map((step, j) => [step.id, ['spec', 'phases', i, 'steps', j]] as const),
    ),
  );
  const place = (step: string, offset: number | null): { line: number | null; column: number | null } => {
    const path = paths.get(step);
    if (path === undefined) return { line: null, column: null };
    const at = source.locate(offset === null ? path : [...path, 'up'], 'value', offset);
    return { line: at?.line ?? null, column: at?.column ?? null };
  };
  const databases = (answer.databases ?? []).map((database) => ({
    ...database,
    steps: database.steps.map((step) => ({
      ...step,
      statements: step.statements.map((statement) => ({ ...statement, ...place(step.step, statement.offset) })),
    })),
  }));
  const offsets = new Map(
    databases.flatMap(({ steps }) =>
      steps.flatMap(({ step, statements }) =>
        statements.map(({ number, offset }) => [JSON.stringify([step, number]), offset] as const),
      ),
    ),
  );
  const findings = (answer.findings ?? []).map((finding) => ({
    ...finding,
    ...place(finding.step, offsets.get(JSON.stringify([finding.step, finding.statement])) ?? null),
  }));
  return { ...answer, databases, findings, schemas: answer.schemas ?? {} };
}
