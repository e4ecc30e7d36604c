import { type Claim, claimsOf } from '../../sql/index.ts';
import { meaningFindings } from '../check.ts';
import { type Gate, gatesOf } from '../gates.ts';
import type { Plan } from '../plan.ts';
import { risksOf } from '../risk.ts';
import type { Risk } from '../values.ts';
import { calendarFindings } from './calendar.ts';
import { labelFindings } from './labels.ts';
import { type PlanProblem, inOrder, problemsOf } from './problem.ts';
import { type Opened, openText, openValue } from './read.ts';
import { sqlFindings } from './sql.ts';

/** What can be said of a plan without a server. */
export type PlanCheck =
  | {
      ok: true;
      plan: Plan;
      /** sha256 of the canonical JSON of the plan as given, in hex. */
      digest: string;
      /** The tables to claim, in the order in which to claim them. */
      claims: Claim[];
      /** The risk that counts, by phase. */
      risks: Record<string, Risk>;
      /** All gates, with the policy that counts there. */
      gates: Gate[];
      problems: [];
    }
  | {
      ok: false;
      plan: null;
      digest: string | null;
      claims: [];
      risks: Record<string, never>;
      gates: [];
      problems: PlanProblem[];
    };

const refused = (digest: string | null, problems: PlanProblem[]): PlanCheck => ({
  ok: false,
  plan: null,
  digest,
  claims: [],
  risks: {},
  gates: [],
  problems,
});

function check(opened: Opened): PlanCheck {
  if (!opened.ok) return refused(null, opened.problems);
  const { draft, findings } = meaningFindings(opened.given);
  const labels = opened.plan === null ? [] : labelFindings(opened.plan, null);
  const all = [...findings, ...sqlFindings(draft), ...calendarFindings(draft), ...labels];
  const meaning = problemsOf(all, opened.source);
  const problems = inOrder([...opened.problems, ...meaning]);
  if (problems.length > 0 || opened.plan === null) return refused(opened.digest, problems);
  const { plan, digest } = opened;
  const claims = claimsOf(plan);
  const unknown = problemsOf(labelFindings(plan, claims), opened.source);
  if (unknown.length > 0) return refused(digest, unknown);
  return { ok: true, plan, digest, claims, risks: risksOf(plan), gates: gatesOf(plan), problems: [] };
}

/**
 * Checks a plan that is a value already (a workflow's argument, an object of the SDK): shape, meaning, SQL, calendars.
 * Tells all problems at once, in the order of the plan; throws nothing.
 */
export const checkPlan = async (value: unknown): Promise<PlanCheck> => check(openValue(value));

/** The same for the text of a plan file, YAML or JSON; places are those of the file. */
export const checkPlanText = async (text: string | Uint8Array): Promise<PlanCheck> => check(openText(text));
