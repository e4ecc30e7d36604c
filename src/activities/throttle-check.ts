import type { Plan, StepOf } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import { type LiveView, placedSteps } from './live-look.ts';
import { noReplicas } from './pressure.ts';

/** What a throttle asks for and the configuration hasn't got: the step would stop with it when its turn comes. */
export function lookAtThrottles({ databases }: Deps, { plan, found }: LiveView): void {
  for (const { phase, step } of placedSteps(plan)) {
    if (step.uses !== 'backfill' && step.uses !== 'verify') continue;
    if (step.throttle.maxReplicaLag === undefined) continue;
    for (const name of databasesOf(step, plan)) {
      if (!databases.names.includes(name) || databases.get(name).replicas.length > 0) continue;
      const { message, hint } = noReplicas(name);
      found.problems.push(`${phase}/${step.id}: ${message} (${hint})`);
    }
  }
}

function databasesOf(step: StepOf<'backfill'> | StepOf<'verify'>, plan: Plan): string[] {
  const of = plan.spec.phases.flatMap(({ steps }) => steps).find(({ id }) => id === step.of);
  const sides = step.uses === 'verify' ? [step.left?.database, step.right?.database] : [];
  const named = [step.database, of?.uses === 'dual-write' ? of.database : undefined, ...sides];
  return [...new Set(named.filter((name) => name !== undefined))];
}
