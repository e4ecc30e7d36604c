import { durationMs, type StepOf } from '../plan/index.ts';

const DEADLINE_INTERVALS_MIN = 10;

/** How long after its bake a stop may look for the evidence that passes it, before a person decides. */
export function gateDeadlineMs(
  { deadline, interval }: Pick<NonNullable<StepOf<'rollout'>['analysis']>, 'deadline' | 'interval'>,
  bakeMs: number,
): number {
  return deadline === undefined
    ? Math.max(bakeMs, DEADLINE_INTERVALS_MIN * durationMs(interval))
    : durationMs(deadline);
}
