import type { CheckFinding } from '../messages/index.ts';
import type { StepRule } from '../sql/rules/step-rules.ts';
import type { PlacedStep } from './live-look.ts';

/** What a live check finds of a step as a whole, not of one of its statements. `hint` counts more than the rule's own. */
export const stepFinding = (
  { phase, step, path }: PlacedStep,
  database: string,
  rule: StepRule,
  { message, hint = null }: { message: string; hint?: string | null },
): CheckFinding => ({
  database,
  phase,
  step: step.id,
  path,
  line: null,
  column: null,
  statement: null,
  rule: rule.code,
  title: rule.title,
  severity: rule.severity,
  message,
  why: rule.why,
  safeForm: hint ?? rule.safeForm,
  avoided: false,
  allowed: null,
  refused: rule.severity === 'error',
});
