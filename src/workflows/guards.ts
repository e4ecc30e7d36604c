import type { Condition } from '../plan/index.ts';
import { longActivity } from './activities.ts';
import { raiseAgain, stopExposure, whileLowering } from './breach.ts';
import { stepFailure, Stop, type StepFailure } from './failure.ts';
import { isHeld, placeHold, resolution } from './holds.ts';
import type { Run, Watch } from './run.ts';
import { pointOfNoReturn } from './steps/index.ts';

interface Guarded {
  key: string;
  /** Null: whichever is under way. */
  phase: string | null;
  guards: readonly Condition[];
  /** What follows a breach before the point of no return; `rollback` where nothing is said. */
  onBreach?: 'rollback' | 'hold' | undefined;
  /** From when on they are watched; at once, unless said. */
  from?: () => boolean;
}

/**
 * Watches guards beside a phase, a step or the whole run until `end`. One that trips stops exposure, then turns the run
 * round or, after the point of no return or where the plan says so, holds it, until a person says `retry` (watch again)
 * or `skip` (go on without).
 */
export function watchGuards(run: Run, of: Guarded): { end(): Promise<void> } {
  if (of.guards.length === 0) return { end: () => Promise.resolve() };
  const watch: Watch = { over: false };
  const watching = watchOn(run, { ...of, watch }).catch((thrown: unknown) => {
    if (!(thrown instanceof Stop)) throw thrown;
  });
  return {
    async end() {
      watch.over = true;
      run.interrupt(of.key);
      await watching;
    },
  };
}

type Watched = Guarded & { watch: Watch };

async function watchOn(run: Run, of: Watched): Promise<void> {
  const { key, from } = of;
  if (from !== undefined) await run.until(() => of.watch.over || from());
  // A continue-as-new came in between.
  let raising = run.state.breach?.key === key && !isHeld(run, key) ? raised(run) : null;
  while (run.state.unwatched?.includes(key) !== true && !of.watch.over) {
    if (!isHeld(run, key)) {
      const failure = await tripped(run, of);
      if (of.onBreach !== 'hold' && pointOfNoReturn(run) === null) {
        run.turn({ reason: failure.error.message, by: null, error: failure.error });
        await stopExposure(run, key, failure, { hold: false });
        return;
      }
      placeHold(run, key, phaseOf(run, of), { ...failure.error, step: key }, { stops: true });
      run.interrupt();
      await stopExposure(run, key, failure, { hold: true });
    }
    const said = await whileLowering(run, () => resolution(run, key));
    if (said === 'skip') run.state.unwatched = [...(run.state.unwatched ?? []), key];
    if (run.state.breach?.key === key) raising = raised(run);
  }
  await raising;
}

/** Raises exposure again beside the watch: guards look at it from its first user on. */
const raised = (run: Run): Promise<void> =>
  raiseAgain(run).catch((thrown: unknown) => {
    if (!(thrown instanceof Stop)) throw thrown;
  });

/** The phase whose policy says who may let the run go on. */
const phaseOf = ({ state }: Run, { phase }: Guarded): string =>
  phase ?? Object.keys(state.phases).find((name) => state.phases[name]?.station !== 'done') ?? '';

/** Looks until one trips. Throws `Stop` when the watch is over. */
async function tripped(run: Run, { key, phase, guards, watch }: Watched): Promise<StepFailure> {
  const watchThem = (): Promise<never> =>
    longActivity(
      'watchGuards',
      { run: run.ref, key, phase: phase ?? '', guards },
      { activityId: key, summary: `guards of ${phase ?? 'the migration'}` },
    );
  try {
    return await run.perform(key, watchThem, { watch, despite: 'raising' });
  } catch (thrown) {
    const failure = stepFailure(thrown, null);
    if (thrown instanceof Stop || failure === null) throw thrown;
    return failure;
  }
}
