import { patched } from '@temporalio/workflow';
import type { ExposureStopped, ExposingStep, StopExposureInput } from '../activities/stop-exposure.ts';
import { longActivity } from './activities.ts';
import { isFenced, type StepFailure, Stop, stepFailure } from './failure.ts';
import { isHeld, placeHold, resolution } from './holds.ts';
import { inOrderOfNeeds } from './order.ts';
import type { Run, Watch } from './run.ts';
import { type Breach, stepOf } from './state.ts';
import { orchestrationOf } from './steps/index.ts';

/**
 * What a breach does to the users on a new path: they are taken off it first, before the turn is recorded and before
 * anything is undone. Whoever calls this has made the run stand still (`hold`) or turn, so that nothing begins meanwhile;
 * what is under way is fenced. What can't be lowered now is tried again beside what follows (`whileLowering`). Of two
 * breaches at once the first lowers for both.
 */
export async function stopExposure(
  run: Run,
  key: string,
  failure: StepFailure,
  { hold }: { hold: boolean },
): Promise<void> {
  const { steps, kept } = exposingSteps(run);
  if (steps.length + kept.length === 0 || !patched('exposure-first')) return;
  if (run.lowering === null) {
    const seenAtMs = Number(failure.fields['seenAtMs'] ?? Date.now());
    const breach: Breach = { key, seenAtMs, lowered: [], left: kept, ...(hold && { raising: [] }) };
    run.state.breach = breach;
    if (steps.length === 0) return noteLowered(run, breach, { lowered: [], left: [] });
    run.lowering = lower(run, breach, steps).finally(() => {
      run.lowering = null;
    });
  }
  await run.lowering;
}

async function lower(run: Run, breach: Breach, steps: ExposingStep[]): Promise<void> {
  for (;;) {
    try {
      const input: StopExposureInput = { run: run.ref, steps, seenAtMs: breach.seenAtMs };
      // A long one for its heartbeats alone: a worker that dies in the middle of it is noticed soon.
      const stopped = await longActivity<ExposureStopped>('stopExposure', input, {
        activityId: `stop-${LOWERING}`,
        summary: `takes users off new paths: ${breach.key}`,
      });
      if (stopped.run.generation > run.ref.generation) run.state.run = stopped.run;
      noteLowered(run, breach, stopped);
      // Who aborts in the meantime wants nothing raised again.
      if (breach.raising !== undefined) breach.raising = doneSteps(run, breach);
      return;
    } catch (thrown) {
      if (!isFenced(thrown)) throw thrown;
      await run.register();
      if (run.restarting || run.state.ended !== null) return;
    }
  }
}

/** Steps that are done and were lowered: nobody but a person brings them back. */
const doneSteps = (run: Run, { lowered }: Breach): string[] =>
  exposingSteps(run)
    .steps.map(({ step }) => step.id)
    .filter((id) => run.state.steps[id]?.state === 'done' && lowered.some(({ step }) => step === id));

function noteLowered(run: Run, breach: Breach, { lowered, left }: Pick<ExposureStopped, 'lowered' | 'left'>): void {
  breach.lowered = lowered;
  breach.left = [...exposingSteps(run).kept, ...left];
  run.event('exposure-lowered', null, {
    what: breach.key,
    flags: lowered.map(({ flag, percent }) => `${flag} at ${percent} %`).join(', '),
    inMs: Math.max(0, ...lowered.map(({ inMs }) => inMs)),
    left: breach.left.map(({ flag, why }) => `${flag}: ${why}`).join('; '),
  });
}

/** A rollback that was refused, because a step took the way back first: the breach holds the run instead. */
export function holdBreach(run: Run): void {
  const { breach, error, phases } = run.state;
  if (breach === undefined || error === null) return;
  // Only those of the run and of its phases are still watched when it goes on.
  const phase = phases[breach.key.replace(/\/guards$/, '')];
  if (breach.key !== SPEC_GUARDS && (phase === undefined || phase.station === 'done')) return;
  breach.raising = doneSteps(run, breach);
  placeHold(run, breach.key, '', { ...error, step: breach.key }, { stops: true });
}

