import { isContention } from '../adapters/postgres/backfill-errors.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import { wait } from '../adapters/postgres/lock-ladder.ts';
import type { EffectContext } from './effect.ts';

const RETRY_WAIT_MS = 50;
const LOCK_TIMEOUT_MS = 500;

/** From here on the transaction waits for no lock longer than half a second. */
export async function giveUpSoon(session: Queryable): Promise<void> {
  await session.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
}

/**
 * Runs a transaction until nobody holds what it needs: it lets go of its own locks, waits and is tried again, so that it
 * holds up no one and can be stopped. Throws `signal.reason`.
 */
export async function untilFree<T>({ signal, report }: EffectContext, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (!isContention(error)) throw error;
      report({ progress: null, note: `waits for what others hold (${error.sqlState}, try ${tries})` });
      await wait(Math.min(1_000, RETRY_WAIT_MS * 2 ** Math.min(tries, 10)) * (0.5 + Math.random() / 2), signal);
    }
  }
}
