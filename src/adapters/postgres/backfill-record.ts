import type { ChunkChange } from './backfill-change.ts';
import type { Queryable, Value } from './database.ts';
import { type LineageEntry, recordLineage } from './lineage.ts';
import type { RangeOwner } from './range-ledger.ts';

/** Rows changed outside the procedure: by one statement, inside the caller's transaction. */
export interface Changed {
  rows: number;
  digests: { before: string | null; after: string | null };
}

/** Carries out the change over `range`. The search path must be that of the plan's expressions. */
export async function changeRows(
  session: Queryable,
  change: ChunkChange,
  range: string,
  values: readonly Value[] = [],
): Promise<Changed> {
  const [row] = await session.query(change(range), values);
  return {
    rows: Number(row?.['rows']),
    digests: { before: row?.['before_digest'] ?? null, after: row?.['after_digest'] ?? null },
  };
}

/** What of a backfill went into which rows, for the lineage. Nothing is written where nothing was changed. */
export async function recordBackfill(
  session: Queryable,
  owner: RangeOwner,
  entry: Pick<LineageEntry, 'object' | 'lower' | 'upper' | 'requestedBy'> & Changed,
): Promise<void> {
  if (entry.rows === 0) return;
  await recordLineage(session, { ...owner, direction: 'up', kind: 'backfill', ...entry });
}
