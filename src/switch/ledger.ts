import type { SwitchCounts } from './counters.ts';
import { isStage, type Stage } from './stage.ts';

/** The home ledger, as a `Pool` of `pg` gives it: any other driver fits that answers like this. */
export interface Ledger {
  query(text: string, values: unknown[]): Promise<{ rows: Record<string, unknown>[] }>;
}

/** Who tells the ledger something. */
export interface Identity {
  environment: string;
  flag: string;
  service: string;
  /** Of this process alone: a restarted one has another. */
  instance: string;
}

export interface StageRow {
  stage: Stage;
  generation: number;
}
export interface Told {
  stage: Stage;
  generation: number;
  exposure: number;
  counts: SwitchCounts;
  /** Number of the beat: one that was held up on its way never overwrites a later one. */
  beat: number;
  leaseMs: number;
}

/**
 * Renews the lease and reads the stage in one round trip. The stage is read as it was when the statement began, so
 * that whoever has just come must read it once more when its own row is there: see lease.ts.
 */
const BEAT = `
WITH beat AS (
  INSERT INTO switchback.instances AS i
    (environment, flag, instance, service, stage, generation, exposure, counts, lease_until)
  VALUES ($1, $2, $3, $4, $5, $6::bigint, $7::integer, $8::jsonb, clock_timestamp() + $9::integer * interval '1 millisecond')
  ON CONFLICT (environment, flag, instance) DO UPDATE SET stage = excluded.stage, generation = excluded.generation,
    exposure = excluded.exposure, counts = excluded.counts, seen_at = clock_timestamp(), lease_until = excluded.lease_until
  WHERE (i.counts->>'beat')::bigint < (excluded.counts->>'beat')::bigint
)
SELECT stage, generation::text AS generation FROM switchback.stages WHERE environment = $1 AND flag = $2`;

export async function tellAndRead(ledger: Ledger, of: Identity, told: Told): Promise<StageRow | null> {
  const { rows } = await ledger.query(BEAT, [
    ...[of.environment, of.flag, of.instance, of.service],
    ...[told.stage, String(told.generation), told.exposure],
    ...[JSON.stringify({ ...told.counts, beat: told.beat }), told.leaseMs],
  ]);
  const [row] = rows;
  if (row === undefined) return null;
  const stage = row['stage'];
  if (!isStage(stage)) throw new Error('the ledger holds a stage that this version does not know');
  return { stage, generation: Number(row['generation']) };
}

/** Says goodbye: nobody waits for this instance any more. */
export async function goodbye(ledger: Ledger, of: Identity): Promise<void> {
  await ledger.query('DELETE FROM switchback.instances WHERE environment = $1 AND flag = $2 AND instance = $3', [
    of.environment,
    of.flag,
    of.instance,
  ]);
}

/** Gives up after `timeoutMs`; what the query does later is nobody's business any more. */
export async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => late.reject(Object.assign(new Error('the ledger did not answer in time'), { code: 'ETIMEDOUT' })),
    timeoutMs,
  );
  timer.unref();
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
    work.catch(() => undefined);
  }
}
