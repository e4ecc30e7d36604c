import { setTimeout as sleep } from 'node:timers/promises';
import { blockersOf, describeBlockers } from './blockers.ts';
import type { DdlWork } from './ddl-record.ts';

const LOOK_EVERY_MS = 1_000;

/** Reports how far an index build or drop is, from Postgres's own count, until it is stopped. */
export function reportBuild({ database, onWait }: DdlWork, pid: string, what: string): () => Promise<void> {
  const over = new AbortController();
  const reporting = (async () => {
    onWait(what);
    while (!over.signal.aborted) {
      await sleep(LOOK_EVERY_MS, undefined, { signal: over.signal }).catch(() => undefined);
      if (over.signal.aborted) return;
      // A report that fails is left out: the build says by itself what is wrong.
      await look().catch(() => undefined);
    }
  })();
  async function look(): Promise<void> {
    const [row] = await database.query(
      `SELECT phase, greatest(blocks_done, tuples_done)::text AS done,
         (CASE WHEN tuples_done > blocks_done THEN tuples_total ELSE blocks_total END)::text AS total,
         lockers_done || ' of ' || lockers_total AS lockers, lockers_total > 0 AS waits
       FROM pg_stat_progress_create_index WHERE pid = $1::int`,
      [pid],
    );
    const blockers = await blockersOf(database, pid);
    const waits = blockers.length > 0 ? `, waits for ${describeBlockers(blockers)}` : '';
    const total = Number(row?.['total'] ?? 0);
    const progress = total > 0 ? { done: Number(row?.['done'] ?? 0), total } : undefined;
    onWait(`${what}${row === undefined ? '' : `: ${row['phase']}`}${waits}`, progress);
  }
  return async () => {
    over.abort();
    await reporting;
  };
}
