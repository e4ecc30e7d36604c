import type { CheckedPlan } from '../../activities/lifecycle.ts';
import type { Kind, Step } from '../../plan/index.ts';
import { approval } from './approval.ts';
import { backfill } from './backfill.ts';
import { call } from './call.ts';
import { check } from './check.ts';
import { ddl } from './ddl.ts';
import { deprecate } from './deprecate.ts';
import { drop } from './drop.ts';
import { dualWrite } from './dual-write.ts';
import { flag } from './flag.ts';
import type { Run } from '../run.ts';
import type { Orchestration } from './orchestration.ts';
import { retire } from './retire.ts';
import { rollout } from './rollout.ts';
import { verify } from './verify.ts';
import { wait } from './wait.ts';

/** Every kind that has an engine; the check of the plan refuses the others by name. */
const orchestrations: Partial<Record<Kind, Orchestration>> = {
  ddl,
  'dual-write': dualWrite,
  backfill,
  verify,
  flag,
  rollout,
  check,
  approval,
  wait,
  call,
  deprecate,
  retire,
  drop,
};

export function orchestrationOf(kind: Kind): Orchestration {
  const orchestration = orchestrations[kind];
  if (orchestration === undefined)
    throw new Error(`no engine for ${kind}: the check of the plan should have refused it`);
  return orchestration;
}

/** The step that has taken the way back, or null: what is done can still be undone. */
export function pointOfNoReturn({ checked, state }: Run): string | null {
  return irreversibleSteps(checked).find(({ id }) => state.steps[id]?.state === 'done')?.id ?? null;
}

/** Steps that may have taken the way back without the run's knowing: their effect was under way, its answer is lost. */
export function maybeIrreversible({ checked, state }: Run): { step: string; database: string }[] {
  return irreversibleSteps(checked).flatMap((step) => {
    const at = state.steps[step.id];
    const open = at !== undefined && at.touched && at.state !== 'done' && at.state !== 'skipped';
    return open && 'database' in step && step.database !== undefined
      ? [{ step: step.id, database: step.database }]
      : [];
  });
}

const irreversibleSteps = ({ plan }: CheckedPlan): Step[] =>
  plan.spec.phases.flatMap((phase) => phase.steps).filter(({ uses }) => orchestrations[uses]?.pointOfNoReturn === true);
