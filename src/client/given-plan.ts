import type { PlanInput } from '../plan/index.ts';
import { PlanError } from '../plan/file/problem.ts';
import { readPlan, readPlanValue } from '../plan/file/read.ts';
import type { Source } from '../plan/file/source.ts';
import type { GivenPlan } from './start.ts';

/**
 * Reads a plan as the engine will, with where its values stand in the text, so that what is wrong with its shape shows before anything is started.
 * @throws PlanError PlanInvalid or Unsupported, with path, line and column of each problem
 */
export function readGivenPlan(plan: PlanInput | string): GivenPlan & { source: Source } {
  const reading = typeof plan === 'string' ? readPlan(plan) : readPlanValue(plan);
  if (!reading.ok) throw new PlanError(reading.problems);
  // What passed as a plan is one, before its defaults too.
  return { plan: reading.given as unknown as PlanInput, digest: reading.digest, source: reading.source };
}
