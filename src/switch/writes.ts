import { type Calls, passOn } from './calls.ts';
import type { Counters } from './counters.ts';
import type { FlagContext } from './flag-source.ts';
import type { Footing, Footings } from './footing.ts';
import type { Lease } from './lease.ts';
import type { Settings } from './options.ts';
import type { RepairQueue } from './repair-queue.ts';
import { ACTS, otherOf, type Path, type Stage } from './stage.ts';
import { errorClassOf, SwitchError } from './switch-error.ts';

export interface WriteCall {
  args: unknown[];
  key: string;
  /** What the flag is asked with; undefined: what the options say. */
  context: FlagContext | undefined;
  /** Whether a fence has refused it before. */
  retried: boolean;
}
export interface WritesOptions {
  settings: Settings;
  calls: Calls;
  counters: Counters;
  footings: Footings;
  /** Null without a ledger. */
  lease: Lease | null;
  repairs: RepairQueue | null;
  /** Makes the whole call once more, on the footing of now. */
  again(call: WriteCall): Promise<unknown>;
  /** Something was queued. */
  queued(): void;
}

/**
 * Writes. Where both sides are written the second waits for the first, and the caller for both: an answer means that
 * both have it, or that the ledger knows the key of what one of them lacks.
 *
 * A write to one side alone is the one that an older stage makes dangerous: whoever reads the other side will never
 * see it. So it is made only while the lease is held, and looked at once more when it took longer than that.
 */
export class Writes {
  readonly #of: WritesOptions;

  constructor(of: WritesOptions) {
    this.#of = of;
  }

