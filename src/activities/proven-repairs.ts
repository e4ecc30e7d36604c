import { provenRepaired } from '../adapters/postgres/switch-repairs.ts';
import type { EffectContext, EffectInput } from './effect.ts';
import { flagRefOf } from './flag-change.ts';

type Input = EffectInput<'verify'>;

/**
 * `repairs` of a `verify` step: a whole pass without a difference proves that every write which was queued before it began is
 * on both sides, whoever brought it there. Null where the step doesn't ask for that.
 */
export async function passBegins({ step }: Input, { deps }: EffectContext): Promise<string | null> {
  if (step.repairs === undefined) return null;
  const [row] = await deps.home.database.query('SELECT clock_timestamp()::text AS now');
  return row?.['now'] ?? null;
}

/**
 * Takes them off. Before the step is recorded as done: after a crash in between it is done once more and finds nothing left.
 * A pass that an older version has begun says nothing of when that was, and proves nothing.
 */
export async function takeOffProven(
  { step, flag, run }: Input,
  { deps, report }: EffectContext,
  beganAt: string | null | undefined,
): Promise<void> {
  if (step.repairs === undefined || beganAt == null) return;
  const { environment } = flagRefOf(step.repairs, flag, run.migration);
  const keys = await provenRepaired(deps.home.database, { environment, flag: step.repairs }, beganAt);
  if (keys > 0)
    report({ progress: null, note: `${keys} queued ${keys === 1 ? 'key' : 'keys'} of flag ${step.repairs} proven` });
}
