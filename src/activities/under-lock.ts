import type { Queryable } from '../adapters/postgres/database.ts';
import { climbInSession, LADDER } from '../adapters/postgres/lock-ladder.ts';
import { StepLedger, type StepKey } from '../adapters/postgres/step-ledger.ts';
import type { EffectContext, EffectInput, EffectResult } from './effect.ts';

type Input = EffectInput<'dual-write'>;
type Work = (
  session: Queryable,
  ledger: StepLedger,
  key: StepKey,
  lock: () => Promise<unknown>,
) => Promise<EffectResult>;

/** Runs `work` in one transaction; what follows its `lock()` gives up after a short wait and is tried again. */
export async function underLock(
  { run, phase, step }: Input,
  context: EffectContext,
  purpose: string,
  work: Work,
): Promise<EffectResult> {
  const database = context.deps.databases.get(step.database);
  const ledger = new StepLedger(database);
  const key: StepKey = { run, phase, step: step.id, kind: step.uses };
  return climbInSession(
    {
      database,
      limits: LADDER,
      signal: context.signal,
      purpose,
      onWait: (note) => context.report({ progress: null, note, blocked: true }),
    },
    (inner, lockTimeoutMs) =>
      work(inner, ledger, key, () => inner.query(`SET LOCAL lock_timeout = ${Math.ceil(lockTimeoutMs)}`)),
  );
}
