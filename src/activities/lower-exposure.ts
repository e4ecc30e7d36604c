import { type ErrorCode, SwitchbackError } from '../messages/index.ts';
import { answersNew, nextStage, type Stage } from '../plan/index.ts';
import type { Beside } from './flag-change.ts';
import type { EffectContext, EffectInput, EffectResult } from './effect.ts';
import { Exposure } from './exposure.ts';
import { Positions } from './rollout-position.ts';

/** A stage in between is waited for so long; what isn't done by then is the rollback's, which waits as long as it takes. */
const STAGE_WAIT_MS = 30_000;

/**
 * Takes users off the new path at once, for a rollout that is under way or done: to its `exposureOnFailure`, or to 0 %.
 * Idempotent, and safe beside the rollout's own activity, which raises nothing any more once this has begun: it stands
 * still until the run interrupts it (whoever calls this holds the run or turns it round).
 */
export async function lowerExposure(input: EffectInput<'rollout'>, context: EffectContext): Promise<EffectResult> {
  const exposure = new Exposure(input, context);
  const { change } = exposure;
  const { flag, environment } = change.ref;
  const percent = input.step.exposureOnFailure?.percent ?? 0;
  const row = await change.states.read(change.key);
  if (row === null || row.restored) return { note: `flag ${flag} in ${environment} is not raised`, progress: null };
  const positions = new Positions(change);
  await lowerTo(exposure, percent, (session) => positions.countLowering(session));
  return { note: `flag ${flag} in ${environment} was lowered to ${percent} %`, progress: null };
}

/** The flag first; then a path at which the new side answers whomever the flag lets in goes back to `shadow`. */
export async function lowerTo(exposure: Exposure, percent: number, beside: Beside): Promise<void> {
  await exposure.expose(percent, { beside });
  const ours = await exposure.path.ours();
  if (ours === null) return;
  const floor: Stage = answersNew(ours.found) ? ours.found : 'shadow';
  for (let at = ours.set; at !== floor && answersNew(at); ) {
    const to = nextStage(at, floor);
    if (!answersNew(to) && !(await oldMayAnswer(exposure))) return;
    await exposure.path.moveTo(to, 'intended');
    if (to === floor) return;
    if (
      !(await doneInTime('NotAcknowledged', () => exposure.acknowledged({ instancesMin: 0, timeoutMs: STAGE_WAIT_MS })))
    )
      return;
    at = to;
  }
}

/** The old side has all writes: none was kept from it, and none that failed there is left. */
async function oldMayAnswer(exposure: Exposure): Promise<boolean> {
  if ((await exposure.path.row())?.newOnlySince != null) return false;
  return doneInTime('RepairsOpen', () => exposure.repaired({ lacking: 'old', timeoutMs: STAGE_WAIT_MS }));
}

/** Whether `work` came to its end; false where it would have to be waited for. */
async function doneInTime(code: ErrorCode, work: () => Promise<unknown>): Promise<boolean> {
  try {
    await work();
    return true;
  } catch (error) {
    if (error instanceof SwitchbackError && error.code === code) return false;
    throw error;
  }
}
