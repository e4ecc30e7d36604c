import type { StepOf } from '../../plan/index.ts';
import { remote } from '../activities.ts';
import type { Run } from '../run.ts';
import { byActivity } from './by-activity.ts';
import type { Orchestration } from './orchestration.ts';

const effect = byActivity();

/**
 * Waits until the retention is over, then drops: from there on nothing rolls back. The end of the retention is in the
 * ledger (the retirement's instant and the plan's duration), so that no restart, pause or reset moves it. Events: two
 * for its timer.
 */
export const drop: Orchestration = {
  async up(run, phase, step) {
    if (step.uses !== 'drop') throw new Error(`not a drop: ${step.uses}`);
    await retentionOver(run, step);
    const note = await effect.up(run, phase, step);
    run.event('point-of-no-return', null, { step: step.id });
    return note;
  },
  down: effect.down,
  watchesGuards: false,
  pointOfNoReturn: true,
};

async function retentionOver(run: Run, step: StepOf<'drop'>): Promise<void> {
  for (;;) {
    const due = await run.onRecord(() => remote.dropDue({ run: run.ref, step }));
    if (due.inMs === 0) return;
    // The databases' clocks decide: where Temporal's is ahead, there is another round.
    await run.waitSaying(step.id, `may be dropped from ${due.at} (${due.why})`, () => false, due.inMs);
  }
}
