import { setTimeout as sleep } from 'node:timers/promises';
import { SwitchbackError } from '../../messages/index.ts';
import {
  askVacuum,
  type Backend,
  type Blocker,
  blockersOf,
  describeBlockers,
  endClients,
  IS_BACKEND,
} from './blockers.ts';
import type { Database, Queryable, Row } from './database.ts';
import { PostgresError } from './database-error.ts';
import type { DirectSession } from './ddl-session.ts';

/**
 * Tries that hold up others only briefly: while a statement waits for its lock, everything that comes after waits
 * behind it. So each try gives up after a short `lock_timeout`, and the waits between the tries grow.
 */
export interface LadderLimits {
  triesMax: number;
  lockTimeoutFirstMs: number;
  lockTimeoutMaxMs: number;
  waitFirstMs: number;
  waitMaxMs: number;
}
export const LADDER: LadderLimits = {
  triesMax: 30,
  lockTimeoutFirstMs: 100,
  lockTimeoutMaxMs: 1_000,
  waitFirstMs: 500,
  waitMaxMs: 60_000,
};
/** Tries that a blocker may hold up before it is ended, where that is allowed. */
const PATIENT_TRIES = 3;
const TIMEOUT_GROWTH = 1.25;
const WAIT_GROWTH = 1.4;
const LOCK_NOT_AVAILABLE = '55P03';
const DEADLOCK = '40P01';

/** Puts on record who will be ended, before they are; null: nobody's session is ended. */
export type KillBlockers = ((clients: readonly Blocker[]) => Promise<void>) | null;

export interface Climb {
  database: Database;
  limits: LadderLimits;
  signal: AbortSignal;
  /** What the lock is for, in words. */
  purpose: string;
  /** Where the plan says so: blocking clients are ended once `PATIENT_TRIES` tries have failed. */
  killBlockers?: KillBlockers;
  onWait(note: string): void;
}

/** How long the `number`-th try, from 1, waits for each lock at most. */
export const lockTimeoutOf = (limits: LadderLimits, number: number): number =>
  Math.round(Math.min(limits.lockTimeoutMaxMs, limits.lockTimeoutFirstMs * TIMEOUT_GROWTH ** (number - 1)));

/** Thrown by a try that found the catalog changed by someone else meanwhile: the next try looks anew. */
export class ConcurrentChange extends Error {}

/** Says of which backend the blockers are to be named. */
type OnBackend = (backend: Backend) => void;

async function climbLadder<T>(
  climb: Climb,
  attempt: (lockTimeoutMs: number, tryNumber: number, onBackend: OnBackend) => Promise<T>,
): Promise<T> {
  const { limits, signal, purpose, onWait } = climb;
  let blockers: Blocker[] = [];
  let rested = true;
  const triesBlocked = new Map<string, number>();
  for (let number = 1; ; number++) {
    signal.throwIfAborted();
    const tried = await tryOnce(climb, lockTimeoutOf(limits, number), (timeoutMs, onBackend) =>
      attempt(timeoutMs, number, onBackend),
    );
    if (tried.done) return tried.value;
    if (tried.blockers.length > 0) blockers = tried.blockers;
    const whom = tried.concurrent
      ? 'the catalog was changed by someone else meanwhile'
      : blockers.length > 0
        ? describeBlockers(blockers)
        : 'the blocker was gone before it could be named';
    if (number >= limits.triesMax) throw notObtained(climb, whom, blockers);
    // Who holds a lock for a moment only, as traffic does, has blocked one try; who stays has had the time to end.
    for (const blocker of tried.blockers) triesBlocked.set(keyOf(blocker), 1 + (triesBlocked.get(keyOf(blocker)) ?? 0));
    const staying = tried.blockers.filter((blocker) => (triesBlocked.get(keyOf(blocker)) ?? 0) >= PATIENT_TRIES);
    const way: Way = rested ? await clearWay(climb, staying) : { free: false, stays: '' };
    // Once at a time: tries without a rest between them would hold up everyone else.
    rested = !way.free;
    if (way.free) continue;
    const waitMs =
      Math.min(limits.waitMaxMs, limits.waitFirstMs * WAIT_GROWTH ** (number - 1)) * (0.5 + Math.random() / 2);
    onWait(
      `waits for a lock for ${purpose}: ${whom}${way.stays} (try ${number} of ${limits.triesMax}, again in ${(waitMs / 1000).toFixed(1)} s)`,
    );
    await wait(waitMs, signal);
  }
}

interface Way {
  /** Whether the next try may follow at once. */
  free: boolean;
  /** Who can't be ended, in words that follow others. */
  stays: string;
}

const keyOf = ({ pid, backendStart, since }: Blocker): string => JSON.stringify([pid, backendStart, since]);

/**
 * Gets out of the way who may be: clients where the plan allows it, and autovacuum, which gives way to whoever waits
 * long enough. Never a session of ours, a process of the server or a prepared transaction.
 */
async function clearWay(climb: Climb, blockers: readonly Blocker[]): Promise<Way> {
  const { database, killBlockers = null, onWait } = climb;
  const stay: Blocker[] = [];
  let asked = 0;
  for (const vacuum of blockers.filter(({ kind }) => kind === 'vacuum')) {
    if (await askVacuum(database, vacuum)) asked += 1;
    else stay.push(vacuum);
  }
  const clients = killBlockers === null ? [] : blockers.filter(({ kind }) => kind === 'client');
  if (killBlockers !== null && clients.length > 0) {
    // First on record, then done: a worker that dies in between has ended nobody unseen.
    await killBlockers(clients);
    onWait(`ends the blockers, as the plan allows: ${describeBlockers(clients)}`);
    stay.push(...(await endClients(database, clients)));
  }
  const pids = stay.map(({ pid }) => pid).join(', ');
  return {
    free: asked + clients.length > stay.length,
    stays: stay.length === 0 ? '' : `; this role may not end ${pids}`,
  };
}

