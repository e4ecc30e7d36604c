import { drainRepairs, type OpenRepairs, openRepairs } from '../adapters/postgres/switch-repairs.ts';
import type { StagePlace } from '../adapters/postgres/stages.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { EffectContext } from './effect.ts';
import { pause } from './pause.ts';

const LOOK_EVERY_MS = 500;
const CLASSES_NAMED_MAX = 5;
/** Repairs are re-reads and writes of single rows: what isn't through by then has a cause that a person must see to. */
const REPAIRED_WITHIN_MS = 300_000;

/**
 * Waits until no key of the path lacks a write on one side (or on the one that is named). A stage is only left so: at the
 * next one the side that lacks it may be the one that answers. Services repair; here the drain is ordered and watched.
 * Throws `RepairsOpen`, held, after `timeoutMs` of this call.
 */
export async function repaired(
  context: EffectContext,
  place: StagePlace,
  {
    timeoutMs = REPAIRED_WITHIN_MS,
    lacking = null,
    meanwhile,
  }: { timeoutMs?: number; lacking?: 'old' | 'new' | null; meanwhile?: () => Promise<unknown> } = {},
): Promise<void> {
  const { database } = context.deps.home;
  const began = performance.now();
  let open = await openRepairs(database, place, lacking);
  if (open.open > 0) open = await drainRepairs(database, place, lacking);
  const total = open.open;
  while (open.open > 0) {
    if (performance.now() - began >= timeoutMs) throw repairsOpen(place, open, timeoutMs);
    await meanwhile?.();
    const done = Math.max(0, total - open.open);
    const progress = { done, total: Math.max(total, open.open), perSecond: null, etaSeconds: null };
    context.report({ progress, note: `waits for repairs of flag ${place.flag}: ${words(open)}` });
    await pause(LOOK_EVERY_MS, context.signal);
    open = await openRepairs(database, place, lacking);
  }
}

const words = ({ open, classes, bothSides }: OpenRepairs): string => {
  const named = classes.slice(0, CLASSES_NAMED_MAX).map(({ errorClass, count }) => `${errorClass} ${count}`);
  const both = bothSides === 0 ? '' : `, ${bothSides} of them on both sides`;
  return `${open} ${open === 1 ? 'key' : 'keys'} open${both} (${named.join(', ')})`;
};

function repairsOpen(place: StagePlace, open: OpenRepairs, timeoutMs: number): SwitchbackError {
  const { environment, flag } = place;
  const tried =
    open.attemptsMax === 0
      ? 'nobody has tried'
      : `tried up to ${open.attemptsMax} ${open.attemptsMax === 1 ? 'time' : 'times'}`;
  const message = `flag "${flag}" in ${environment}: ${words(open)} after ${Math.round(timeoutMs / 1000)} s; ${tried}`;
  const hint =
    open.bothSides > 0
      ? 'keys that lack on both sides are for a person: see which side holds the newer write, mend the other, delete their lines in switchback.repairs, then `retry`'
      : open.attemptsMax === 0
        ? "no instance repairs: give the service's `createSwitch` a `repair`, then `retry`"
        : 'see why the second side refuses those writes, then `retry`';
  return new SwitchbackError('RepairsOpen', message, {
    hint,
    fields: {
      hold: true,
      environment,
      flag,
      open: open.open,
      classes: open.classes.map((of) => of.errorClass).join(','),
    },
  });
}
