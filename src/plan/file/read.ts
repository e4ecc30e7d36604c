import { fillFlagEnvironments } from '../flag-environments.ts';
import { type Plan, PLAN_BYTES_MAX, planSchema } from '../plan.ts';
import { invalid } from '../finding.ts';
import { digestOf, type Json, jsonFault } from './json.ts';
import { type PlanProblem, problemsOf } from './problem.ts';
import { shapeFindings } from './shape.ts';
import { lazySource, NO_SOURCE, type Source } from './source.ts';
import { readText } from './text.ts';

export type PlanReading =
  | { ok: true; plan: Plan; given: Json; digest: string; source: Source }
  | { ok: false; problems: PlanProblem[] };

/** A plan as JSON, from which text; the plan itself where its shape is right. */
export type Opened =
  | { ok: true; given: Json; digest: string; source: Source; plan: Plan | null; problems: PlanProblem[] }
  | { ok: false; problems: PlanProblem[] };

/** Opens a plan's text (YAML or JSON; bytes must be UTF-8). */
export function openText(text: string | Uint8Array): Opened {
  const reading = readText(text);
  return reading.ok ? open(reading.given, reading.source) : reading;
}

/** Opens a plan that is a value already. Places are those of `JSON.stringify(value, null, 2)`. */
export function openValue(value: unknown): Opened {
  const fail = (path: readonly (string | number)[], message: string): Opened => ({
    ok: false,
    problems: problemsOf([invalid(path, message)], NO_SOURCE),
  });
  try {
    const fault = jsonFault(value);
    if (fault !== null) return fail(fault.path, fault.message);
    const text = JSON.stringify(value);
    const bytes = Buffer.byteLength(text);
    if (bytes > PLAN_BYTES_MAX)
      return fail([], `the plan has ${bytes} bytes, which is more than ${PLAN_BYTES_MAX} (512 KiB)`);
    const given = JSON.parse(text) as Json;
    return open(
      given,
      lazySource(() => sourceOfValue(given)),
    );
  } catch (error) {
    return fail([], `the plan can't be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function sourceOfValue(given: Json): Source {
  const reading = readText(JSON.stringify(given, null, 2), { bytesMax: Number.POSITIVE_INFINITY });
  return reading.ok ? reading.source : NO_SOURCE;
}

function open(given: Json, source: Source): Opened {
  const digest = digestOf(given);
  const parsed = planSchema.safeParse(given);
  if (parsed.success) return { ok: true, given, digest, source, plan: fillFlagEnvironments(parsed.data), problems: [] };
  const problems = problemsOf(shapeFindings(parsed.error.issues, given, source), source);
  return { ok: true, given, digest, source, plan: null, problems };
}

const reading = (opened: Opened): PlanReading =>
  opened.ok && opened.plan !== null
    ? { ok: true, plan: opened.plan, given: opened.given, digest: opened.digest, source: opened.source }
    : { ok: false, problems: opened.problems };

/** Reads a plan's text and its shape: every field, none too many. What the plan means is `checkPlanText`'s. */
export const readPlan = (text: string | Uint8Array): PlanReading => reading(openText(text));

/** The same for a plan that is a value already, such as a workflow's argument. */
export const readPlanValue = (value: unknown): PlanReading => reading(openValue(value));
