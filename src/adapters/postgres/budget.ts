import type { Database, Queryable } from './database.ts';
import type { RangeOwner } from './range-ledger.ts';
import { OF_STEP, stepValues } from './step-row.ts';

/**
 * The long steps that work in one database, of all its migrations and all workers: together they shall weigh on it like
 * one. Each holds a lease that it renews every second; one that died loses it by itself.
 */
export interface Walker {
  migration: string;
  step: string;
}

/** Some renewals may be late or lost before the others take over its part. */
export const LEASE_MS = 5_000;

const ownerValues = (owner: RangeOwner): [...ReturnType<typeof stepValues>, number] => [
  ...stepValues(owner),
  owner.run.generation,
];

/**
 * Renews the lease, or takes one, and answers with the others that move now. A step that stands still keeps its lease
 * and leaves its part to the others.
 */
export async function renewLease(
  session: Queryable,
  owner: RangeOwner,
  { parallelism, moving }: { parallelism: number; moving: boolean },
): Promise<Walker[]> {
  const rows = await session.query(
    `WITH renewed AS (
       INSERT INTO switchback.budget AS b (migration, version, epoch, step, generation, parallelism, moving, lease_until)
       VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + $8::float8 * interval '1 ms')
       ON CONFLICT (migration, version, epoch, step) DO UPDATE SET generation = excluded.generation,
         parallelism = excluded.parallelism, moving = excluded.moving, lease_until = excluded.lease_until
         WHERE b.generation <= excluded.generation
     )
     SELECT migration, step FROM switchback.budget
     WHERE NOT (${OF_STEP}) AND moving AND lease_until > clock_timestamp() ORDER BY migration, step`,
    [...ownerValues(owner), parallelism, moving, LEASE_MS],
  );
  return rows.map((row) => ({ migration: row['migration'] ?? '', step: row['step'] ?? '' }));
}

/** Gives the lease back, and removes what dead ones left. */
export async function endLease(database: Database, owner: RangeOwner): Promise<void> {
  await database.query(
    `DELETE FROM switchback.budget WHERE (${OF_STEP} AND generation = $5) OR lease_until < clock_timestamp() - interval '1 hour'`,
    ownerValues(owner),
  );
}
