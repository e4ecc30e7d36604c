import { endLease, renewLease, type Walker } from '../adapters/postgres/budget.ts';
import type { Database } from '../adapters/postgres/database.ts';
import type { RangeOwner } from '../adapters/postgres/range-ledger.ts';
import { type Reading, ThrottleLadder } from '../analysis/throttle.ts';
import { CHUNK_ROWS_MIN } from '../analysis/servo.ts';
import type { EffectContext, EffectInput } from './effect.ts';
import { paceNote, slowNote } from './pace-words.ts';
import { pause } from './pause.ts';
import { noAnswer, type Probe, probesOf, readProbe } from './pressure.ts';

/** How fast a long step may go right now, and why not faster. */
export interface Pace {
  /** Rest after each piece of work, as a multiple of the time it took; Infinity: stand still. */
  rest: number;
  /** Of all its workers together; null: no cap. */
  rowsPerSecond: number | null;
  parallelism: number;
  /** Rows of a piece of work at most; null: as many as it likes. */
  chunkRows: number | null;
  /** Why it doesn't go at full speed, in words; null where it does. */
  note: string | null;
}
export interface Pacer {
  /** The pace now: looked at before every chunk or slice. */
  now(): Pace;
  /**
   * Returns at once unless the pace is to stand still; then when that is over. `onLook` is told, about every second, why
   * it still isn't. Throws `signal.reason`; the signal is the step's unless another one is given.
   */
  untilMoving(onLook?: (note: string) => void, signal?: AbortSignal): Promise<void>;
  /** From now on `listener` is told of every change of the pace; `slower` where less is allowed than before. */
  onChange(listener: (pace: Pace, slower: boolean) => void): void;
  /** Ends the looks and gives the part of the shared budget back. Never throws. */
  close(): Promise<void>;
}
export interface PacedTable {
  database: string;
  schema: string;
  table: string;
}

const LOOK_EVERY_MS = 1_000;
/** A gentle step rests so many times as long as it works: what was measured is in docs/adr/0017. */
const GENTLE_REST = 2;
/** Giving the lease back is a courtesy: it ends by itself. */
const GOODBYE_MS = 1_000;

/**
 * Watches what a step's throttle names, what always counts, and who else walks through the same database, from now until
 * `close`. The first look is taken before it returns, so that not a row is written under a pressure that was there
 * before. Throws `ConfigInvalid` where the plan asks for something that the configuration hasn't got.
 */
export async function startPacer(
  input: EffectInput<'backfill' | 'verify'>,
  table: PacedTable,
  context: EffectContext,
): Promise<Pacer> {
  const database = context.deps.databases.get(table.database);
  const probes = probesOf({ database, schema: table.schema, table: table.table }, input.step.throttle);
  const pacer = new RunningPacer(input, database, probes, context);
  await pacer.look();
  pacer.run();
  return pacer;
}

interface Wish {
  rowsPerSecond: number | null;
  parallelism: number;
  gentle: boolean;
}

class RunningPacer implements Pacer {
  readonly #wish: Wish;
  readonly #database: Database;
  readonly #owner: RangeOwner;
  readonly #probes: readonly Probe[];
  readonly #context: EffectContext;
  readonly #ladder = new ThrottleLadder();
  readonly #closing = new AbortController();
  readonly #listeners: ((pace: Pace, slower: boolean) => void)[] = [];
  /** Probes whose last look has not ended, though nobody waits for it any more. */
  readonly #busy = new Set<Probe>();
  #others: readonly Walker[] = [];
  #pace: Pace;
  #renewing: Promise<unknown> = Promise.resolve();
  #looked = Promise.withResolvers<void>();
  #running: Promise<void> = Promise.resolve();

  constructor(
    input: EffectInput<'backfill' | 'verify'>,
    database: Database,
    probes: readonly Probe[],
    context: EffectContext,
  ) {
    this.#wish = wishOf(input);
    this.#database = database;
    this.#owner = { run: input.run, step: input.step.id };
    this.#probes = [leaseProbe(database, () => this.#renew()), ...probes];
    this.#context = context;
    this.#pace = this.#paceOf([]);
  }

  now(): Pace {
    return this.#pace;
  }

  onChange(listener: (pace: Pace, slower: boolean) => void): void {
    this.#listeners.push(listener);
  }

