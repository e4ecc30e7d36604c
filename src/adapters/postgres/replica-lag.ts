import { setTimeout } from 'node:timers/promises';
import { SwitchbackError } from '../../messages/index.ts';
import { Database } from './database.ts';

/** How long a replica gets to reach the position that the primary had when the look began. */
const CATCH_UP_MS = 1_000;
const LOOK_EVERY_MS = 50;

interface Replica {
  database: Database;
  /** When a look began whose position was reached; null before the first. */
  reachedAt: number | null;
}

/**
 * How far replicas are behind, measured by position: the age of the last replayed transaction says nothing on a
 * primary where nobody writes, and equal receive and replay positions say nothing where receiving has stopped.
 */
export class ReplicaLag {
  readonly #replicas = new Map<string, Replica>();

  /**
   * Milliseconds for each replica of `primary`, in the order of the configuration. Throws `DatabaseUnreachable` where
   * one doesn't answer and `ConfigInvalid` where one isn't a replica.
   */
  async read(primary: Database): Promise<number[]> {
    const lags = await this.readEach(primary);
    return lags.map((lag) => {
      if (lag.status === 'rejected') throw lag.reason;
      return lag.value;
    });
  }

  /** The same, with what is wrong with a replica in its own place; throws where the primary doesn't answer. */
  async readEach(primary: Database): Promise<PromiseSettledResult<number>[]> {
    if (primary.replicas.length === 0) return [];
    const [row] = await primary.query('SELECT pg_current_wal_lsn() AS position');
    const position = row?.['position'] ?? '';
    return Promise.allSettled(
      primary.replicas.map((url, index) => lagOf(this.#replica(`${primary.name} replica ${index + 1}`, url), position)),
    );
  }

  #replica(name: string, url: string): Replica {
    const known = this.#replicas.get(url);
    if (known !== undefined) return known;
    const replica: Replica = { database: new Database(name, { url }), reachedAt: null };
    this.#replicas.set(url, replica);
    return replica;
  }

  async close(): Promise<void> {
    const replicas = [...this.#replicas.values()];
    this.#replicas.clear();
    await Promise.all(replicas.map((replica) => replica.database.close()));
  }
}

/** What lags for longer than a look may take is as old as what was replayed last, or as the last look that caught up. */
async function lagOf(replica: Replica, position: string): Promise<number> {
  const start = performance.now();
  for (;;) {
    const [row] = await replica.database.query(LOOK, [position]);
    if (row?.['recovering'] !== 'true') throw notAReplica(replica.database.name);
    const now = performance.now();
    if (row['reached'] === 'true') {
      replica.reachedAt = start;
      return now - start;
    }
    if (now - start >= CATCH_UP_MS) {
      const ageMs = Number(row['age_ms'] ?? Number.POSITIVE_INFINITY);
      return Math.max(now - start, Math.min(ageMs, now - (replica.reachedAt ?? Number.NEGATIVE_INFINITY)));
    }
    await setTimeout(LOOK_EVERY_MS);
  }
}

const notAReplica = (name: string): SwitchbackError =>
  new SwitchbackError('ConfigInvalid', `"${name}" is no replica: it is not in recovery`, {
    hint: 'check `replicas` of the database in the configuration of the worker',
    fields: { database: name },
  });

const LOOK = `
  SELECT pg_is_in_recovery()::text AS recovering,
    (pg_last_wal_replay_lsn() >= $1::pg_lsn)::text AS reached,
    extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000 AS age_ms`;
