import { createHash } from 'node:crypto';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import { SwitchbackError } from '../messages/index.ts';
import { answersNew, nextStage, type Stage } from '../plan/index.ts';
import type { EffectContext, EffectInput, EffectResult } from './effect.ts';
import { Exposure } from './exposure.ts';
import { pause } from './pause.ts';

type Input = EffectInput<'flag'> | EffectInput<'rollout'>;

/**
 * How `flag` and `rollout` are undone: the flag goes back whole and at once, then the stage, one by one. It ends only when
 * everyone acts on that: what is undone next takes away the columns and triggers that the new path needs. Where live
 * instances say what they act on, they are waited for; else the time that the flag's clients need.
 */
export async function undoExposure(input: Input, context: EffectContext): Promise<EffectResult> {
  const exposure = new Exposure(input, context);
  const { change } = exposure;
  const { flag, environment } = change.ref;
  if (!(await restored(exposure, input, context))) {
    const note = `flag ${flag} was not changed: nothing to undo`;
    await change.recordUndone(note);
    return { note, progress: null };
  }
  const seen = await seenByAll(exposure, context);
  const stages = await stagesBack(exposure, input, context);
  const note = [`flag ${flag} in ${environment} is as it was`, seen, ...stages]
    .filter((part) => part !== null)
    .join('; ');
  await change.recordUndone(note);
  return { note, progress: null };
}

/** As `FlagChange.restore`. While Unleash is away, the row alone takes those back whom it has put on the new side. */
async function restored(exposure: Exposure, input: Input, context: EffectContext): Promise<boolean> {
  try {
    return await exposure.change.restore();
  } catch (error) {
    const away = error instanceof SwitchbackError && error.code === 'UnleashUnreachable';
    if (away) await stagesBack(exposure, input, context, { rowAlone: true });
    throw error;
  }
}

/** Waits until clients act on the restored flag, and in words how long that took where they say so. */
async function seenByAll(exposure: Exposure, context: EffectContext): Promise<string | null> {
  const { change } = exposure;
  // Who reports nothing can't be asked: a service without a switch, or none that is up.
  if (exposure.acknowledges && (await exposure.liveCount()) > 0) {
    const words = await exposure.acknowledged({ instancesMin: 0, noneWillDo: true });
    // Of those that have all gone silent meanwhile nobody knows what they act on.
    if ((await exposure.liveCount()) > 0) return words;
  }
  const leftMs = await change.unseenForMs();
  const note = `flag ${change.ref.flag} is as it was; clients see it within ${Math.ceil(leftMs / 1000)} s`;
  context.report({ progress: null, note });
  await pause(leftMs, context.signal);
  return null;
}

/**
 * Takes the path's stage back to what the step found; what was done in words, nothing where it never set one. `rowAlone`: the
 * flag stays as it is, and may let users in: no further than to `shadow`, which may be mixed with them.
 */
async function stagesBack(
  exposure: Exposure,
  input: Input,
  context: EffectContext,
  { rowAlone = false } = {},
): Promise<string[]> {
  const { path } = exposure;
  let words: string | null = null;
  for (let ours = await path.ours(); ours !== null && ours.set !== ours.found; ours = await path.ours()) {
    if (rowAlone && !answersNew(ours.set)) break;
    const to = nextStage(ours.set, ours.found);
    await assertMayAnswer(exposure, input, context, { from: ours.set, to });
    context.report({ progress: null, note: `takes the path of flag ${path.place.flag} from ${ours.set} to ${to}` });
    // Only what is about to answer must have all writes. What failed on a new side that goes would hold its own rollback.
    if (answersNew(ours.set) !== answersNew(to)) await exposure.repaired({ lacking: answersNew(to) ? 'new' : 'old' });
    await path.moveTo(to, 'undoing');
    words = await exposure.acknowledged({ instancesMin: 0, noneWillDo: true, rowAlone });
  }
  const found = (await path.ours())?.found;
  if (found === undefined) return [];
  await exposure.dropMoot();
  return [`its path is at stage ${found}${words === null ? '' : ` (${words})`}`];
}

/**
 * Before the old side answers again it must have what has been written since. From `live` on the old side is written
 * second, so that it has all but what waits for repair; at `complete` it isn't written at all. Then something else must
 * keep it in step, or a person says that it is good enough. Throws `OldPathStale`, held.
 */
async function assertMayAnswer(
  { path, change }: Exposure,
  { of, accept, run }: Input,
  { deps }: EffectContext,
  { from, to }: { from: Stage; to: Stage },
): Promise<void> {
  if (!answersNew(from) || answersNew(to)) return;
  const since = (await path.row())?.newOnlySince ?? null;
  if (since === null) return;
  if (of !== null) {
    const kept = await new StepLedger(deps.databases.get(of.database)).read({ run, step: of.id });
    if (kept?.state === 'applied') return;
  }
  const { flag, environment } = path.place;
  const digest = createHash('sha256')
    .update(JSON.stringify([environment, flag, since]))
    .digest('hex')
    .slice(0, 16);
  if (accept?.digest !== digest)
    throw stale({ flag, environment, since, digest, migration: run.migration, step: change.key.step });
  const data = { step: change.key.step, flag, since, accepted: digest };
  await deps.home.record(run, [{ key: `stale-accepted/${digest}`, type: 'stale-accepted', by: accept.by, data }], null);
}

const stale = (of: {
  flag: string;
  environment: string;
  since: string;
  digest: string;
  migration: string;
  step: string;
}): SwitchbackError =>
  new SwitchbackError(
    'OldPathStale',
    `flag "${of.flag}" in ${of.environment}: the path has been at "complete" since ${of.since}; what was written from then on is on the new side alone, and the old side would answer without it`,
    {
      hint: `new answers and both are written until this is decided: bring the old side up to date (a plan does that by itself whose step names its two-way dual write as \`of\`), then switchback retry ${of.migration} ${of.step} --accept ${of.digest}`,
      fields: { hold: true, accept: of.digest, flag: of.flag, environment: of.environment },
    },
  );