/**
 * Steps that may expose users, in the order in which they run; not those that are undone or were left out. What ran before
 * a `retire` or `drop` is `kept`: the old path that its users would go back to is out of use.
 */
function exposingSteps({ checked, state }: Run): { steps: ExposingStep[]; kept: Breach['left'] } {
  const { spec } = checked.plan;
  const inOrder = spec.phases.flatMap((phase) => inOrderOfNeeds(phase.steps).map((step) => ({ phase, step })));
  const there = inOrder.filter(({ step }) => {
    const at = state.steps[step.id];
    return at !== undefined && at.touched && at.state !== 'undone' && at.state !== 'skipped';
  });
  const last = there.findLastIndex(({ step }) => step.uses === 'retire' || step.uses === 'drop');
  const steps: ExposingStep[] = [];
  const kept: Breach['left'] = [];
  for (const [at, { phase, step }] of there.entries()) {
    if (step.uses !== 'flag' && step.uses !== 'rollout') continue;
    if (at > last) steps.push({ phase: phase.name, step, flag: spec.flags[step.flag] ?? null });
    else
      kept.push({
        step: step.id,
        flag: step.flag,
        why: `${there[last]?.step.id} took its old path out of use`,
        again: false,
      });
  }
  return { steps, kept };
}

/** The key of the plan's own guards: no step, phase or gate can be called so. */
export const SPEC_GUARDS = 'spec.guards';

/** Goes on lowering beside `work` what could not be lowered at once; one activity for as long as it takes. */
export async function whileLowering<T>(run: Run, work: () => Promise<T>): Promise<T> {
  const { breach } = run.state;
  if (breach?.left.some(({ again }) => again) !== true) return work();
  const watch: Watch = { over: false };
  const lowering = lowerOn(run, breach, watch).catch((thrown: unknown) => {
    if (!(thrown instanceof Stop) && stepFailure(thrown, null) === null) throw thrown;
  });
  try {
    return await work();
  } finally {
    watch.over = true;
    run.interrupt(LOWERING);
    await lowering;
  }
}
const LOWERING = 'exposure';

async function lowerOn(run: Run, breach: Breach, watch: Watch): Promise<void> {
  const input = (): StopExposureInput => ({ run: run.ref, steps: exposingSteps(run).steps, seenAtMs: breach.seenAtMs });
  const stopped = await run.perform<ExposureStopped>(
    LOWERING,
    () => longActivity('keepStoppingExposure', input(), { activityId: LOWERING, summary: 'lowers exposure' }),
    { watch, despite: 'standing' },
  );
  noteLowered(run, breach, stopped);
}

/**
 * A person said that it goes on: steps that were done expose users again as they did. One that was under way does that
 * itself. Until then everything stands still but the guards: what comes next may rely on that exposure.
 */
export async function raiseAgain(run: Run): Promise<void> {
  const { breach } = run.state;
  if (breach?.raising === undefined) return;
  for (let id = breach.raising[0]; id !== undefined; id = breach.raising[0]) {
    await raiseStep(run, id);
    // Another breach may have come meanwhile, or an abort.
    if (run.state.breach !== breach || breach.raising === undefined) return;
    breach.raising = breach.raising.slice(1);
  }
  delete run.state.breach;
  run.changed();
}

async function raiseStep(run: Run, id: string): Promise<void> {
  const of = stepOf(run.checked, id);
  if (of === null) return;
  for (;;) {
    if (!isHeld(run, id)) {
      try {
        await orchestrationOf(of.step.uses).up(run, of.phase, of.step);
        return run.event('exposure-raised', null, { step: id });
      } catch (thrown) {
        const failure = stepFailure(thrown, id);
        if (thrown instanceof Stop || failure === null) throw thrown;
        placeHold(run, id, of.phase.name, failure.error, { stops: true });
      }
    }
    if ((await resolution(run, id)) === 'skip') return;
  }
}
