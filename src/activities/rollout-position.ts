import type { Queryable } from '../adapters/postgres/database.ts';
import { type ErrorCode, SwitchbackError } from '../messages/index.ts';
import type { FlagChange } from './flag-change.ts';

/**
 * How far a rollout is, kept in the home ledger at every look. Bake time is what looks have proven, not a deadline: while
 * the run is paused, or its worker is dead, nothing bakes.
 */
export interface Position {
  /** Index in the ramp. */
  stop: number;
  bakedMs: number;
  /** How long it has looked for evidence since the bake of this stop was over. */
  waitedMs?: number;
  /** Numbers the tests of the gate: one that a person lets begin anew counts nothing from before. */
  series?: number;
  /** How instances acted on this stop, once they have. */
  acted?: string | null;
  /** Why it stopped. It stands, whoever comes back after a crash, until a person says retry. */
  verdict?: Verdict | null;
  /** How often exposure was lowered from outside; see `lowerTo`. */
  lowered?: number;
}
export interface Verdict {
  code: ErrorCode;
  message: string;
  hint: string | null;
  fields: SwitchbackError['fields'];
  /** How often people had said retry by then. */
  retried: number;
}

export const START: Position = { stop: 0, bakedMs: 0 };

/**
 * Thrown where exposure was lowered from outside, or another worker has taken the step further: this one must not set
 * exposure any more. Its message says which, for the status.
 */
export class Overtaken extends Error {
  override readonly name = 'Overtaken';
}

/** The position of one step. Whoever saves it must have seen the last lowering. */
export class Positions {
  readonly #change: FlagChange;
  constructor(change: FlagChange) {
    this.#change = change;
  }

  async read(session?: Queryable): Promise<Position> {
    return ((await this.#change.states.readPosition(this.#change.key, session)) as Position | null) ?? START;
  }

  /** In a transaction that holds the step's record (see `FlagChange.locked`). Throws `Overtaken`. */
  async save(session: Queryable, position: Position): Promise<void> {
    await this.assertSeen(session, position);
    await this.#change.states.savePosition(session, this.#change.key, position);
  }

  /** Throws `Overtaken` where exposure was lowered since `position` was read, or the step is further by now. */
  async assertSeen(session: Queryable, position: Position): Promise<void> {
    const { stop, lowered } = await this.read(session);
    if ((lowered ?? 0) !== (position.lowered ?? 0)) throw new Overtaken('exposure was lowered');
    if (stop > position.stop) throw new Overtaken('another worker has taken the step further');
  }

  /** Counts one lowering more; the stop bakes anew when the step goes on. */
  async countLowering(session: Queryable): Promise<void> {
    const position = await this.read(session);
    await this.#change.states.savePosition(session, this.#change.key, {
      ...position,
      bakedMs: 0,
      acted: null,
      lowered: (position.lowered ?? 0) + 1,
    });
  }
}

export const verdictOf = ({ code, message, hint, fields }: SwitchbackError, retried: number): Verdict => ({
  code,
  message,
  hint,
  fields,
  retried,
});
export const errorOf = ({ code, message, hint, fields }: Verdict): SwitchbackError =>
  new SwitchbackError(code, message, { ...(hint !== null && { hint }), fields });
