import type { Audit, Status } from '../../src/messages/index.ts';

/** What the engine has on record of the plan's rollout. */
export interface RolloutRecord {
  /** Stops that were passed, in their order: which instances acted on each, and what its gate found. */
  stops: { stop: string; acted: string; found: string }[];
  /** That the new path is worse, who found that and when; null: nobody has. */
  breach: { by: 'the gate' | 'a guard'; words: string; seenAt: number } | null;
  /** Since when every instance acts on the flag as it was before; null: the rollout was not undone. */
  undoneAt: number | null;
}
const STEP = 'ramp';

export function rolloutRecord({ decisions, steps }: Audit, { breach, error }: Status): RolloutRecord {
  const failed = decisions.find(({ type }) => type === 'gate-failed');
  const seenAt = failed?.at ?? breach?.seenAt;
  const undoneAt = steps.find(({ step }) => step === STEP)?.undoneAt;
  return {
    stops: decisions
      .filter(({ type, data }) => type === 'stop-passed' && data['step'] === STEP)
      .map(({ data }) => ({ stop: textOf(data['stop']), acted: textOf(data['acted']), found: textOf(data['found']) })),
    breach:
      seenAt === undefined
        ? null
        : {
            by: failed === undefined ? 'a guard' : 'the gate',
            words: error?.message ?? '',
            seenAt: Date.parse(seenAt),
          },
    undoneAt: undoneAt == null ? null : Date.parse(undoneAt),
  };
}

/** It in words, a line each. */
export function rolloutLines({ stops, breach, undoneAt }: RolloutRecord): string[] {
  const passed = stops.map(({ stop, acted, found }) => `${stop}: ${acted}; ${found}`);
  if (breach === null) return passed;
  const back =
    undoneAt === null ? 'not all instances were' : `${seconds(undoneAt - breach.seenAt)} later all instances were`;
  return [...passed, breach.words, `${back} back on the old path`];
}

export const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');
