import type { SchemaFacts } from '../sql/facts.ts';
import { type DatabaseCheck, type LiveCheck, SwitchbackError } from '../messages/index.ts';
import type { Plan, Step } from '../plan/index.ts';
import type { Claim } from '../sql/index.ts';
import type { Deps } from './deps.ts';

/** What all looks of a live check share; each adds to `found` what it finds. */
export interface LiveView {
  plan: Plan;
  claims: readonly Claim[];
  found: LiveCheck;
  /** The databases that could be looked at, by name. */
  databases: Map<string, DatabaseView>;
  /** The catalog of its database as the steps before it leave it, by the step. */
  beforeSteps: Map<string, SchemaFacts>;
}
export interface DatabaseView {
  /** The catalog before the plan's first step. */
  facts: SchemaFacts;
  check: DatabaseCheck;
}
/** One thing that a live check looks at. What it throws becomes a problem; the other looks are made all the same. */
export type Look = (deps: Deps, view: LiveView) => Promise<void> | void;

/** Makes a look; an error of ours becomes a problem. */
export async function noting(found: LiveCheck, look: () => Promise<void> | void): Promise<void> {
  try {
    await look();
  } catch (error) {
    if (!(error instanceof SwitchbackError)) throw error;
    found.problems.push(error.hint === null ? error.message : `${error.message} (${error.hint})`);
  }
}

/** A step with its place in the plan. */
export interface PlacedStep<S extends Step = Step> {
  phase: string;
  step: S;
  /** `spec.phases[0].steps[1]` */
  path: string;
}

/** All steps in the order of the plan. */
export const placedSteps = (plan: Plan): PlacedStep[] =>
  plan.spec.phases.flatMap((phase, i) =>
    phase.steps.map((step, j) => ({ phase: phase.name, step, path: `spec.phases[${i}].steps[${j}]` })),
  );
