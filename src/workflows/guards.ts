import type { Condition } from '../plan/index.ts';
import { longActivity } from './activities.ts';
import { stepFailure, Stop } from './failure.ts';
import type { Run, Watch } from './run.ts';

/** Watches guards beside a phase or a step until `end`; one that trips turns the run round. */
export function watchGuards(
  run: Run,
  key: string,
  phase: string,
  guards: readonly Condition[],
): { end(): Promise<void> } {
  if (guards.length === 0) return { end: () => Promise.resolve() };
  const watch: Watch = { over: false };
  const watching = run
    .perform(
      key,
      () =>
        longActivity(
          'watchGuards',
          { run: run.ref, key, phase, guards },
          { activityId: key, summary: `guards of ${phase}` },
        ),
      {
        watch,
      },
    )
    .catch((thrown: unknown) => {
      if (thrown instanceof Stop) return;
      const failure = stepFailure(thrown, null);
      if (failure === null) throw thrown;
      run.turn({ reason: failure.error.message, by: null, error: failure.error });
    });
  return {
    async end() {
      watch.over = true;
      run.interrupt(key);
      await watching;
    },
  };
}
