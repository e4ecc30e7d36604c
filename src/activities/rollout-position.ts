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
  /** How instances acted on this stop, once they have. */
  acted?: string | null;
  /** Why it stopped. It stands, whoever comes back after a crash, until a person says retry. */
  verdict?: Verdict | null;
  /** How often exposure was lowered from outside; see `lowerExposure`. */
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

/** Thrown where somebody has lowered exposure meanwhile: this worker must not raise it again. */
export class ExposureLowered extends Error {
  override readonly name = 'ExposureLowered';
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

  /** In a transaction that holds the step's record (see `FlagChange.locked`). Throws `ExposureLowered`. */
  async save(session: Queryable, position: Position): Promise<void> {
    await this.assertSeen(session, position);
    await this.#change.states.savePosition(session, this.#change.key, position);
  }

  /** Throws `ExposureLowered` where exposure was lowered since `position` was read. */
  async assertSeen(session: Queryable, position: Position): Promise<void> {
    const { lowered } = await this.read(session);
    if ((lowered ?? 0) !== (position.lowered ?? 0)) throw new ExposureLowered('exposure was lowered from outside');
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
