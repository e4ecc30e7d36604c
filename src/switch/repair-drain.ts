import type { Counters } from './counters.ts';
import { type Identity, type Ledger, within } from './ledger.ts';
import type { Awaitable } from './options.ts';
import type { RepairQueue } from './repair-queue.ts';
import type { Path } from './stage.ts';
import { errorClassOf } from './switch-error.ts';

/**
 * Repairs queued keys. Several instances may do so at once: each takes keys that nobody else has, one repair of a key at a
 * time, and a taken key is free again when its instance dies. `attempts` is the fence: whoever took it later counts.
 */
export interface DrainOptions {
  ledger: Ledger;
  identity: Identity;
  counters: Counters;
  queue: RepairQueue;
  timeoutMs: number;
  everyMs: number;
  repair(key: string, lacking: Path): Awaitable<unknown>;
}
const TAKEN_MAX = 20;
const TAKEN_FOR_MS = 30_000;
const BACKOFF_MS = 500;
const BACKOFF_MAX_MS = 60_000;

interface Taken {
  id: string;
  key: string;
  lacking: Path;
  attempts: number;
  takenAt: number;
}

/**
 * A key that lacks on both sides is left to people: each side may hold what the other hasn't. Of several lines of one
 * key one at a time is taken, a taken one first; an index sees to it where two look at once.
 */
const TAKE = `
WITH due AS (
  SELECT id FROM switchback.repairs r
  WHERE environment = $1 AND flag = $2 AND not_before <= statement_timestamp()
    AND NOT EXISTS (
      SELECT FROM switchback.repairs o
      WHERE o.environment = r.environment AND o.flag = r.flag AND o.key = r.key AND o.id <> r.id
        AND (o.side <> r.side OR (r.attempts = 0 AND (
          o.attempts > 0 OR (o.id < r.id AND o.not_before <= statement_timestamp())))))
  ORDER BY not_before, id LIMIT $4 FOR UPDATE SKIP LOCKED
)
UPDATE switchback.repairs r
SET attempts = r.attempts + 1, taken_by = $3, not_before = clock_timestamp() + $5::integer * interval '1 millisecond'
FROM due WHERE r.id = due.id
RETURNING r.id::text AS id, r.key, r.side, r.attempts`;

export class RepairDrain {
  readonly #of: DrainOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | null = null;
  #again = false;
  #stopped = false;

  constructor(of: DrainOptions) {
    this.#of = of;
  }

  start(): void {
    void this.now();
  }

  /** Looks at the queue as soon as possible. */
  now(): Promise<void> {
    if (this.#running === null) this.#running = this.#run();
    else this.#again = true;
    return this.#running;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#running;
    clearTimeout(this.#timer);
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      for (;;) {
        this.#again = false;
        const taken = await this.#take();
        for (const each of taken) await this.#repair(each);
        if (this.#stopped || (taken.length < TAKEN_MAX && !this.#again)) return;
      }
    } catch {
      // The ledger is away, or two took one key at once: the next look finds what is left.
      this.#of.counters.repairsFailed += 1;
    } finally {
      this.#running = null;
      if (!this.#stopped) this.#timer = setTimeout(() => void this.now(), this.#of.everyMs).unref();
    }
  }

  async #take(): Promise<Taken[]> {
    const { environment, flag, instance } = this.#of.identity;
    const takenAt = performance.now();
    const rows = await this.#query(TAKE, [environment, flag, instance, TAKEN_MAX, TAKEN_FOR_MS]);
    return rows.map((row) => ({
      id: String(row['id']),
      key: String(row['key']),
      lacking: row['side'] as Path,
      attempts: Number(row['attempts']),
      takenAt,
    }));
  }

  async #repair({ id, key, lacking, attempts, takenAt }: Taken): Promise<void> {
    const expired = (): boolean => performance.now() - takenAt > TAKEN_FOR_MS;
    if (expired()) return;
    try {
      await this.#of.repair(key, lacking);
    } catch (error) {
      this.#of.counters.repairsFailed += 1;
      const waitMs = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** Math.min(attempts - 1, 20));
      await this.#query(
        `UPDATE switchback.repairs SET taken_by = NULL, error_class = $3,
           not_before = clock_timestamp() + $4::integer * interval '1 millisecond' WHERE id = $1::bigint AND attempts = $2`,
        [id, attempts, errorClassOf(error), waitMs],
      );
      return;
    }
    // Somebody else may have repaired it meanwhile, and this one written over that what was older: it is done once more.
    if (expired()) await this.#of.queue.add(key, lacking, 'late');
    await this.#query('DELETE FROM switchback.repairs WHERE id = $1::bigint AND attempts = $2', [id, attempts]);
    this.#of.counters.repairsDone += 1;
  }

  async #query(sql: string, values: unknown[]): Promise<Record<string, unknown>[]> {
    const { rows } = await within(this.#of.timeoutMs, this.#of.ledger.query(sql, values));
    return rows;
  }
}