  async untilMoving(onLook?: (note: string) => void, signal: AbortSignal = this.#context.signal): Promise<void> {
    const aborted = Promise.withResolvers<void>();
    const stop = (): void => aborted.resolve();
    signal.addEventListener('abort', stop, { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        if (this.#pace.rest !== Number.POSITIVE_INFINITY) return;
        onLook?.(this.#pace.note ?? '');
        await Promise.race([this.#looked.promise, aborted.promise]);
      }
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** One round of all probes side by side, folded into the pace. */
  async look(): Promise<void> {
    const rounds = await Promise.all(this.#probes.map((probe) => this.#read(probe)));
    if (this.#closing.signal.aborted) return;
    const readings = rounds.flat();
    this.#ladder.observe(readings);
    const before = this.#pace;
    this.#pace = this.#paceOf(readings);
    this.#context.degraded?.(slowNote(this.#ladder));
    const looked = this.#looked;
    this.#looked = Promise.withResolvers();
    looked.resolve();
    const slower = isSlower(this.#pace, before);
    if (!slower && this.#pace.rest === before.rest && this.#pace.rowsPerSecond === before.rowsPerSecond) return;
    this.#context.log.info({ note: this.#pace.note }, slower ? 'goes slower' : 'goes faster');
    for (const listener of this.#listeners) listener(this.#pace, slower);
  }

  run(): void {
    const { signal } = this.#closing;
    const rounds = async (): Promise<void> => {
      for (;;) {
        await pause(LOOK_EVERY_MS, signal);
        // A look that fails is followed by the next one: a pacer that ended would leave the step without limits.
        await this.look().catch((error: unknown) => this.#context.log.error({ err: error }, 'a look has failed'));
      }
    };
    // It ends by `close` alone.
    this.#running = rounds().catch(() => undefined);
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('closed'));
    await this.#running;
    const said = new AbortController();
    const goodbye = async (): Promise<void> => {
      // A renewal that is still under way would come after the end.
      await this.#renewing.catch(() => undefined);
      await Promise.all([endLease(this.#database, this.#owner), ...this.#probes.map((probe) => probe.close?.())]);
    };
    const warn = (error: unknown): void => this.#context.log.warn({ err: error }, 'the pacer left something behind');
    await Promise.race([goodbye().catch(warn), pause(GOODBYE_MS, said.signal).catch(() => undefined)]);
    said.abort();
  }

  async #read(probe: Probe): Promise<Reading[]> {
    if (this.#busy.has(probe)) return [noAnswer(probe, 'still not')];
    this.#busy.add(probe);
    const look = async (signal: AbortSignal): Promise<Reading[]> => {
      try {
        return await probe.look(signal);
      } finally {
        this.#busy.delete(probe);
      }
    };
    return readProbe({ ...probe, look }, this.#closing.signal);
  }

  async #renew(): Promise<void> {
    const moving = this.#ladder.share > 0;
    const { parallelism } = this.#wish;
    const renewing = renewLease(this.#database, this.#owner, { parallelism, moving });
    this.#renewing = renewing;
    this.#others = await renewing;
  }

  /** Several steps rest as if they were one: each has its part of what one alone would do. */
  #paceOf(readings: readonly Reading[]): Pace {
    const { rowsPerSecond, parallelism, gentle } = this.#wish;
    const walkers = 1 + this.#others.length;
    const share = this.#ladder.share / walkers;
    const caps = [rowsPerSecond, this.#database.rowsPerSecond].filter((cap) => cap !== null);
    const cap = caps.length === 0 ? null : Math.min(...caps);
    return {
      rest: share === 0 ? Number.POSITIVE_INFINITY : (1 + (gentle ? GENTLE_REST : 0)) / share - 1,
      rowsPerSecond: cap === null || share === 0 ? cap : cap * share,
      parallelism: gentle ? 1 : parallelism,
      chunkRows: gentle ? CHUNK_ROWS_MIN : null,
      note: paceNote({
        cap,
        gentle,
        ladder: this.#ladder,
        others: this.#others,
        migration: this.#owner.run.migration,
        database: this.#database.name,
        warnings: readings.flatMap(({ warning }) => warning ?? []),
      }),
    };
  }
}

/** What the plan asks for, and over it what `throttle` last said. */
export function wishOf({ step, throttle }: EffectInput<'backfill' | 'verify'>): Wish {
  return {
    rowsPerSecond: throttle?.rowsPerSecond ?? step.throttle.maxRowsPerSecond ?? null,
    parallelism: throttle?.parallelism ?? ('parallelism' in step ? step.parallelism : 1),
    gentle: throttle?.gentle ?? step.throttle.gentle ?? false,
  };
}

/** A budget that can't be read is a reason to go slower, like everything that isn't known. */
const leaseProbe = (database: Database, renew: () => Promise<void>): Probe => ({
  name: `the budget of "${database.name}"`,
  async look() {
    await renew();
    return [];
  },
});

const isSlower = (now: Pace, before: Pace): boolean =>
  now.rest > before.rest ||
  (now.rowsPerSecond ?? Number.POSITIVE_INFINITY) < (before.rowsPerSecond ?? Number.POSITIVE_INFINITY);
