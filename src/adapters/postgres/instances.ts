import type { Database } from './database.ts';
import type { StagePlace } from './stages.ts';

/** A service instance whose lease runs, and what it says that it acts on now. */
export interface LiveInstance {
  service: string;
  instance: string;
  stage: string;
  generation: number;
  /** Percent of the users that its copy of the flag lets onto the new path. */
  exposure: number;
  /** Milliseconds from the instant that was asked about to its last word; null where none was given. */
  saidAfterMs: number | null;
}

/** The instances of services that act on a flag, in the home ledger. They write themselves; the engine only reads. */
export class Instances {
  readonly #database: Database;
  constructor(database: Database) {
    this.#database = database;
  }

  /** All that live by the database's clock, in the order of their names, as of one instant. */
  async live({ environment, flag }: StagePlace, since: string | null = null): Promise<LiveInstance[]> {
    const rows = await this.#database.query(
      `SELECT service, instance, stage, generation, exposure,
         ceil(extract(epoch FROM seen_at - $3::timestamptz) * 1000) AS said_after_ms
       FROM switchback.instances
       WHERE environment = $1 AND flag = $2 AND lease_until > clock_timestamp()
       ORDER BY service, instance`,
      [environment, flag, since],
    );
    return rows.map((row) => ({
      service: row['service'] ?? '',
      instance: row['instance'] ?? '',
      stage: row['stage'] ?? '',
      generation: Number(row['generation']),
      exposure: Number(row['exposure']),
      saidAfterMs: row['said_after_ms'] == null ? null : Number(row['said_after_ms']),
    }));
  }
}
