import type { Condition } from '../plan/index.ts';
import { longActivity } from './activities.ts';
import { stepFailure, Stop, type StepFailure } from './failure.ts';
import { isHeld, placeHold, resolution } from './holds.ts';
import type { Run, Watch } from './run.ts';
import { pointOfNoReturn } from './steps/index.ts';

/**
 * Watches guards beside a phase or a step until `end`. One that trips turns the run round; after the point of no return
 * it holds the run instead, until a person says `retry` (watch again) or `skip` (go on without).
 */
export function watchGuards(
  run: Run,
  key: string,
  phase: string,
  guards: readonly Condition[],
): { end(): Promise<void> } {
  if (guards.length === 0) return { end: () => Promise.resolve() };
  const watch: Watch = { over: false };
  const watching = watchOn(run, { key, phase, guards, watch }).catch((thrown: unknown) => {
    if (!(thrown instanceof Stop)) throw thrown;
  });
  return {
    async end() {
      watch.over = true;
      run.interrupt(key);
      await watching;
    },
  };
}

interface Watched {
  key: string;
  phase: string;
  guards: readonly Condition[];
  watch: Watch;
}

async function watchOn(run: Run, of: Watched): Promise<void> {
  const { key, phase } = of;
  while (run.state.unwatched?.includes(key) !== true) {
    if (!isHeld(run, key)) {
      const { error } = await tripped(run, of);
      if (pointOfNoReturn(run) === null) return run.turn({ reason: error.message, by: null, error });
      placeHold(run, key, phase, { ...error, step: key }, { stops: true });
      run.interrupt();
    }
    if ((await resolution(run, key)) === 'skip') run.state.unwatched = [...(run.state.unwatched ?? []), key];
  }
}

/** Looks until one trips. Throws `Stop` when the watch is over. */
async function tripped(run: Run, { key, phase, guards, watch }: Watched): Promise<StepFailure> {
  const watchThem = (): Promise<never> =>
    longActivity(
      'watchGuards',
      { run: run.ref, key, phase, guards },
      { activityId: key, summary: `guards of ${phase}` },
    );
  try {
    return await run.perform(key, watchThem, { watch });
  } catch (thrown) {
    const failure = stepFailure(thrown, null);
    if (thrown instanceof Stop || failure === null) throw thrown;
    return failure;
  }
}
