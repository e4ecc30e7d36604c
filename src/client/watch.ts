import { setTimeout as delay } from 'node:timers/promises';
import { isEnd, type Status, SwitchbackError } from '../messages/index.ts';
import type { StatusReader } from './read-status.ts';

export interface WatchOptions {
  /** How often the run is looked at, in milliseconds; 500 where it is left out. */
  intervalMs?: number | undefined;
  /** Ends the watch; the migration goes on. */
  signal?: AbortSignal | undefined;
}

const DEFAULT_INTERVAL_MS = 500;
const OUTAGE_MAX_MS = 60_000;

/**
 * Yields a migration's status each time it changes, the last one when it has ended. A server or worker that is away
 * for up to a minute is waited for; after that the watch fails with what was wrong, the migration goes on.
 */
export async function* watchStatus(
  reader: StatusReader,
  options: WatchOptions = {},
): AsyncGenerator<Status, void, undefined> {
  const { intervalMs = DEFAULT_INTERVAL_MS, signal } = options;
  let shown = '';
  let answeredAt = Date.now();
  for (;;) {
    if (signal?.aborted === true) return;
    const status = await readPatiently(reader, answeredAt);
    if (status !== null) {
      answeredAt = Date.now();
      const seen = JSON.stringify({ ...status, updatedAt: '' });
      if (seen !== shown) yield status;
      shown = seen;
      if (isEnd(status.status)) return;
    }
    try {
      await delay(intervalMs, undefined, signal === undefined ? {} : { signal });
    } catch {
      return;
    }
  }
}

async function readPatiently(reader: StatusReader, answeredAt: number): Promise<Status | null> {
  try {
    return await reader.read();
  } catch (error) {
    const passing = error instanceof SwitchbackError && error.retry;
    if (passing && Date.now() - answeredAt < OUTAGE_MAX_MS) return null;
    throw error;
  }
}
