import { Calls, isThenable } from './calls.ts';
import { Counters } from './counters.ts';
import { type FlagAnswer, type FlagContext, type FlagSource, NO_FLAGS } from './flag-source.ts';
import { type Footing, Footings } from './footing.ts';
import { type Identity, type StageRow } from './ledger.ts';
import { Lease } from './lease.ts';
import type { Given, Settings } from './options.ts';
import { Reads } from './reads.ts';
import { RepairDrain } from './repair-drain.ts';
import { RepairQueue } from './repair-queue.ts';
import { ACTS, type Stage } from './stage.ts';
import { footingOf, stageOf } from './stage-now.ts';
import { SwitchError } from './switch-error.ts';
import { fromUnleash } from './unleash-flags.ts';
import { type WriteCall, Writes } from './writes.ts';

const CLOSE_MAX_MS = 10_000;

/** A switch at work: knows the stage, sends calls on their ways, and keeps the ledger up with what it does. */
export class Switching {
  readonly identity: Identity;
  readonly counters: Counters;
  readonly footings: Footings;
  readonly lease: Lease | null;
  /** Resolves when calls need not wait any more. */
  readonly ready: Promise<void>;
  readonly #settings: Settings;
  readonly #flags: FlagSource;
  readonly #reads: Reads;
  readonly #writes: Writes;
  readonly #drain: RepairDrain | null;
  readonly #unwatch: () => void;
  #row: StageRow | null = null;
  /** Whether the ledger has answered since the start. */
  #answered = false;
  #begun = false;
  /** Whether calls need not wait: there is a footing to stand on. */
  #open = false;
  #closed = false;

  constructor(settings: Settings, given: Given, identity: Identity) {
    this.identity = identity;
    this.#settings = settings;
    this.#flags = given.flags ?? (given.unleash === undefined ? NO_FLAGS : fromUnleash(given.unleash));
    this.counters = new Counters({ slowMs: settings.slowMs, units: settings.key !== null });
    this.footings = new Footings(() => void this.lease?.renew());
    const { ledger = null } = given;
    const { counters, footings } = this;
    const { beatMs, leaseMs, ledgerTimeoutMs: timeoutMs, repairEveryMs: everyMs, repair } = settings;
    const onRow = (row: StageRow | null): void => this.#onRow(row);
    this.lease = ledger && new Lease({ ledger, identity, footings, counters, beatMs, leaseMs, timeoutMs, onRow });
    const queue = ledger && new RepairQueue(ledger, identity, timeoutMs);
    this.#drain =
      ledger && queue && repair && new RepairDrain({ ledger, identity, counters, queue, timeoutMs, everyMs, repair });
    const calls = new Calls(settings, counters);
    this.#reads = new Reads(settings, calls, counters, footings);
    this.#writes = new Writes({
      ...{ settings, calls, counters, footings, lease: this.lease, repairs: queue },
      again: (call) => this.write(call),
      queued: () => void this.#drain?.now(),
    });
    this.#unwatch = this.#flags.watch(() => this.#onFlags());
    this.#look();
    this.ready = this.#begin();
  }

  get stage(): Stage | null {
    return this.footings.current?.stage ?? null;
  }

  read(args: unknown[], context: FlagContext | undefined): Promise<unknown> {
    if (!this.#open) return this.#opened().then(() => this.read(args, context));
    const footing = this.#enter();
    try {
      const unit = this.#settings.key === null ? null : String(this.#settings.key(...args));
      const answer = this.#answer(footing, args, unit, context);
      if (isThenable(answer)) {
        return this.#later(footing, answer).then((stage) => this.#reads.at(footing, stage, args, unit));
      }
      return this.#reads.at(footing, this.#stage(footing, answer), args, unit);
    } catch (error) {
      this.footings.leave(footing);
      return Promise.reject(error);
    }
  }

  write(call: WriteCall): Promise<unknown> {
    if (!this.#open) return this.#opened().then(() => this.write(call));
    const footing = this.#enter();
    try {
      call.key = String(this.#settings.key?.(...call.args));
      const answer = this.#answer(footing, call.args, call.key, call.context);
      if (isThenable(answer)) {
        return this.#later(footing, answer).then((stage) => this.#writes.at(footing, stage, call));
      }
      return this.#writes.at(footing, this.#stage(footing, answer), call);
    } catch (error) {
      this.footings.leave(footing);
      return Promise.reject(error);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#open = false;
    this.#unwatch();
    const late = Promise.withResolvers<'late'>();
    const timer = setTimeout(() => late.resolve('late'), CLOSE_MAX_MS);
    const ended = await Promise.race([this.footings.untilIdle(), late.promise]);
    clearTimeout(timer);
    await this.#drain?.stop();
    // A call that still goes on is waited for by the engine, until the lease has run out.
    await this.lease?.stop({ goodbye: ended !== 'late' });
  }

  #enter(): Footing {
    // Open means that there is one.
    const footing = this.footings.current as Footing;
    footing.inFlight += 1;
    return footing;
  }

  /** What the flag says of the caller; null where it doesn't matter. */
  #answer(
    footing: Footing,
    args: unknown[],
    unit: string | null,
    context: FlagContext | undefined,
  ): FlagAnswer | null | Promise<FlagAnswer> {
    if (!footing.asksFlag) {
      this.#flags.count?.(this.#settings.flag, ACTS[footing.stage].reads === 'new');
      return null;
    }
    const asked = context ?? this.#settings.context?.(...args) ?? (unit === null ? {} : { userId: unit });
    return this.#flags.ask(this.#settings.flag, asked);
  }

  #stage(footing: Footing, answer: FlagAnswer | null): Stage {
    if (answer === null) return footing.stage;
    return stageOf(footing.stage, answer, { on: this.#settings.on, ledger: this.lease !== null });
  }

  /** A provider that fails lets nobody in. */
  async #later(footing: Footing, answer: Promise<FlagAnswer>): Promise<Stage> {
    return this.#stage(footing, await answer.catch(() => null));
  }

  async #opened(): Promise<void> {
    await this.ready;
    if (this.#closed) throw new SwitchError('Closed', `${this.#settings.flag}: the switch is closed`);
    if (this.#open) return;
    this.counters.refused += 1;
    throw new SwitchError(
      'StageUnknown',
      `${this.#settings.flag}: the ledger has not answered yet, and neither \`bootstrap\` nor \`minimumStage\` says what to act on`,
    );
  }

  async #begin(): Promise<void> {
    if (this.lease !== null) {
      const late = Promise.withResolvers<void>();
      const timer = setTimeout(late.resolve, this.#settings.startTimeoutMs);
      await Promise.race([this.lease.renew(), late.promise]);
      clearTimeout(timer);
    }
    this.#begun = true;
    this.#look();
    this.#drain?.start();
  }

  #onRow(row: StageRow | null): void {
    // Generations only rise. A row that is gone or older comes from a ledger that was restored: never go back by itself.
    if (this.#row === null || (row !== null && row.generation >= this.#row.generation)) this.#row = row;
    this.#answered = true;
    this.#look();
  }

  #onFlags(): void {
    this.#look();
    void this.lease?.renew();
  }

  /** Works out what new calls act on. */
  #look(): void {
    const ledger = this.lease !== null;
    const next = footingOf(this.#settings, {
      ledger,
      answered: ledger ? this.#answered : this.#flags.heard(),
      row: this.#row,
      exposure: this.#flags.exposure(this.#settings.flag),
    });
    if (next !== null) this.footings.adopt(next);
    this.#open = next !== null && this.#begun && !this.#closed;
  }
}
