import { setTimeout } from 'node:timers/promises';
import { SwitchbackError } from '../../messages/index.ts';
import { Database } from './database.ts';

/** How long a replica gets to reach the position that the primary had when the look began. */
const CATCH_UP_MS = 1_000;
const LOOK_EVERY_MS = 50;

/**
 * How far replicas are behind, measured by position: the age of the last replayed transaction says nothing on a
 * primary where nobody writes, and equal receive and replay positions say nothing where receiving has stopped.
 */
export class ReplicaLag {
  readonly #replicas = new Map<string, Database>();

  /** Milliseconds for each replica of `primary`, in the order of the configuration. */
  async read(primary: Database): Promise<number[]> {
    if (primary.replicas.length === 0) return [];
    const [row] = await primary.query('SELECT pg_current_wal_lsn() AS position');
    const position = row?.['position'] ?? '';
    return Promise.all(
      primary.replicas.map((url, index) => lagOf(this.#replica(`${primary.name} replica ${index + 1}`, url), position)),
    );
  }

  #replica(name: string, url: string): Database {
    const known = this.#replicas.get(url);
    if (known !== undefined) return known;
    const replica = new Database(name, { url });
    this.#replicas.set(url, replica);
    return replica;
  }

  async close(): Promise<void> {
    await Promise.all([...this.#replicas.values()].map((replica) => replica.close()));
    this.#replicas.clear();
  }
}

async function lagOf(replica: Database, position: string): Promise<number> {
  const start = performance.now();
  for (;;) {
    const [row] = await replica.query(LOOK, [position]);
    if (row?.['recovering'] !== 'true') {
      throw new SwitchbackError('ConfigInvalid', `"${replica.name}" is no replica: it is not in recovery`, {
        hint: 'check `replicas` of the database in the configuration of the worker',
        fields: { database: replica.name },
      });
    }
    const elapsed = performance.now() - start;
    if (row['reached'] === 'true') return elapsed;
    if (elapsed >= CATCH_UP_MS) return Math.max(elapsed, Number(row['age_ms'] ?? Number.POSITIVE_INFINITY));
    await setTimeout(LOOK_EVERY_MS);
  }
}

const LOOK = `
  SELECT pg_is_in_recovery()::text AS recovering,
    (pg_last_wal_replay_lsn() >= $1::pg_lsn)::text AS reached,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 AS age_ms`;
