import type { EffectInput, EffectResult } from '../../activities/effect.ts';
import type { Direction } from '../../messages/index.ts';
import type { Phase, Step, StepOf } from '../../plan/index.ts';
import { longActivity } from '../activities.ts';
import { durationMs } from '../duration.ts';
import { stepOf } from '../state.ts';
import type { Run } from '../run.ts';
import { timeLimit } from '../step-timeout.ts';
import { MOVES_DATA, openWindow } from '../windows.ts';
import type { Orchestration } from './orchestration.ts';

/** A kind that is one heartbeating activity of the same name each way. */
export const byActivity = (options: Partial<Omit<Orchestration, 'up'>> = {}): Orchestration => ({
  up: (run, phase, step) => effect(run, phase, step, 'up'),
  down: (run, phase, step) => effect(run, phase, step, 'down'),
  watchesGuards: false,
  pointOfNoReturn: false,
  ...options,
});

async function effect(run: Run, phase: Phase, step: Step, direction: Direction): Promise<string> {
  const time = timeLimit(run, step);
  if (direction === 'up' && !MOVES_DATA.includes(step.uses)) await openWindow(run, step.id, step.uses);
  const result = await run.perform(
    step.id,
    async () => {
      time.check();
      try {
        return await longActivity<EffectResult>(step.uses, inputOf(run, phase, step, direction), {
          activityId: step.id,
          summary: `${direction === 'up' ? '' : 'undo '}${step.uses} ${step.id}`,
          retry: {
            initialInterval: durationMs(step.retry.initialInterval),
            maximumInterval: durationMs(step.retry.maximumInterval),
          },
        });
      } finally {
        time.spent();
      }
    },
    {
      // Rolling back doesn't wait for a window, and takes the time it needs.
      ...(direction === 'up' && { limit: time.limit }),
      despite: run.state.breach?.raising?.includes(step.id) === true ? 'raising' : undefined,
      ...(direction === 'up' && MOVES_DATA.includes(step.uses) && { kind: step.uses }),
    },
  );
  const at = run.state.steps[step.id];
  if (at !== undefined && result.progress !== null) at.progress = result.progress;
  return result.note;
}

function flagOf({ checked }: Run, step: Step): EffectInput['flag'] {
  const name = 'flag' in step ? step.flag : step.uses === 'verify' ? step.repairs : undefined;
  return name === undefined ? null : (checked.plan.spec.flags[name] ?? null);
}

function inputOf(run: Run, phase: Phase, step: Step, direction: Direction): EffectInput {
  const of = 'of' in step && step.of !== undefined ? (stepOf(run.checked, step.of)?.step ?? null) : null;
  return {
    run: run.ref,
    direction,
    phase: phase.name,
    risk: run.riskOf(phase.name),
    requestedBy: run.state.requestedBy,
    step,
    of: of?.uses === 'dual-write' ? (of satisfies StepOf<'dual-write'>) : null,
    flag: flagOf(run, step),
    throttle: run.state.throttles[step.id] ?? null,
    accept: run.state.accepted?.[step.id] ?? null,
    retried: run.state.steps[step.id]?.retried ?? 0,
  };
}
