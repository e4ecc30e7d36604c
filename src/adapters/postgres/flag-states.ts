import type { Database, Queryable } from './database.ts';
import { OF_STEP, type StepRef, stepValues } from './step-row.ts';

/**
 * The flags' states in the home ledger: what each step found (the first capture wins and is never overwritten), what
 * it last saw confirmed, and what it intends. `S` is the state of a flag as the caller captures it; here it is opaque.
 *
 * A row that isn't confirmed stands for a change that may have happened wholly, partly or not at all: the next one
 * to enter looks at the flag.
 */
export interface FlagRow<S> {
  project: string;
  environment: string;
  flag: string;
  captured: S;
  previous: S;
  ours: S;
  confirmed: boolean;
  restored: boolean;
  /** Milliseconds since it was restored, by the database's clock; null where it wasn't. */
  restoredMsAgo: number | null;
  /** When its last change began, by the database's clock; null for one of an older version. */
  changedAt: string | null;
}
export interface FlagPlace {
  project: string;
  environment: string;
  flag: string;
}

const COLUMNS = `project, environment, flag, captured, previous, ours, changed_at,
  confirmed::text AS confirmed, (restored_at IS NOT NULL)::text AS restored,
  floor(extract(epoch FROM clock_timestamp() - restored_at) * 1000)::bigint AS restored_ms_ago`;

export class FlagStates<S> {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /** Until the transaction ends nobody else of ours writes this flag, whatever migration they belong to. */
  async lock(session: Queryable, place: FlagPlace): Promise<void> {
    await session.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 20261))', [
      JSON.stringify(['flag', place.project, place.environment, place.flag]),
    ]);
  }

  async read(of: StepRef, session: Queryable = this.#database): Promise<FlagRow<S> | null> {
    const [row] = await session.query(`SELECT ${COLUMNS} FROM switchback.flag_states WHERE ${OF_STEP}`, stepValues(of));
    return row === undefined ? null : rowOf<S>(row);
  }

  /** What another step of this run last made of the flag, or null: the state in which this step should find it. */
  async readLatest(session: Queryable, of: StepRef, place: FlagPlace): Promise<FlagRow<S> | null> {
    const [row] = await session.query(
      `SELECT ${COLUMNS} FROM switchback.flag_states
       WHERE migration = $1 AND version = $2 AND epoch = $3 AND step <> $4
         AND project = $5 AND environment = $6 AND flag = $7 AND restored_at IS NULL
       ORDER BY captured_at DESC LIMIT 1`,
      [...stepValues(of), place.project, place.environment, place.flag],
    );
    return row === undefined ? null : rowOf<S>(row);
  }

  /** Writes what the step found and what it is about to make of it. A capture that is there stays. */
  async capture(session: Queryable, of: StepRef, place: FlagPlace, found: S, ours: S): Promise<void> {
    await session.query(
      `INSERT INTO switchback.flag_states
         (migration, version, epoch, step, project, environment, flag, captured, previous, ours, changed_at)
       VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, clock_timestamp()) ON CONFLICT DO NOTHING`,
      [...stepValues(of), place.project, place.environment, place.flag, JSON.stringify(found), JSON.stringify(ours)],
    );
  }

  /** Writes the intent: from `previous`, which was seen there, to `ours`. */
  async intend(session: Queryable, of: StepRef, previous: S, ours: S): Promise<void> {
    await session.query(
      `UPDATE switchback.flag_states SET previous = $5, ours = $6, confirmed = false, changed_at = clock_timestamp()
       WHERE ${OF_STEP}`,
      [...stepValues(of), JSON.stringify(previous), JSON.stringify(ours)],
    );
  }

  /** `seen` was read back: the intent is fact. */
  async confirm(session: Queryable, of: StepRef, seen: S, { restored }: { restored: boolean }): Promise<void> {
    await session.query(
      `UPDATE switchback.flag_states SET ours = $5, confirmed = true,
         restored_at = CASE WHEN $6 THEN clock_timestamp() ELSE restored_at END WHERE ${OF_STEP}`,
      [...stepValues(of), JSON.stringify(seen), restored],
    );
  }

  /**
   * Undoes a step by leaving the flag as it is, `seen`, to the step of this run that changed it before: that one then
   * undoes from there. False where there is none.
   */
  async passOn(session: Queryable, of: StepRef, place: FlagPlace, seen: S): Promise<boolean> {
    const passed = await session.query(
      `UPDATE switchback.flag_states SET previous = $8, ours = $8, confirmed = true
       WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = (
         SELECT step FROM switchback.flag_states
         WHERE migration = $1 AND version = $2 AND epoch = $3 AND step <> $4
           AND project = $5 AND environment = $6 AND flag = $7 AND restored_at IS NULL
         ORDER BY captured_at DESC LIMIT 1)
       RETURNING step`,
      [...stepValues(of), place.project, place.environment, place.flag, JSON.stringify(seen)],
    );
    if (passed.length === 0) return false;
    await this.confirm(session, of, seen, { restored: true });
    return true;
  }

  /** Keeps how far a rollout is; see `src/activities/rollout.ts` for the shape. */
  async savePosition(session: Queryable, of: StepRef, position: object): Promise<void> {
    await session.query(
      `INSERT INTO switchback.rollouts (migration, version, epoch, step, position) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (migration, version, epoch, step)
       DO UPDATE SET position = excluded.position, updated_at = clock_timestamp()`,
      [...stepValues(of), JSON.stringify(position)],
    );
  }

  async readPosition(of: StepRef, session: Queryable = this.#database): Promise<unknown> {
    const [row] = await session.query(`SELECT position FROM switchback.rollouts WHERE ${OF_STEP}`, stepValues(of));
    return row === undefined ? null : JSON.parse(row['position'] ?? 'null');
  }
}

function rowOf<S>(row: Record<string, string | null>): FlagRow<S> {
  const state = (column: string): S => JSON.parse(row[column] ?? 'null') as S;
  return {
    project: row['project'] ?? '',
    environment: row['environment'] ?? '',
    flag: row['flag'] ?? '',
    captured: state('captured'),
    previous: state('previous'),
    ours: state('ours'),
    confirmed: row['confirmed'] === 'true',
    restored: row['restored'] === 'true',
    restoredMsAgo: row['restored_ms_ago'] == null ? null : Number(row['restored_ms_ago']),
    changedAt: row['changed_at'] ?? null,
  };
}
