import type { Direction, RunRef } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import type { Place } from './range-ledger.ts';

/** Who changed which rows of what, when and how many: written in the transaction that changed them. */
export interface LineageEntry {
  run: RunRef;
  step: string;
  direction: Direction;
  kind: string;
  /** The table's qualified, quoted name. */
  object: string;
  lower: Place | null;
  upper: Place | null;
  rows: number;
  requestedBy: string;
  /** `bit_xor` of the hashes of the rows' altered columns, before and after, as a bigint's text; null: nobody looked. */
  digests?: { before: string | null; after: string | null };
}

export async function recordLineage(session: Queryable, entry: LineageEntry): Promise<void> {
  const { run, step, direction, kind, object, lower, upper, rows, requestedBy, digests } = entry;
  await session.query(
    `INSERT INTO switchback.lineage (migration, version, epoch, step, direction, kind, object, lower_key, upper_key, rows_changed, requested_by,
       before_digest, after_digest)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
    [
      ...[run.migration, run.version, run.epoch, step, direction, kind, object, lower, upper, rows, requestedBy],
      ...[digests?.before ?? null, digests?.after ?? null],
    ],
  );
}
