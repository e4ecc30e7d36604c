import { type ErrorCode, SwitchbackError } from '../messages/index.ts';
import { answersNew, nextStage, type Stage } from '../plan/index.ts';
import type { Beside } from './flag-change.ts';
import type { Exposure } from './exposure.ts';

/** A stage in between is waited for so long; what isn't done by then is the rollback's, which waits as long as it takes. */
const STAGE_WAIT_MS = 30_000;

/**
 * Takes users off the new path: the flag first; then a path at which the new side answers everybody goes back to `shadow`,
 * where that loses nothing. Idempotent. `beside` commits with the intent: a rollout's own activity, which may be at work
 * beside it, must raise nothing any more (see `Positions.countLowering`).
 */
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
      !(await doneInTime('NotAcknowledged', () =>
        exposure.acknowledged({ instancesMin: 0, noneWillDo: true, timeoutMs: STAGE_WAIT_MS }),
      ))
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
