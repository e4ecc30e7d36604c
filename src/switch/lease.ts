import type { Counters } from './counters.ts';
import { type Footings, generationTold } from './footing.ts';
import { goodbye, type Identity, type Ledger, type StageRow, tellAndRead, within } from './ledger.ts';
import { errorClassOf } from './switch-error.ts';

/**
 * Keeps the instance's lease in the ledger, tells what it acts on and learns the stage, each time in one statement.
 *
 * While the lease is held the engine waits for this instance at every change of the stage, so what it knows is at most one
 * change old. Once it isn't, the engine takes the instance for dead and may have moved on: `held` is false then,
 * by this process's own clock and counted from before the statement was sent, so never later than by the database's.
 *
 * Who comes, or comes back after its lease has ended, reads the stage a second time when its row is in the ledger. An engine
 * that changed the stage after that reading finds the row and waits; what it changed before has been read.
 */
export interface LeaseOptions {
  ledger: Ledger;
  identity: Identity;
  footings: Footings;
  counters: Counters;
  beatMs: number;
  leaseMs: number;
  timeoutMs: number;
  /** The row as it was read; null: there is none. */
  onRow(row: StageRow | null): void;
}
/** Off the end of the lease as this process sees it: clocks don't run alike. */
const DRIFT_SHARE = 0.02;
/** A write that finds the ledger away doesn't ask again so soon after the last try. */
const ASKED_AGAIN_MS = 500;

export class Lease {
  readonly #of: LeaseOptions;
  #heldUntil = Number.NEGATIVE_INFINITY;
  #failedAt: number | null = null;
  #awaySince: number | null = null;
  #lastError: string | null = null;
  #beat = 0;
  #told: unknown = null;
  #running: Promise<boolean> | null = null;
  #again = false;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: LeaseOptions) {
    this.#of = options;
  }

  heldAt(now: number): boolean {
    return now < this.#heldUntil;
  }
  /** Whether the ledger has answered since the start. */
  get everHeld(): boolean {
    return this.#heldUntil > 0;
  }
  /** Milliseconds since the ledger last answered as it should; null while it does. */
  get awayMs(): number | null {
    return this.#awaySince === null ? null : performance.now() - this.#awaySince;
  }
  /** The class of what went wrong last; null while nothing does. */
  get lastError(): string | null {
    return this.#lastError;
  }

  /** Tells and reads, beginning now or later. Whether the ledger answered. */
  async renew(): Promise<boolean> {
    if (this.#running === null) return this.#start();
    this.#again = true;
    // One that began before and failed says nothing of now.
    return (await this.#running) || (this.#running ?? this.#start());
  }

  /** Whether the lease is held, having tried to get it back where it isn't. */
  async hold(): Promise<boolean> {
    const now = performance.now();
    if (this.heldAt(now)) return true;
    if (this.#running === null && this.#failedAt !== null && now - this.#failedAt < ASKED_AGAIN_MS) return false;
    await this.renew();
    return this.heldAt(performance.now());
  }

  /** Renews no more; with `goodbye` nobody waits for the instance from then on. */
  async stop({ goodbye: leaves }: { goodbye: boolean }): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
    clearTimeout(this.#timer);
    if (leaves) await within(this.#of.timeoutMs, goodbye(this.#of.ledger, this.#of.identity)).catch(() => undefined);
  }

  #start(): Promise<boolean> {
    this.#running = this.#run();
    return this.#running;
  }

  async #run(): Promise<boolean> {
    clearTimeout(this.#timer);
    try {
      do {
        this.#again = false;
        const coming = !this.heldAt(performance.now());
        let sentAt = await this.#once();
        if (coming) sentAt = await this.#once();
        this.#heldUntil = sentAt + this.#of.leaseMs * (1 - DRIFT_SHARE);
      } while (!this.#stopped && (this.#again || this.#told !== this.#of.footings.told));
      this.#failedAt = this.#awaySince = this.#lastError = null;
      return true;
    } catch (error) {
      this.#failedAt = performance.now();
      this.#awaySince ??= this.#failedAt;
      this.#lastError = errorClassOf(error);
      return false;
    } finally {
      this.#running = null;
      if (!this.#stopped) this.#timer = setTimeout(() => void this.renew(), this.#of.beatMs).unref();
    }
  }

  /** One beat; answers when it was sent. */
  async #once(): Promise<number> {
    const { ledger, identity, footings, counters, leaseMs, timeoutMs } = this.#of;
    const sentAt = performance.now();
    const told = footings.told;
    const row = await within(
      timeoutMs,
      tellAndRead(ledger, identity, {
        stage: told?.stage ?? 'off',
        generation: generationTold(told),
        exposure: told?.exposure ?? 0,
        counts: counters.counts,
        beat: ++this.#beat,
        leaseMs,
      }),
    );
    this.#told = told;
    this.#of.onRow(row);
    return sentAt;
  }
}
