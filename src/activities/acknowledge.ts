import type { Instances, LiveInstance } from '../adapters/postgres/instances.ts';
import type { StagePlace } from '../adapters/postgres/stages.ts';
import { type Progress, SwitchbackError } from '../messages/index.ts';
import type { EffectContext } from './effect.ts';
import { pause } from './pause.ts';

const LOOK_EVERY_MS = 250;
const NAMED_MAX = 10;

/** What all live instances of services must act on before a step goes on. */
export interface Awaited {
  place: StagePlace;
  /** That of the stage's row, or 0 where there is none. */
  generation: number;
  /** Percent that a client's copy of the flag must let in; null: whatever it lets in. */
  exposure: number | null;
  /** Whether a copy that lets nobody in will do: who isn't ahead of the row acts on a stage, with or without a flag. */
  noneWillDo: boolean;
  /** How many instances there must be at least. */
  instancesMin: number;
  timeoutMs: number;
  /** When the change began, by the database's clock; null where that is not known. */
  since: string | null;
  /** After so long, and again and again, `nudge` makes Unleash serve the flag anew. */
  nudgeAfterMs: number;
  nudge(): Promise<unknown>;
  /** Done at every look: guards go on being watched. */
  meanwhile?: () => Promise<unknown>;
  /** What to report; without it, how many instances have acted. */
  progress?: Progress;
}

/**
 * Waits until every live instance acts on a change; answers with that in words, how long it took among them. Instances
 * that appear meanwhile count, those whose lease runs out no longer do. Throws `NotAcknowledged`, held, after `timeoutMs`
 * (of this call: a worker that takes the step over waits as long again). No instance at all is no health.
 */
export async function acknowledged(instances: Instances, of: Awaited, context: EffectContext): Promise<string> {
  const began = performance.now();
  let nudgedAt = began;
  for (;;) {
    const live = await instances.live(of.place, of.since);
    const missing = live.filter((instance) => !actsOn(instance, of));
    if (missing.length === 0 && live.length >= of.instancesMin) return doneWords(live);
    await of.meanwhile?.();
    const now = performance.now();
    if (now - began >= of.timeoutMs) throw notAcknowledged(of, live, missing);
    context.report({ progress: of.progress ?? progressOf(live, missing, of), note: noteOf(live, missing, of) });
    if (now - nudgedAt >= of.nudgeAfterMs && missing.some((instance) => !seesFlag(instance, of))) {
      nudgedAt = now;
      await of.nudge();
    }
    await pause(LOOK_EVERY_MS, context.signal);
  }
}

const seesFlag = ({ exposure }: LiveInstance, of: Awaited): boolean =>
  of.exposure === null || exposure === of.exposure || (of.noneWillDo && exposure === 0);
const actsOn = (instance: LiveInstance, of: Awaited): boolean =>
  instance.generation >= of.generation && seesFlag(instance, of);

const progressOf = (live: readonly LiveInstance[], missing: readonly LiveInstance[], of: Awaited): Progress => ({
  done: live.length - missing.length,
  total: Math.max(live.length, of.instancesMin),
  perSecond: null,
  etaSeconds: null,
});

const namesOf = (instances: readonly LiveInstance[]): string => {
  const names = instances.slice(0, NAMED_MAX).map(({ service, instance }) => `${service}/${instance}`);
  return [...names, ...(instances.length > NAMED_MAX ? [`${instances.length - NAMED_MAX} more`] : [])].join(', ');
};

const counted = (count: number): string => `${count} ${count === 1 ? 'instance' : 'instances'}`;

function noteOf(live: readonly LiveInstance[], missing: readonly LiveInstance[], of: Awaited): string {
  const said = `${live.length - missing.length} of ${counted(live.length)} act on flag ${of.place.flag}`;
  if (missing.length > 0) return `${said}; waits for ${namesOf(missing)}`;
  return `${said}; waits for ${of.instancesMin - live.length} more to appear`;
}

function doneWords(live: readonly LiveInstance[]): string {
  if (live.length === 0) return 'no instance is live';
  const last = Math.max(...live.map(({ saidAfterMs }) => saidAfterMs ?? Number.NEGATIVE_INFINITY));
  // One that acted on it before, or as it began, has said so earlier.
  const after = last > 0 ? ` after ${secondsText(last)}` : '';
  return `${live.length} of ${counted(live.length)} acted on it${after}`;
}
const secondsText = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;

function notAcknowledged(
  of: Awaited,
  live: readonly LiveInstance[],
  missing: readonly LiveInstance[],
): SwitchbackError {
  const { flag, environment } = of.place;
  const seconds = Math.round(of.timeoutMs / 1000);
  const message =
    live.length === 0
      ? `no live instance of any service reports flag "${flag}" in ${environment}, after ${seconds} s`
      : missing.length === 0
        ? `only ${counted(live.length)} of at least ${of.instancesMin} reports flag "${flag}" in ${environment}, after ${seconds} s`
        : `after ${seconds} s ${missing.length} of ${counted(live.length)} do not act on the change of flag "${flag}" in ${environment}: ${namesOf(missing)}`;
  return new SwitchbackError('NotAcknowledged', message, {
    hint:
      live.length === 0
        ? 'start the services whose switch reports this flag, then `retry`; a step that needs none has `acknowledge: {required: 0}`'
        : 'look at those instances (do they reach Unleash and the ledger?) or stop them, then `retry`',
    fields: { hold: true, flag, environment, live: live.length, missing: namesOf(missing) },
  });
}
