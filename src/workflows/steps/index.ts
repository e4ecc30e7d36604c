import type { Kind } from '../../plan/index.ts';
import { approval } from './approval.ts';
import { backfill } from './backfill.ts';
import { call } from './call.ts';
import { check } from './check.ts';
import { ddl } from './ddl.ts';
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
  retire,
};

export function orchestrationOf(kind: Kind): Orchestration {
  const orchestration = orchestrations[kind];
  if (orchestration === undefined)
    throw new Error(`no engine for ${kind}: the check of the plan should have refused it`);
  return orchestration;
}

/** The step that has taken the way back, or null: what is done can still be undone. */
export function pointOfNoReturn({ checked, state }: Run): string | null {
  const steps = checked.plan.spec.phases.flatMap((phase) => phase.steps);
  return (
    steps.find(({ id, uses }) => state.steps[id]?.state === 'done' && orchestrationOf(uses).pointOfNoReturn)?.id ?? null
  );
}
