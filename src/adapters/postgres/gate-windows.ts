import type { Database, Queryable } from './database.ts';
import { OF_STEP, type StepRef, stepValues } from './step-row.ts';

/**
 * What a rollout's gate has counted, in the home ledger: windows that are over, which nothing changes any more, and the
 * one that is open. A window is closed by whoever finds it open under its number, in one transaction with the opening of
 * the next: two workers, or one that comes back, count it once. `memory` is opaque here.
 */
export interface GateCounts {
  old: { total: number; bad: number };
  new: { total: number; bad: number };
}
export interface ClosedWindow {
  metric: string;
  number: number;
  /** The stop of the ramp at which it was counted. */
  stop: number;
  counts: GateCounts;
}
export interface OpenWindow {
  number: number;
  series: number;
  stop: number;
  openedAt: string;
  /** How long it has been open, by the database's clock. */
  openMs: number;
  /** What readers keep from look to look, by metric. */
  memory: Record<string, unknown>;
}

export class GateWindows {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  async open(of: StepRef): Promise<OpenWindow | null> {
    const [row] = await this.#database.query(
      `SELECT number, series, stop, counters, opened_at, floor(extract(epoch FROM clock_timestamp() - opened_at) * 1000) AS open_ms
       FROM switchback.gate_looks WHERE ${OF_STEP}`,
      stepValues(of),
    );
    if (row === undefined) return null;
    return {
      number: Number(row['number']),
      series: Number(row['series']),
      stop: Number(row['stop']),
      openedAt: row['opened_at'] ?? '',
      openMs: Number(row['open_ms']),
      memory: JSON.parse(row['counters'] ?? '{}') as Record<string, unknown>,
    };
  }

  /** The windows of a series after number `after`, in their order. */
  async closed(of: StepRef, series: number, after = 0): Promise<ClosedWindow[]> {
    const rows = await this.#database.query(
      `SELECT metric, number, stop, old_total, old_bad, new_total, new_bad FROM switchback.gate_windows
       WHERE ${OF_STEP} AND series = $5 AND number > $6 ORDER BY number`,
      [...stepValues(of), series, after],
    );
    return rows.map((row) => ({
      metric: row['metric'] ?? '',
      number: Number(row['number']),
      stop: Number(row['stop']),
      counts: {
        old: { total: Number(row['old_total']), bad: Number(row['old_bad']) },
        new: { total: Number(row['new_total']), bad: Number(row['new_bad']) },
      },
    }));
  }

  /** The database's time, as text: when a look begins. */
  async now(): Promise<string> {
    const [row] = await this.#database.query('SELECT clock_timestamp() AS now');
    return row?.['now'] ?? '';
  }

  /**
   * Opens window `number`, at `openedAt`, in the caller's transaction. False where another one is open than the caller has
   * seen (`after`; 0 for none).
   */
  async begin(
    session: Queryable,
    of: StepRef,
    next: { after: number; series: number; stop: number; openedAt: string; memory: Record<string, unknown> },
  ): Promise<boolean> {
    const rows = await session.query(
      `INSERT INTO switchback.gate_looks AS l (migration, version, epoch, step, number, series, stop, opened_at, counters)
       VALUES ($1, $2, $3, $4, $5::integer + 1, $6, $7, $8, $9)
       ON CONFLICT (migration, version, epoch, step) DO UPDATE SET number = excluded.number, series = excluded.series,
         stop = excluded.stop, opened_at = excluded.opened_at, counters = excluded.counters
         WHERE l.number = $5::integer
       RETURNING number`,
      [...stepValues(of), next.after, next.series, next.stop, next.openedAt, JSON.stringify(next.memory)],
    );
    return rows.length === 1;
  }

  /** Keeps what was counted in the window that the caller has just replaced by the next (see `begin`). */
  async keep(
    session: Queryable,
    of: StepRef,
    window: OpenWindow,
    endedAt: string,
    counts: ReadonlyMap<string, GateCounts>,
  ): Promise<void> {
    for (const [metric, { old, new: fresh }] of counts) {
      await session.query(
        `INSERT INTO switchback.gate_windows
           (migration, version, epoch, step, metric, number, series, stop, began_at, ended_at, old_total, old_bad, new_total, new_bad)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
        [
          ...stepValues(of),
          metric,
          window.number,
          window.series,
          window.stop,
          window.openedAt,
          endedAt,
          old.total,
          old.bad,
          fresh.total,
          fresh.bad,
        ],
      );
    }
  }
}
