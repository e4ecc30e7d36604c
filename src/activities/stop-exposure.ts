import { Context } from '@temporalio/activity';
import type { Queryable } from '../adapters/postgres/database.ts';
import type { FlagRow } from '../adapters/postgres/flag-states.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import {
  exposureOf,
  type FlagState,
  type OurStrategy,
  withEnabled,
  withPercent,
} from '../adapters/unleash/flag-state.ts';
import { type RunRef, SwitchbackError } from '../messages/index.ts';
import { answersNew, type FlagDefinition, type StepOf } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import type { EffectContext, EffectInput } from './effect.ts';
import { Exposure, usesStages } from './exposure.ts';
import type { FlagChange } from './flag-change.ts';
import { lowerTo } from './lower-exposure.ts';
import { pause } from './pause.ts';
import { Positions } from './rollout-position.ts';
import { asActivity } from './run-effect.ts';

/** A `flag` or `rollout` step that may expose users. */
export interface ExposingStep {
  phase: string;
  step: StepOf<'flag'> | StepOf<'rollout'>;
  flag: FlagDefinition | null;
}
export interface StopExposureInput {
  run: RunRef;
  /** In the order in which they ran. */
  steps: ExposingStep[];
  /** When the breach was seen, in milliseconds since the epoch. */
  seenAtMs: number;
}
export interface ExposureStopped {
  /** The run under its new generation. */
  run: RunRef;
  /** Each flag as it is now, by the last step that changed it. `inMs`: how long after the breach was seen. */
  lowered: { step: string; flag: string; environment: string; percent: number; inMs: number }[];
  /** What could not be lowered; `again`: it may help to try that again. */
  left: { step: string; flag: string; why: string; again: boolean }[];
}

/** A flag that can't be reached, or whose stages are waited for, must not keep the rollback from going on. */
const FLAG_MAX_MS = 15_000;
const AGAIN_FIRST_MS = 2_000;
const AGAIN_LAST_MS = 30_000;

export function createStopExposure(deps: Deps) {
  return {
    /**
     * Takes users off the new path at once, before anything is undone. The home ledger's fence is raised first: what is
     * under way finishes its write, and nothing that began earlier, a rollout that climbs or a worker that was frozen,
     * raises exposure afterwards. Each flag is tried once. May be called again at any time: after a crash it
     * is `Fenced` by its own first half, and called anew.
     */
    stopExposure: (input: StopExposureInput): Promise<ExposureStopped> =>
      asActivity(deps, { run: input.run, phase: null, step: 'exposure' }, async (context) => {
        const run = await deps.home.raise(input.run, Context.current().info.workflowExecution?.runId ?? '');
        await new StepLedger(deps.home.database).raiseFence(run);
        return { run, ...(await lowerAll({ ...input, run }, context)) };
      }),

    /** Beside the rollback, or while the run is held: until every flag that can be lowered is. */
    keepStoppingExposure: (input: StopExposureInput): Promise<ExposureStopped> =>
      asActivity(deps, { run: input.run, phase: null, step: 'exposure' }, async (context) => {
        for (let waitMs = AGAIN_FIRST_MS; ; waitMs = Math.min(AGAIN_LAST_MS, waitMs * 2)) {
          const pass = await lowerAll(input, context);
          if (!pass.left.some(({ again }) => again)) return { run: input.run, ...pass };
          const words = pass.left.map(({ flag, why }) => `flag ${flag} can't be lowered yet: ${why}`).join('; ');
          context.degraded?.(words);
          context.report({ progress: null, note: words });
          await pause(waitMs, context.signal);
        }
      }),
  };
}

interface Exposed {
  of: ExposingStep;
  exposure: Exposure;
  change: FlagChange;
  row: FlagRow<FlagState>;
}

