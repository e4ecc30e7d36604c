import { bytesOfRoom } from '../adapters/postgres/disk-room.ts';
import type { BackfillPlan } from '../adapters/postgres/backfill-plan.ts';
import type { Database, Queryable } from '../adapters/postgres/database.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import { indexesHolding, shareMatching, sizesOf, type WriteCost } from '../adapters/postgres/write-cost.ts';
import { count, SwitchbackError } from '../messages/index.ts';
import { backfillDiskBytes } from '../sql/index.ts';
import { bytesInWords, listed } from '../sql/rules/relation-words.ts';
import { BACKFILL_ROOM } from '../sql/rules/step-rules.ts';

/** Below this the ledger's own writes are too large a part of it. */
const TOLD_FROM_ROWS = 10_000;

/** `389 bytes of WAL a row`, `12 % of the updates were HOT`; nothing for few rows. `rows`: changed while it was measured. */
export async function costWords(
  session: Queryable,
  { shape, wish }: BackfillPlan,
  { walBytes, exact, updates, hot }: WriteCost,
  rows: number,
): Promise<string[]> {
  if (rows < TOLD_FROM_ROWS) return [];
  const wal = `${exact ? '' : 'at most '}${count(walBytes / rows)} bytes of WAL a row`;
  if (updates === 0) return [wal];
  const indexes = await indexesHolding(session, shape, Object.keys(wish.set));
  const because =
    indexes.length === 0 ? '' : `, for ${listed(indexes)} ${indexes.length === 1 ? 'holds' : 'hold'} what was set`;
  return [wal, `${Math.floor((100 * hot) / updates)} % of the updates were HOT${because}`];
}

/** Throws `RuleViolated` where the table, its indexes and the WAL would outgrow the room that the database has. */
export async function assertRoom(
  session: Queryable,
  database: Database,
  { shape, wish, work }: BackfillPlan,
): Promise<void> {
  const room = await bytesOfRoom(session, database.room);
  if (room === null || work === null) return;
  const sizes = await sizesOf(session, shape);
  if (backfillDiskBytes(sizes) <= room) return;
  const share = wish.where === null ? 1 : await shareMatching(session, shape, work);
  const bytes = backfillDiskBytes(sizes, share);
  if (bytes <= room) return;
  const name = quoteTable(shape.schema, shape.table);
  throw new SwitchbackError(
    'RuleViolated',
    `changing the rows of ${name} needs about ${bytesInWords(bytes)} of disk, and there is room for ${bytesInWords(room)} (${BACKFILL_ROOM.code})`,
    {
      hint: 'make room, or raise `room` of the database where it may grow further, then retry the step',
      fields: { table: name, rules: BACKFILL_ROOM.code },
    },
  );
}
