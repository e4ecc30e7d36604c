import { type Reading, SHARE_MIN } from '../analysis/throttle.ts';
import type { Pressure } from '../adapters/postgres/pressure.ts';

/**
 * Limits that hold for every long step, whatever its plan says.
 */
/** So much WAL may wait to be archived before a step slows down, and before it stands still. */
export const ARCHIVE_BACKLOG_MAX_BYTES = 2 ** 30;
export const ARCHIVE_BACKLOG_HARD_BYTES = 8 * 2 ** 30;
/**
 * Dead rows for each live one. A backfill itself leaves one behind for each row it changes; twice as many mean that
 * vacuum doesn't keep up. Small tables don't count: autovacuum comes to them when it comes.
 */
export const DEAD_ROWS_PER_LIVE_MAX = 2;
export const DEAD_ROWS_MIN = 100_000;
/** A snapshot older than this is named: no dead row newer than it can be removed. It slows nothing down. */
export const OLD_SNAPSHOT_SECONDS = 300;

export interface PressureLimits {
  lockWaits: number | null;
  activeConnections: number | null;
}

const NEEDS_MONITOR = 'it needs pg_monitor';

/** What the look at the database means, against the limits that the plan gives and those that always hold. */
export function judgePressure(pressure: Pressure, limits: PressureLimits): Reading[] {
  const readings = [deadRows(pressure), wraparound(pressure), archive(pressure), oldSnapshot(pressure)];
  if (limits.lockWaits !== null && pressure.lockWaits !== null)
    readings.push(lockWaits(pressure.lockWaits, limits.lockWaits));
  if (limits.activeConnections !== null) readings.push(connections(pressure, limits.activeConnections));
  return readings;
}

const judged = (ok: boolean, words: string, more: Partial<Reading> = {}): Reading => ({
  verdict: ok ? 'ok' : 'bad',
  words,
  ...more,
});

const lockWaits = (waits: number, max: number): Reading =>
  judged(
    waits <= max,
    `${waits} ${waits === 1 ? 'session waits' : 'sessions wait'} for locks of the table, ${max} allowed`,
  );

function connections({ activeConnections, hiddenSessions }: Pressure, max: number): Reading {
  if (activeConnections <= max && hiddenSessions > 0)
    return {
      verdict: 'no answer',
      words: `the worker's role may not see what ${hiddenSessions} sessions do (${NEEDS_MONITOR})`,
    };
  const words = activeConnections === 1 ? '1 connection is active' : `${activeConnections} connections are active`;
  return judged(activeConnections <= max, `${words}, ${max} allowed`);
}

function deadRows({ deadRows: dead, liveRows: live }: Pressure): Reading {
  const ok = dead < DEAD_ROWS_MIN || dead <= DEAD_ROWS_PER_LIVE_MAX * live;
  const words = `the table has ${count(dead)} dead rows for ${count(live)} live ones: vacuum does not keep up`;
  // A table that nobody vacuums would keep it standing for ever.
  return judged(ok, words, { lowest: SHARE_MIN });
}

function wraparound({ wraparoundVacuum }: Pressure): Reading {
  const words = 'an autovacuum to prevent wraparound works on the table';
  if (wraparoundVacuum !== 'hidden') return judged(wraparoundVacuum === 'none', words, { hard: true });
  return judged(true, words, {
    warning: `an autovacuum works on the table; whether to prevent wraparound the worker's role may not see (${NEEDS_MONITOR})`,
  });
}

function archive({ archiveBacklogBytes: bytes }: Pressure): Reading {
  if (bytes === null) return judged(true, 'WAL is not archived');
  if (bytes === 'hidden')
    return judged(true, 'WAL is archived', {
      warning: `how much WAL waits to be archived the worker's role may not see (${NEEDS_MONITOR})`,
    });
  return judged(
    bytes <= ARCHIVE_BACKLOG_MAX_BYTES,
    `${gibibytes(bytes)} GiB of WAL wait to be archived, ${gibibytes(ARCHIVE_BACKLOG_MAX_BYTES)} allowed`,
    { hard: bytes > ARCHIVE_BACKLOG_HARD_BYTES },
  );
}

function oldSnapshot({ oldestSnapshotSeconds: seconds }: Pressure): Reading {
  if (seconds === null || seconds < OLD_SNAPSHOT_SECONDS) return judged(true, 'no snapshot is old');
  const words = `a transaction open for ${Math.floor(seconds / 60)} min keeps dead rows from being removed`;
  return judged(true, words, { warning: words });
}

const count = (rows: number): string => rows.toLocaleString('en-US');
const gibibytes = (bytes: number): string => (bytes / 2 ** 30).toFixed(1).replace(/\.0$/, '');