async function lowerAll(
  { run, steps, seenAtMs }: StopExposureInput,
  context: EffectContext,
): Promise<Pick<ExposureStopped, 'lowered' | 'left'>> {
  const result: Pick<ExposureStopped, 'lowered' | 'left'> = { lowered: [], left: [] };
  const flags = Object.values(Object.groupBy(await exposedBy(run, steps, context), ({ change }) => placeOf(change)));
  await Promise.all(
    flags.map(async (exposed = []) => {
      const last = exposed.at(-1);
      if (last === undefined) return;
      const { step } = last.of;
      const { flag, environment } = last.change.ref;
      try {
        const percent = await lowerOne(exposed, last);
        const inMs = Math.max(0, Date.now() - seenAtMs);
        result.lowered.push({ step: step.id, flag, environment, percent, inMs });
      } catch (error) {
        if (context.signal.aborted || (error instanceof SwitchbackError && error.code === 'Fenced')) throw error;
        context.log.warn({ err: error, flag }, 'exposure could not be lowered');
        result.left.push({ step: step.id, flag, ...whyOf(error) });
      }
    }),
  );
  return result;
}

const whyOf = (error: unknown): { why: string; again: boolean } =>
  error instanceof SwitchbackError
    ? { why: error.message, again: error.retry }
    : { why: error instanceof Error ? error.message : String(error), again: true };

const placeOf = ({ ref }: FlagChange): string => JSON.stringify([ref.project, ref.environment, ref.flag]);

/** Steps that have changed their flag and not taken that back. */
async function exposedBy(run: RunRef, steps: readonly ExposingStep[], context: EffectContext): Promise<Exposed[]> {
  const exposed: Exposed[] = [];
  for (const of of steps) {
    const signal = AbortSignal.any([context.signal, AbortSignal.timeout(FLAG_MAX_MS)]);
    const input = { run, phase: of.phase, step: of.step, flag: of.flag } as EffectInput<'rollout'>;
    const exposure = new Exposure(input, { ...context, signal });
    const row = await exposure.change.states.read(exposure.change.key);
    if (row !== null && !row.restored) exposed.push({ of, exposure, change: exposure.change, row });
  }
  return exposed;
}

/**
 * Lowers one flag, as the last step that changed it: to that one's `exposureOnFailure`, else to what the first of them
 * found; never raises it. A path with stages goes to 0 %, and back to where the old side answers, where that loses
 * nothing. Answers with the percentage then.
 */
async function lowerOne(exposed: readonly Exposed[], last: Exposed): Promise<number> {
  const { step } = last.of;
  const onFailure = step.uses === 'rollout' ? step.exposureOnFailure?.percent : undefined;
  const rollout = step.uses === 'rollout';
  const beside = (session: Queryable): Promise<void> =>
    rollout ? new Positions(last.change).countLowering(session) : Promise.resolve();
  if (!exposed.some((one) => usesStages(one.of.step))) {
    const found = exposed[0]?.row.captured;
    return lowerFlag(last.change, (state) => loweredState(state, { found, onFailure, our: last.change.our }), beside);
  }
  // Below `live` the old side answers everybody.
  if (step.uses === 'flag' && step.stage !== undefined && !answersNew(step.stage)) return 0;
  const percent = Math.min(onFailure ?? 0, exposureOf(last.row.ours));
  await lowerTo(last.exposure, percent, beside);
  return percent;
}

async function lowerFlag(
  change: FlagChange,
  lowered: (state: FlagState) => FlagState,
  beside: (session: Queryable) => Promise<void>,
): Promise<number> {
  let percent = 0;
  await change.apply(
    (state) => {
      const target = lowered(state);
      percent = Math.min(exposureOf(target), exposureOf(state));
      return exposureOf(target) < exposureOf(state) ? target : state;
    },
    () => Promise.resolve(),
    beside,
  );
  return percent;
}

function loweredState(
  state: FlagState,
  { found, onFailure, our }: { found: FlagState | undefined; onFailure: number | undefined; our: OurStrategy },
): FlagState {
  if (onFailure !== undefined) return withPercent(state, onFailure, our);
  // Off rather than away: a flag that is deleted and made again has lost what others have set in it.
  return found === undefined || exposureOf(found) === 0 ? withEnabled(state, false, our) : found;
}
