import { readHttpProbe } from '../adapters/metrics/http-probe.ts';
import type { Database } from '../adapters/postgres/database.ts';
import { PostgresError } from '../adapters/postgres/database-error.ts';
import { readPressure } from '../adapters/postgres/pressure.ts';
import { ReplicaLag } from '../adapters/postgres/replica-lag.ts';
import type { Reading } from '../analysis/throttle.ts';
import { SwitchbackError } from '../messages/index.ts';
import { durationMs, type StepOf } from '../plan/index.ts';
import { judgePressure } from './pressure-words.ts';

/** One thing that a throttle watches. */
export interface Probe {
  /** `the database`: what doesn't answer when it doesn't. */
  name: string;
  /** Whether to stand still at once when it doesn't answer. */
  hard?: boolean;
  /** Throws where it gets no answer; `signal` ends the wait for one. */
  look(signal: AbortSignal): Promise<Reading[]>;
  close?(): Promise<void>;
}

/** A look that takes longer has no answer. A replica that lags takes a second to tell. */
export const PROBE_TIMEOUT_MS = 2_000;

type Throttle = StepOf<'backfill'>['throttle'];
interface Watched {
  database: Database;
  schema: string;
  table: string;
}

/** What always counts, and what the plan's `throttle` names. Throws `ConfigInvalid` for lag where there is no replica. */
export function probesOf(watched: Watched, throttle: Throttle): Probe[] {
  const { maxReplicaLag, sql, http } = throttle;
  return [
    databaseProbe(watched, throttle),
    ...(maxReplicaLag === undefined ? [] : [replicaProbe(watched.database, maxReplicaLag)]),
    ...(sql === undefined ? [] : [sqlProbe(watched.database, sql)]),
    ...(http === undefined ? [] : [httpProbe(http)]),
  ];
}

/** What doesn't answer is a reading too. */
export const noAnswer = ({ name, hard = false }: Pick<Probe, 'name' | 'hard'>, why: string): Reading => ({
  verdict: 'no answer',
  words: `${name} does not answer (${why})`,
  hard,
});

/** One look of one probe, which never throws. */
export async function readProbe(probe: Probe, closing: AbortSignal): Promise<Reading[]> {
  const late = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  const signal = AbortSignal.any([closing, late]);
  const ended = Promise.withResolvers<never>();
  const end = (): void => ended.reject(new Error(`for ${PROBE_TIMEOUT_MS / 1_000} s`));
  signal.addEventListener('abort', end, { once: true });
  try {
    return await Promise.race([probe.look(signal), ended.promise]);
  } catch (error) {
    return [noAnswer(probe, reasonOf(error))];
  } finally {
    signal.removeEventListener('abort', end);
  }
}

function databaseProbe({ database, schema, table }: Watched, throttle: Throttle): Probe {
  const limits = {
    lockWaits: throttle.maxLockWaits ?? null,
    activeConnections: throttle.maxActiveConnections ?? null,
  };
  const of = { schema, table, lockWaits: limits.lockWaits !== null };
  return {
    name: `database "${database.name}"`,
    look: async () => judgePressure(await readPressure(database, of, PROBE_TIMEOUT_MS), limits),
  };
}

export const noReplicas = (database: string): SwitchbackError =>
  new SwitchbackError(
    'ConfigInvalid',
    `throttle.maxReplicaLag: database "${database}" has no replicas in the configuration of the worker`,
    { hint: `add databases.${database}.replicas, or leave maxReplicaLag out`, fields: { database } },
  );

/** A replica that doesn't answer may have stopped for good: nothing is written that it would have to catch up with. */
function replicaProbe(database: Database, maxReplicaLag: NonNullable<Throttle['maxReplicaLag']>): Probe {
  if (database.replicas.length === 0) throw noReplicas(database.name);
  const maxMs = durationMs(maxReplicaLag);
  const lag = new ReplicaLag();
  return {
    name: database.replicas.length === 1 ? 'replica 1' : `one of ${database.replicas.length} replicas`,
    hard: true,
    look: async () =>
      (await lag.readEach(database)).map((of, index): Reading => {
        const name = `replica ${index + 1}`;
        if (of.status === 'rejected') return noAnswer({ name, hard: true }, reasonOf(of.reason));
        const behind = `${name} is ${seconds(of.value)} s behind, ${seconds(maxMs)} s allowed`;
        return { verdict: of.value <= maxMs ? 'ok' : 'bad', words: behind };
      }),
    close: () => lag.close(),
  };
}

function sqlProbe(database: Database, { query, max }: NonNullable<Throttle['sql']>): Probe {
  return {
    name: 'throttle.sql',
    async look() {
      const rows = await database.readOnly(query, { timeoutMs: PROBE_TIMEOUT_MS });
      const values = Object.values(rows[0] ?? {});
      const value = rows.length === 1 && values.length === 1 ? values[0] : null;
      const number = value === null || value === undefined || value.trim() === '' ? Number.NaN : Number(value);
      if (Number.isNaN(number)) return [{ verdict: 'no answer', words: 'throttle.sql does not give one number' }];
      return [{ verdict: number <= max ? 'ok' : 'bad', words: `throttle.sql gives ${number}, ${max} allowed` }];
    },
  };
}

function httpProbe(http: NonNullable<Throttle['http']>): Probe {
  return {
    name: 'throttle.http',
    async look(signal) {
      const { ok, words } = await readHttpProbe(http, signal);
      return [{ verdict: ok ? 'ok' : 'bad', words }];
    },
  };
}

const seconds = (ms: number): string => (ms / 1_000).toFixed(1).replace(/\.0$/, '');

/** Never a row's value: of what Postgres says only words about names, else the code. */
function reasonOf(error: unknown): string {
  if (error instanceof PostgresError && !error.sqlState.startsWith('42')) return `SQLSTATE ${error.sqlState}`;
  return error instanceof Error ? error.message : String(error);
}
