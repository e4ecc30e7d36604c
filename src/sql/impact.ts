import { LOCK_MODES, type LockMode } from '../messages/index.ts';

export { LOCK_MODES, type LockMode };

/** What a statement does to whom while it runs. */
export interface Impact {
  locks: readonly LockImpact[];
  /** Tables whose every row is written anew under the lock, with why. */
  rewrites: readonly WorkImpact[];
  /** Tables that are read through under the lock, with why: to check rows or to build an index. */
  scans: readonly WorkImpact[];
  /** What it adds to the disk for good or for the time of the work, in bytes, by the catalog's estimates. */
  diskBytes: number;
}
export interface LockImpact {
  schema: string;
  relation: string;
  mode: LockMode;
  /** `moment`: only the catalog changes while it is held. `scan`, `rewrite`: for as long as the work on the rows takes. */
  held: 'moment' | 'scan' | 'rewrite';
  /** The plan itself has made the relation before: nobody uses it yet. */
  fresh?: true;
}
export interface WorkImpact {
  schema: string;
  relation: string;
  why: string;
  rows: number | null;
  bytes: number;
}

/** Who waits for whoever holds a lock: what its conflicts mean to readers, writers and other DDL. */
export const whoWaits = (mode: LockMode): 'nobody' | 'DDL' | 'writers' | 'readers and writers' =>
  mode === 'ACCESS EXCLUSIVE'
    ? 'readers and writers'
    : mode === 'SHARE' || mode === 'SHARE ROW EXCLUSIVE' || mode === 'EXCLUSIVE'
      ? 'writers'
      : mode === 'SHARE UPDATE EXCLUSIVE'
        ? 'DDL'
        : 'nobody';
