import { isStage, type Stage } from '../../plan/index.ts';
import type { Database, Queryable } from './database.ts';

/**
 * The stage of each read and write path, in the home ledger. Where a flag says something else, this row decides. The
 * engine writes it, always to a neighbouring stage; services with `src/switch` read it, and know by its generation that
 * it has changed. A row stays when its migration is rolled back: a generation must never come a second time.
 */
export interface StagePlace {
  environment: string;
  flag: string;
}
export interface StageRow {
  stage: Stage;
  /** Rises by one with every change. */
  generation: number;
  /** Who set it last. */
  migration: string;
  /** When it was changed last, by the database's clock. */
  changedAt: string;
  /** Since when the new side alone is written; null once the old one answers again. */
  newOnlySince: string | null;
}

export class Stages {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /** Null where no migration has ever set one: then services act on their own minimum, `off` by default. */
  async read({ environment, flag }: StagePlace, session: Queryable = this.#database): Promise<StageRow | null> {
    const [row] = await session.query(
      'SELECT stage, generation, migration, changed_at, new_only_since FROM switchback.stages WHERE environment = $1 AND flag = $2',
      [environment, flag],
    );
    if (row === undefined) return null;
    const stage = row['stage'] ?? '';
    if (!isStage(stage)) throw new Error(`the ledger has a stage "${stage}"`);
    return {
      stage,
      generation: Number(row['generation']),
      migration: row['migration'] ?? '',
      changedAt: row['changed_at'] ?? '',
      newOnlySince: row['new_only_since'] ?? null,
    };
  }

  /** Sets the stage; the caller holds the flag's lock and has seen that it is next to the one before. */
  async set(session: Queryable, { environment, flag }: StagePlace, stage: Stage, migration: string): Promise<void> {
    await session.query(
      `INSERT INTO switchback.stages AS s (environment, flag, stage, generation, migration, new_only_since)
       VALUES ($1, $2, $3, 1, $4, CASE WHEN $3 = 'complete' THEN clock_timestamp() END)
       ON CONFLICT (environment, flag) DO UPDATE SET
         stage = excluded.stage, generation = s.generation + 1, migration = excluded.migration,
         changed_at = clock_timestamp(),
         new_only_since = CASE WHEN excluded.stage IN ('off', 'dual-write', 'shadow') THEN NULL
           ELSE coalesce(s.new_only_since, excluded.new_only_since) END`,
      [environment, flag, stage, migration],
    );
  }
}
