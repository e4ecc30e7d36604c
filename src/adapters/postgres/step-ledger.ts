import { type RunRef, SwitchbackError } from '../../messages/index.ts';
import { followDifference, followLocked } from './baseline.ts';
import type { CatalogDifference } from './catalog-difference.ts';
import type { Database, Queryable } from './database.ts';
import { OF_STEP, stepValues } from './step-row.ts';

/**
 * What each step did to a database, in that database: an effect and its row commit together.
 *
 * The fence is one row per migration and database. An effect takes it FOR SHARE in its transaction and stops if it
 * finds another generation than its own; raising it waits for the effects under way, so that none commits afterwards.
 */
export type StepRecordState = 'intended' | 'applied' | 'undoing' | 'undone' | 'skipped';
export interface StepKey {
  run: RunRef;
  phase: string;
  step: string;
  kind: string;
}
export interface StepRecord {
  state: StepRecordState;
  note: string | null;
  /** What the step needs to be undone or recognised: its own shape for each kind. */
  detail: Record<string, unknown>;
}
export interface StepSummary extends StepRecord {
  step: string;
  phase: string;
  kind: string;
}

/** Shorter than the time that the activity has: one that is given up would wait on, with its connection. */
const FENCE_WAIT_MS = 20_000;

/** Kinds that change tables without comparing the catalog before and after. */
const CHANGES_TABLES: readonly string[] = ['retire', 'drop', 'move'];

export class StepLedger {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /** Takes the fence for the rest of the transaction; throws `Fenced` where a newer generation holds it. */
  async fence(session: Queryable, run: RunRef): Promise<void> {
    const [row] = await session.query('SELECT generation FROM switchback.fences WHERE migration = $1 FOR SHARE', [
      run.migration,
    ]);
    if (row?.['generation'] !== String(run.generation)) {
      throw new SwitchbackError(
        'Fenced',
        `generation ${run.generation} of migration "${run.migration}" has been taken over by ${row?.['generation'] ?? 'none'}`,
        { fields: { migration: run.migration, generation: run.generation } },
      );
    }
  }

  /** The generation that holds the fence of a migration here; 0 where none ever did. */
  async highestFence(migration: string): Promise<number> {
    const [row] = await this.#database.query('SELECT generation FROM switchback.fences WHERE migration = $1', [
      migration,
    ]);
    return Number(row?.['generation'] ?? 0);
  }

  /**
   * Raises the fence to `run.generation`; waits for effects under way, and where they take long, fails so that it is
   * called again. Never lowers it.
   */
  async raiseFence(run: RunRef): Promise<void> {
    await this.#database.transaction(async (session) => {
      await session.query(`SET LOCAL lock_timeout = '${FENCE_WAIT_MS}ms'`);
      await session.query(
        `INSERT INTO switchback.fences (migration, generation) VALUES ($1, $2)
         ON CONFLICT (migration) DO UPDATE SET generation = greatest(switchback.fences.generation, excluded.generation)`,
        [run.migration, run.generation],
      );
      await session.query('UPDATE switchback.ranges SET generation = $2 WHERE migration = $1 AND generation < $2', [
        run.migration,
        run.generation,
      ]);
    });
  }

  async read(key: Pick<StepKey, 'run' | 'step'>): Promise<StepRecord | null> {
    const [row] = await this.#database.query(
      `SELECT state, note, detail FROM switchback.steps WHERE ${OF_STEP}`,
      stepValues(key),
    );
    return row === undefined ? null : recordOf(row);
  }

  /** All steps of this version and epoch that left a record here. */
  async list(run: RunRef): Promise<StepSummary[]> {
    const rows = await this.#database.query(
      `SELECT step, phase, kind, state, note, detail FROM switchback.steps
       WHERE migration = $1 AND version = $2 AND epoch = $3 ORDER BY intended_at`,
      [run.migration, run.version, run.epoch],
    );
    return rows.map((row) => ({
      step: row['step'] ?? '',
      phase: row['phase'] ?? '',
      kind: row['kind'] ?? '',
      ...recordOf(row),
    }));
  }

  /**
   * Takes the fence, writes the intent where there is none yet, and locks the step's row until the transaction ends:
   * two workers with the same step take turns, and the second finds what the first did.
   */
  async enter(session: Queryable, key: StepKey): Promise<StepRecord> {
    await this.fence(session, key.run);
    await session.query(
      `INSERT INTO switchback.steps (migration, version, epoch, step, phase, kind, state, generation)
       VALUES ($1, $2, $3, $4, $5, $6, 'intended', $7) ON CONFLICT DO NOTHING`,
      [...stepValues(key), key.phase, key.kind, key.run.generation],
    );
    const [row] = await session.query(
      `UPDATE switchback.steps SET generation = $5 WHERE ${OF_STEP} RETURNING state, note, detail`,
      [...stepValues(key), key.run.generation],
    );
    if (row === undefined) throw new Error(`step ${key.step} has no row in the ledger`);
    return recordOf(row);
  }

  /**
   * Sets the step's state, inside the transaction of the effect and as its last act. `detail` is merged into what is
   * there. `difference`: what the effect has changed in the catalog; the run's baseline follows, so that it is not
   * taken for someone else's change. Kinds that don't say it are looked at.
   */
  async record(
    session: Queryable,
    key: StepKey,
    state: StepRecordState,
    {
      detail = {},
      note = null,
      difference,
    }: { detail?: Record<string, unknown>; note?: string | null; difference?: CatalogDifference } = {},
  ): Promise<void> {
    await session.query(
      `UPDATE switchback.steps SET state = $5, detail = detail || $6::jsonb, note = coalesce($7, note),
         applied_at = CASE WHEN $5 = 'applied' THEN clock_timestamp() ELSE applied_at END,
         undone_at = CASE WHEN $5 = 'undone' THEN clock_timestamp() ELSE undone_at END
       WHERE ${OF_STEP}`,
      [...stepValues(key), state, JSON.stringify(detail), note === null ? null : note.replaceAll('\0', '\ufffd')],
    );
    // On the way back nobody looks for changes of others: the undo itself stops at what it doesn't know.
    if (state !== 'intended' && state !== 'applied') return;
    if (difference !== undefined) await followDifference(session, key.run, difference);
    else if (CHANGES_TABLES.includes(key.kind)) await followLocked(session, key.run);
  }
}

const recordOf = (row: Record<string, string | null>): StepRecord => ({
  state: row['state'] as StepRecordState,
  note: row['note'] ?? null,
  detail: JSON.parse(row['detail'] ?? '{}') as Record<string, unknown>,
});
