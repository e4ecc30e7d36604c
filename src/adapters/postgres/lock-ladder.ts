import { setTimeout as sleep } from 'node:timers/promises';
import { SwitchbackError } from '../../messages/index.ts';
import { type Blocker, blockersOf, describeBlockers, terminate } from './blockers.ts';
import type { Database } from './database.ts';
import { PostgresError } from './database-error.ts';

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
/** Tries in which blockers may end by themselves before they are ended, where that is allowed. */
const PATIENT_TRIES = 3;
const TIMEOUT_GROWTH = 1.25;
const WAIT_GROWTH = 1.4;
const LOCK_NOT_AVAILABLE = '55P03';
const DEADLOCK = '40P01';

export interface Climb {
  database: Database;
  /** The session that tries: whoever blocks it is named. */
  pid: string;
  limits: LadderLimits;
  signal: AbortSignal;
  /** What the lock is for, in words. */
  purpose: string;
  /** Ends the blocking sessions once `PATIENT_TRIES` tries have failed. Only where the plan says so. */
  killBlockers?: boolean;
  onWait(note: string): void;
}

/** How long the `number`-th try, from 1, waits for each lock at most. */
export const lockTimeoutOf = (limits: LadderLimits, number: number): number =>
  Math.round(Math.min(limits.lockTimeoutMaxMs, limits.lockTimeoutFirstMs * TIMEOUT_GROWTH ** (number - 1)));

/** Thrown by a try that found the catalog changed by someone else meanwhile: the next try looks anew. */
export class ConcurrentChange extends Error {}

/** Runs `attempt` with a growing lock timeout until it gets its locks. Throws `LockNotObtained` after the last try. */
export async function climbLadder<T>(climb: Climb, attempt: (lockTimeoutMs: number) => Promise<T>): Promise<T> {
  const { limits, signal, purpose, onWait } = climb;
  let blockers: Blocker[] = [];
  for (let number = 1; ; number++) {
    signal.throwIfAborted();
    const timeoutMs = lockTimeoutOf(limits, number);
    const tried = await tryOnce(climb, timeoutMs, attempt);
    if (tried.done) return tried.value;
    if (tried.blockers.length > 0) blockers = tried.blockers;
    const whom = tried.concurrent
      ? 'the catalog was changed by someone else meanwhile'
      : blockers.length > 0
        ? describeBlockers(blockers)
        : 'the blocker was gone before it could be named';
    if (number >= limits.triesMax) throw notObtained(climb, whom, blockers);
    if (climb.killBlockers === true && number >= PATIENT_TRIES && blockers.length > 0) {
      onWait(`ends the blockers, as the plan allows: ${whom}`);
      await terminate(climb.database, blockers);
      blockers = [];
      continue;
    }
    const waitMs =
      Math.min(limits.waitMaxMs, limits.waitFirstMs * WAIT_GROWTH ** (number - 1)) * (0.5 + Math.random() / 2);
    onWait(
      `waits for a lock for ${purpose}: ${whom} (try ${number} of ${limits.triesMax}, again in ${(waitMs / 1000).toFixed(1)} s)`,
    );
    await wait(waitMs, signal);
  }
}

type Try<T> = { done: true; value: T } | { done: false; blockers: Blocker[]; concurrent: boolean };

async function tryOnce<T>(
  climb: Climb,
  timeoutMs: number,
  attempt: (lockTimeoutMs: number) => Promise<T>,
): Promise<Try<T>> {
  const watch = watchBlockers(climb, timeoutMs);
  try {
    return { done: true, value: await attempt(timeoutMs) };
  } catch (error) {
    const concurrent = error instanceof ConcurrentChange;
    const lock =
      error instanceof PostgresError && (error.sqlState === LOCK_NOT_AVAILABLE || error.sqlState === DEADLOCK);
    if (!lock && !concurrent) throw error;
    return { done: false, blockers: await watch.stop(), concurrent };
  } finally {
    await watch.stop();
  }
}

/** Looks who blocks the session while it waits: afterwards nobody does any more. */
function watchBlockers({ database, pid }: Climb, timeoutMs: number): { stop(): Promise<Blocker[]> } {
  const over = new AbortController();
  let seen: Blocker[] = [];
  const watching = (async () => {
    while (!over.signal.aborted) {
      await sleep(Math.max(10, timeoutMs / 4), undefined, { signal: over.signal }).catch(() => undefined);
      if (over.signal.aborted) return;
      // Naming the blockers is a courtesy: where it fails, the try itself says what is wrong.
      const now = await blockersOf(database, pid).catch(() => []);
      if (now.length > 0) seen = now;
    }
  })();
  return {
    async stop() {
      over.abort();
      await watching;
      return seen;
    },
  };
}

const notObtained = ({ limits, purpose }: Climb, whom: string, blockers: readonly Blocker[]): SwitchbackError =>
  new SwitchbackError('LockNotObtained', `no lock for ${purpose} within ${limits.triesMax} tries: ${whom}`, {
    hint:
      blockers.length === 0
        ? 'look at pg_locks for who holds locks on the table, then retry the step'
        : `end the blocking session (SELECT pg_terminate_backend(${blockers[0]?.pid})) or wait for it, then retry the step`,
    fields: { tries: limits.triesMax, blockers: blockers.map(({ pid }) => pid).join(',') },
  });

/** Waits, unless `signal` is aborted: then it throws the signal's reason at once. */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch {
    throw signal.reason;
  }
}

/** Runs `work` on the session `pid`; when `signal` is aborted meanwhile, what runs there is cancelled. */
export async function cancellable<T>(
  database: Database,
  pid: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const cancel = (): void => {
    database.query('SELECT pg_cancel_backend($1::int)', [pid]).catch(() => undefined);
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
