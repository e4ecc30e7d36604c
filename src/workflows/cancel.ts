import { CancellationScope } from '@temporalio/workflow';
import { Stop } from './failure.ts';
import { isHeld, placeHold, resolution } from './holds.ts';
import type { Run } from './run.ts';
import { stepOf } from './state.ts';
import { pointOfNoReturn } from './steps/index.ts';

/** What is held when Temporal's Cancel comes after the point of no return. */
const CANCEL = 'cancel';
export const CANCELED = "canceled through Temporal's Cancel";

/**
 * Temporal's Cancel asks for the rollback, and can't be refused as `abort` is. After the point of no return it holds
 * the run: everything stops, and a person says whether it goes on.
 */
export function cancelRun(run: Run): void {
  const passed = run.state.direction === 'up' ? pointOfNoReturn(run) : null;
  if (passed === null) return run.turn({ reason: CANCELED, by: null, error: null });
  if (!isHeld(run, CANCEL)) {
    placeHold(
      run,
      CANCEL,
      stepOf(run.checked, passed)?.phase.name ?? '',
      {
        code: 'NotReversible',
        message: `${CANCELED}, but the point of no return (${passed}) is passed: nothing rolls back`,
        hint: 'retry and skip both let it go on to its end; Terminate leaves it as it is, to go on when it is started again',
        step: CANCEL,
      },
      { stops: true },
    );
    run.interrupt();
  }
  // The scope that Cancel came to is cancelled itself.
  void CancellationScope.nonCancellable(() => goOnWhenSaid(run));
}

async function goOnWhenSaid(run: Run): Promise<void> {
  try {
    await resolution(run, CANCEL);
    run.state.canceled = false;
  } catch (thrown) {
    if (!(thrown instanceof Stop)) throw thrown;
  }
}

/** A run that is held so doesn't end. */
export const cancelDecided = async (run: Run): Promise<void> => {
  if (isHeld(run, CANCEL)) await run.until(() => !isHeld(run, CANCEL));
};