type Try<T> = { done: true; value: T } | { done: false; blockers: Blocker[]; concurrent: boolean };

async function tryOnce<T>(
  climb: Climb,
  timeoutMs: number,
  attempt: (lockTimeoutMs: number, onBackend: OnBackend) => Promise<T>,
): Promise<Try<T>> {
  const watch = watchBlockers(climb, timeoutMs);
  try {
    return { done: true, value: await attempt(timeoutMs, watch.of) };
  } catch (error) {
    const concurrent = error instanceof ConcurrentChange || (error instanceof PostgresError && error.concurrent);
    const lock =
      error instanceof PostgresError && (error.sqlState === LOCK_NOT_AVAILABLE || error.sqlState === DEADLOCK);
    if (!lock && !concurrent) throw error;
    return { done: false, blockers: await watch.stop(), concurrent };
  } finally {
    await watch.stop();
  }
}

/** Looks who blocks the backend while it waits: afterwards nobody does any more. */
function watchBlockers({ database }: Climb, timeoutMs: number): { of: OnBackend; stop(): Promise<Blocker[]> } {
  const over = new AbortController();
  let backend: Backend | null = null;
  let seen: Blocker[] = [];
  const watching = (async () => {
    while (!over.signal.aborted) {
      await sleep(Math.max(10, timeoutMs / 4), undefined, { signal: over.signal }).catch(() => undefined);
      if (over.signal.aborted) return;
      if (backend === null) continue;
      // Naming the blockers is a courtesy: where it fails, the try itself says what is wrong.
      const now = await blockersOf(database, backend).catch(() => []);
      if (now.length > 0) seen = now;
    }
  })();
  return {
    of: (found) => {
      backend = found;
    },
    async stop() {
      over.abort();
      await watching;
      return seen;
    },
  };
}

const notObtained = ({ limits, purpose }: Climb, whom: string, blockers: readonly Blocker[]): SwitchbackError =>
  new SwitchbackError('LockNotObtained', `no lock for ${purpose} within ${limits.triesMax} tries: ${whom}`, {
    hint: `${hintFor(blockers[0])}, then retry the step`,
    fields: { tries: limits.triesMax, blockers: blockers.map(({ pid }) => pid).join(',') },
  });

function hintFor(blocker: Blocker | undefined): string {
  switch (blocker?.kind) {
    case undefined:
      return 'look at pg_locks for who holds locks on the table';
    case 'prepared':
      return 'end the prepared transaction (COMMIT PREPARED or ROLLBACK PREPARED; see pg_prepared_xacts)';
    case 'wraparound':
      return 'let the vacuum end: it prevents the wraparound of transaction numbers';
    case 'vacuum':
      return 'let the vacuum end, or give `lockTimeout` more than the deadlock_timeout of the server (1 s): Postgres then ends it itself';
    case 'ours':
      return 'wait for the other step';
    case 'system':
    case 'client':
      return `end the blocking session (SELECT pg_terminate_backend(${blocker.pid})) or wait for it`;
  }
}

type TransactionAttempt<T> = (transaction: Queryable, lockTimeoutMs: number, tryNumber: number) => Promise<T>;

/**
 * Runs `attempt` with a growing lock timeout until it gets its locks, one transaction a try, on `session`; tries count
 * from 1. An abort cancels what runs there. Throws `LockNotObtained` after the last one.
 */
export const climbTransaction = <T>(session: DirectSession, climb: Climb, attempt: TransactionAttempt<T>): Promise<T> =>
  climbLadder(climb, (lockTimeoutMs, tryNumber, onBackend) =>
    inCancellableTransaction(climb.database, session, climb.signal, (transaction, backend) => {
      onBackend(backend);
      return attempt(transaction, lockTimeoutMs, tryNumber);
    }),
  );

/** The same on a session of its own. */
export const climbInSession = <T>(climb: Climb, attempt: TransactionAttempt<T>): Promise<T> =>
  climb.database.session((session) => climbTransaction(session, climb, attempt));

/** Waits, unless `signal` is aborted: then it throws the signal's reason at once. */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}

/** Runs `work` in a transaction; when `signal` is aborted meanwhile, what runs there is cancelled. */
export async function inCancellableTransaction<T>(
  database: Database,
  on: { transaction<U>(work: (session: Queryable) => Promise<U>): Promise<U> },
  signal: AbortSignal,
  work: (transaction: Queryable, backend: Backend) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  return on.transaction(async (transaction) => {
    const [row] = await transaction.query(`SELECT ${OWN_BACKEND}`);
    const backend = backendOf(row);
    return cancellable(database, backend, signal, () => work(transaction, backend));
  });
}

/** For the SELECT list of a transaction that asks for its own `backendOf`. */
export const OWN_BACKEND = 'pg_backend_pid() AS pid, extract(epoch FROM now()) AS began';
export const backendOf = (row: Row | undefined): Backend => ({
  pid: row?.['pid'] ?? '0',
  began: row?.['began'] ?? null,
});

/** Runs `work` on the backend; when `signal` is aborted meanwhile, what runs there is cancelled. */
export async function cancellable<T>(
  database: Database,
  { pid, began }: Backend,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const cancel = (): void => {
    database
      .query(`SELECT pg_cancel_backend(a.pid) FROM pg_stat_activity a WHERE ${IS_BACKEND}`, [pid, began])
      .catch(() => undefined);
  };
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await work();
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw error;
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}
