import { exposureOf, type FlagState } from '../adapters/unleash/flag-state.ts';
import { keptOffBy, narrowedBy } from '../adapters/unleash/prerequisites.ts';
import { strangeVersion, type Unleash } from '../adapters/unleash/unleash.ts';
import { type LiveCheck, SwitchbackError } from '../messages/index.ts';
import type { Plan } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import { flagRefOf } from './flag-change.ts';
import { type LiveView, noting } from './live-look.ts';

/** For all flags together: the client waits for the whole check not much longer. */
const ANSWERS_MS = 6_000;
/** An Unleash that the plan doesn't need is asked for its version only. */
const PING_MS = 2_000;

/**
 * Asks Unleash for every flag that the plan changes: whether it answers, takes the token, has project and environment,
 * and whether anybody would see the flag. Where the plan changes none, an Unleash that doesn't answer is only told.
 */
export async function lookAtFlags({ unleash }: Deps, { plan, found }: LiveView): Promise<void> {
  const flags = flagsOf(plan);
  if (unleash === null) {
    if (flags.length > 0) found.problems.push('the plan changes flags, and the configuration has no `unleash:`');
    return;
  }
  const signal = AbortSignal.timeout(flags.length === 0 ? PING_MS : ANSWERS_MS);
  const strange = await answering(unleash, signal, flags.length === 0 ? found : null);
  if (strange !== null) found.notes.push(strange);
  const looks = flags.map(async (flag) => noting(found, () => lookAtFlag(unleash, { plan, found, flag, signal })));
  await Promise.all(looks);
}

/** What is strange about the server, in words, or null. One that doesn't answer is a note in `spared`, or thrown. */
async function answering(unleash: Unleash, signal: AbortSignal, spared: LiveCheck | null): Promise<string | null> {
  try {
    return strangeVersion(await unleash.version(signal));
  } catch (error) {
    const problem = inTime(error, unleash, signal);
    if (spared === null) throw problem;
    return `${problem.message}; this plan changes no flag`;
  }
}

async function lookAtFlag(
  unleash: Unleash,
  { plan, found, flag, signal }: Pick<LiveView, 'plan' | 'found'> & { flag: string; signal: AbortSignal },
): Promise<void> {
  const ref = flagRefOf(flag, plan.spec.flags[flag], plan.metadata.name);
  try {
    const state = await unleash.read(ref, signal);
    if (!state.exists) await unleash.assertPlace(ref, signal);
    const prerequisites = await unleash.prerequisites(ref, state, signal);
    const reasons = isExposed(plan, flag) ? keptOffBy(flag, ref.environment, prerequisites) : [];
    const note = narrowedBy(flag, prerequisites);
    found.notes.push(noteOf(flag, state), ...(note === null || reasons.length > 0 ? [] : [note]));
    if (reasons.length === 0) return;
    const sets = prerequisites.some(({ feature }) => flagsOf(plan).includes(feature));
    const said = `${reasons.join('; ')}: nobody would see it`;
    if (sets) found.notes.push(`${said}, unless the plan sets that flag first`);
    else found.problems.push(said);
  } catch (error) {
    throw inTime(error, unleash, signal);
  }
}

/** An address that swallows requests makes a check run out of time: that is Unleash's absence, not our failure. */
function inTime(error: unknown, unleash: Unleash, signal: AbortSignal): SwitchbackError {
  if (error instanceof SwitchbackError) return error;
  if (!signal.aborted) throw error;
  return new SwitchbackError('UnleashUnreachable', `Unleash at ${unleash.address} doesn't answer in time`, {
    retry: true,
    hint: 'check that it runs and that unleash.url points to it',
  });
}

function noteOf(flag: string, state: FlagState): string {
  if (!state.exists) return `flag ${flag} does not exist yet`;
  if (state.archived) return `flag ${flag} is archived`;
  const on = state.elsewhere.filter(({ enabled }) => enabled).map(({ environment }) => environment);
  const elsewhere = on.length === 0 ? '' : `; it is on in ${on.join(', ')} too, which stays as it is`;
  return `flag ${flag} is ${state.enabled ? `on (${exposureOf(state)} %)` : 'off'}${elsewhere}`;
}

const flagSteps = (plan: Plan) =>
  plan.spec.phases.flatMap((phase) => phase.steps.flatMap((step) => ('flag' in step ? [step] : [])));

const flagsOf = (plan: Plan): string[] => [...new Set(flagSteps(plan).map(({ flag }) => flag))];

/** Whether the plan lets anybody in by this flag. At a stage the row in the ledger decides, and the flag only says it. */
const isExposed = (plan: Plan, flag: string): boolean =>
  flagSteps(plan).some((step) => {
    if (step.flag !== flag) return false;
    if (step.uses === 'rollout') return step.ramp.some(({ percent }) => percent !== undefined && percent > 0);
    if (step.uses !== 'flag') return false;
    return step.enabled === true || (step.percent ?? 0) > 0 || (step.variant?.percent ?? 0) > 0;
  });
