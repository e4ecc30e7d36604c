import { setTimeout as sleep } from 'node:timers/promises';
import { blockersOf, describeBlockers } from './blockers.ts';
import type { Row } from './database.ts';
import type { DdlProgress, DdlWork } from './ddl-record.ts';
import { type ConcurrentWork, oldTransactions } from './old-snapshots.ts';

const LOOK_EVERY_MS = 1_000;

/**
 * Reports how far the session `pid` is with the concurrent build or drop of an index, from Postgres's own count, until
 * it is stopped. Names first whom it will wait for, because nothing ends before they do.
 */
export function reportBuild(
  { database, onWait }: DdlWork,
  pid: string,
  what: string,
  waits: { on: ConcurrentWork; olderThanMs?: number | undefined } | null = null,
): () => Promise<void> {
  const over = new AbortController();
  const rate = phaseRate();
  const reporting = (async () => {
    onWait(what, null);
    // A report that fails is left out: the build says by itself what is wrong.
    const old = waits === null ? [] : await oldTransactions(database, pid, waits).catch(() => []);
    if (old.length > 0) onWait(`${what}: will wait for ${describeBlockers(old)}`);
    while (!over.signal.aborted) {
      await sleep(LOOK_EVERY_MS, undefined, { signal: over.signal }).catch(() => undefined);
      if (over.signal.aborted) return;
      await look().catch(() => undefined);
    }
  })();
  async function look(): Promise<void> {
    const [row] = await database.query(
      `SELECT phase, greatest(blocks_done, tuples_done)::text AS done,
         (CASE WHEN tuples_done > blocks_done THEN tuples_total ELSE blocks_total END)::text AS total,
         CASE WHEN lockers_total > 0 THEN lockers_done || ' of ' || lockers_total END AS lockers
       FROM pg_stat_progress_create_index WHERE pid = $1::int`,
      [pid],
    );
    const blockers = await blockersOf(database, { pid, began: null });
    const phase = row === undefined ? '' : `: ${phaseOf(row)}`;
    const progress = row === undefined ? null : rate(row, Date.now());
    if (blockers.length > 0) onWait(`${what}${phase}, waits for ${describeBlockers(blockers)}`);
    else onWait(`${what}${phase}`, progress);
  }
  return async () => {
    over.abort();
    await reporting;
  };
}

/** `waiting for old snapshots (1 of 3 gone)`, `building index: scanning table` */
const phaseOf = ({ phase, lockers }: Row): string =>
  `${phase}${lockers == null || phase?.startsWith('waiting') !== true ? '' : ` (${lockers} gone)`}`;

/** Blocks or tuples of the phase that is going on, with how fast they went since it began. */
export function phaseRate(): (row: Row, atMs: number) => DdlProgress | null {
  let began: { phase: string | null | undefined; total: number; done: number; atMs: number } | null = null;
  return (row, atMs) => {
    const [done, total] = [Number(row['done'] ?? 0), Number(row['total'] ?? 0)];
    if (total <= 0) return null;
    if (began === null || began.phase !== row['phase'] || began.total !== total) {
      began = { phase: row['phase'], total, done, atMs };
      return { done, total };
    }
    const perSecond = ((done - began.done) * 1_000) / Math.max(1, atMs - began.atMs);
    if (perSecond <= 0) return { done, total };
    return { done, total, perSecond: Math.round(perSecond), etaSeconds: Math.ceil((total - done) / perSecond) };
  };
}
