import type { Logger } from 'pino';
import type { Direction, Heartbeat, Progress, RunRef } from '../messages/index.ts';
import type { FlagDefinition, Kind, Risk, StepOf } from '../plan/index.ts';
import type { Deps } from './deps.ts';

/** What a step's activity gets: its own step, never the plan. */
export interface EffectInput<K extends Kind = Kind> {
  run: RunRef;
  direction: Direction;
  phase: string;
  risk: Risk;
  requestedBy: string;
  step: StepOf<K>;
  /** For steps with `of`: the dual-write step they name. */
  of: StepOf<'dual-write'> | null;
  /** For steps with `flag`: its definition in the plan, if there is one. */
  flag: FlagDefinition | null;
  /** Live control: what `throttle` last said for this step. */
  throttle: ThrottleOverride | null;
  /** What others have changed in the run's tables and a person has accepted: its digest, and who. */
  accept?: AcceptedDrift | null;
  /** How often a person has let the step try again: what stopped it for good stands until then. */
  retried?: number;
}
export interface AcceptedDrift {
  digest: string;
  by: string;
}
export interface ThrottleOverride {
  rowsPerSecond: number | null;
  parallelism: number | null;
  gentle: boolean | null;
}

/** What a step's activity answers. */
export interface EffectResult {
  /** One line for people: what was done or found. */
  note: string;
  progress: Progress | null;
}

export interface Report extends Omit<Heartbeat, 'step' | 'degraded'> {
  /** Someone is in its way, and the note says who: people shall see that at once, not at the next refresh. */
  blocked?: boolean;
}

/**
 * What an effect may use. It comes from `runEffect`, so that effects know nothing of Temporal and tests can call them.
 * An effect that stops because `signal` was aborted throws `signal.reason`.
 */
export interface EffectContext {
  readonly deps: Deps;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Tells how far it is and why it waits. Cheap: call it often; it also keeps the heartbeat alive. */
  report(details: Report): void;
  /**
   * Says that it goes on with less than it should, slowed down by what it weighs on or without a source that it needs;
   * null: no more. It goes out with the next report.
   */
  degraded?(words: string | null): void;
}

/**
 * One step kind's effects. Both are idempotent and resumable: they may be called again at any time, after a crash, by
 * another worker, at the same time. They throw `SwitchbackError`; its `retry` says whether Temporal tries again.
 */
export interface Effect<K extends Kind> {
  up(input: EffectInput<K>, context: EffectContext): Promise<EffectResult>;
  /** Undoes what `up` did, also where it did only half of it or nothing. */
  down(input: EffectInput<K>, context: EffectContext): Promise<EffectResult>;
}