  /** The call has entered the footing, and leaves it here. */
  at(footing: Footing, stage: Stage, call: WriteCall): Promise<unknown> {
    const [first, second] = ACTS[stage].writes;
    if (second !== null) return this.#both(footing, first, second, call);
    if (!this.#sure(footing, performance.now())) return this.#regain(footing, call);
    return this.#of.calls.call(first, 'write', call.args, call.key, (ok, value, now) => {
      if (ok && this.#sure(footing, now)) {
        this.#of.footings.leave(footing);
        return value;
      }
      return ok ? this.#late(footing, first, call.key, value) : this.#failed(footing, call, value);
    });
  }

  /** Whether the engine would have waited for this instance. Before the first row there is no migration to wait. */
  #sure(footing: Footing, now: number): boolean {
    const { lease, settings } = this.#of;
    if (lease === null || !settings.refusesWhenLost || lease.heldAt(now)) return true;
    return footing.generation === 0 && lease.everHeld;
  }

  async #regain(footing: Footing, call: WriteCall): Promise<unknown> {
    this.#of.footings.leave(footing);
    if (await this.#of.lease?.hold()) return this.#of.again(call);
    this.#of.counters.refused += 1;
    throw new SwitchError(
      'LeaseLost',
      `${this.#of.settings.flag}: the lease could not be renewed, so the stage may have moved on; nothing was written`,
    );
  }

  #failed(footing: Footing, call: WriteCall, error: unknown): Promise<unknown> {
    this.#of.footings.leave(footing);
    return this.#againIfFenced(footing, call, error);
  }

  /** A fenced write is made once more where the stage has changed; every other error is the caller's. */
  async #againIfFenced(footing: Footing, call: WriteCall, error: unknown): Promise<unknown> {
    if (!call.retried && (await this.#movedOn(footing, error))) return this.#of.again({ ...call, retried: true });
    throw error;
  }

  /** Whether a fence refused the write because of a stage that has changed meanwhile. */
  async #movedOn(footing: Footing, error: unknown): Promise<boolean> {
    const { settings, counters, lease, footings } = this.#of;
    if (lease === null || !settings.isFenced(error)) return false;
    counters.fenced += 1;
    await lease.renew();
    return footings.current !== null && footings.current.generation > footing.generation;
  }

  /** The write was made, but the lease ended under way: what the stage asks for by now may lack it. */
  async #late(footing: Footing, written: Path, key: string, value: unknown): Promise<unknown> {
    const { lease, footings } = this.#of;
    try {
      const lacking = otherOf(written);
      await lease?.renew();
      if (!lease?.heldAt(performance.now())) throw this.#notQueued(written, null);
      const now = footings.current;
      const moved = now !== null && now.generation !== footing.generation;
      if (moved && ACTS[now.stage].writes.includes(lacking)) await this.#queue(key, written, lacking, 'late', null);
      return value;
    } finally {
      footings.leave(footing);
    }
  }

  async #both(footing: Footing, first: Path, second: Path, call: WriteCall): Promise<unknown> {
    let inside = true;
    const leave = (): void => {
      if (inside) this.#of.footings.leave(footing);
      inside = false;
    };
    try {
      const line = this.#of.settings.journal ? await this.#announce(call.key, second) : null;
      let result: unknown;
      try {
        result = await this.#of.calls.call(first, 'write', call.args, call.key, passOn);
      } catch (error) {
        await this.#afterFirstFailed(call.key, second, line, error);
        leave();
        return await this.#againIfFenced(footing, call, error);
      }
      await this.#second(footing, first, second, call, line);
      return result;
    } finally {
      leave();
    }
  }

  /** The other side is left alone; unless nobody knows whether this one was written: then it is brought to what this one holds. */
  async #afterFirstFailed(key: string, second: Path, line: string | null, error: unknown): Promise<void> {
    const { settings, repairs } = this.#of;
    const unknown = !settings.isFenced(error) && settings.isUnknown(error);
    if (line === null && unknown) await this.#add(key, second, errorClassOf(error)).catch(() => undefined);
    if (line !== null && !unknown) await repairs?.withdraw(line).catch(() => undefined);
  }

  async #second(footing: Footing, first: Path, second: Path, call: WriteCall, line: string | null): Promise<void> {
    try {
      await this.#of.calls.call(second, 'write', call.args, call.key, passOn);
    } catch (error) {
      if (await this.#stillWanted(footing, second, error)) {
        const errorClass = errorClassOf(error);
        if (line === null) await this.#queue(call.key, first, second, errorClass, error);
        else await this.#dueNow(line, errorClass);
        return;
      }
    }
    // What can't be taken off now is repaired once for nothing.
    if (line !== null) await this.#of.repairs?.withdraw(line).catch(() => undefined);
  }

  /** A second side that is fenced off may be one that nobody writes any more. */
  async #stillWanted(footing: Footing, second: Path, error: unknown): Promise<boolean> {
    if (!(await this.#movedOn(footing, error))) return true;
    const now = this.#of.footings.current;
    return now === null || ACTS[now.stage].writes.includes(second);
  }

  async #announce(key: string, lacking: Path): Promise<string> {
    try {
      if (this.#of.repairs === null) throw new Error('there is no ledger');
      return await this.#of.repairs.announce(key, lacking);
    } catch (error) {
      this.#of.counters.refused += 1;
      const message = `${this.#of.settings.flag}: the ledger could not take the key before the write; nothing was written`;
      throw new SwitchError('RepairNotQueued', message, { cause: error });
    }
  }

  /** The line is there already, due within a minute: when it can't be hurried up, nothing is lost. */
  async #dueNow(line: string, errorClass: string): Promise<void> {
    this.#of.counters.repairsQueued += 1;
    await this.#of.repairs?.dueNow(line, errorClass).catch(() => undefined);
    this.#of.queued();
  }

  async #queue(key: string, written: Path, lacking: Path, errorClass: string, cause: unknown): Promise<void> {
    try {
      await this.#add(key, lacking, errorClass);
    } catch {
      throw this.#notQueued(written, cause);
    }
  }

  async #add(key: string, lacking: Path, errorClass: string): Promise<void> {
    if (this.#of.repairs === null) throw new Error('there is no ledger');
    await this.#of.repairs.add(key, lacking, errorClass);
    this.#of.counters.repairsQueued += 1;
    this.#of.queued();
  }

  #notQueued(written: Path, cause: unknown): SwitchError {
    this.#of.counters.refused += 1;
    const message = `${this.#of.settings.flag}: the write is on the ${written} side only, and the ledger could not take its key; write again`;
    return new SwitchError('RepairNotQueued', message, { written, cause });
  }
}
