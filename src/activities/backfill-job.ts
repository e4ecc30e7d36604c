import type { Database } from '../adapters/postgres/database.ts';
import type { RangeOwner } from '../adapters/postgres/range-ledger.ts';
import { StepLedger, type StepKey, type StepRecord } from '../adapters/postgres/step-ledger.ts';
import type { EffectContext, EffectInput, EffectResult } from './effect.ts';

/** A backfill and its place in the ledger. */
export interface Job {
  database: Database;
  ledger: StepLedger;
  key: StepKey;
  owner: RangeOwner;
}

export function jobOf({ run, phase, step, of }: EffectInput<'backfill'>, { deps }: EffectContext): Job {
  const database = deps.databases.get(step.database ?? of?.database ?? '');
  return {
    database,
    ledger: new StepLedger(database),
    key: { run, phase, step: step.id, kind: step.uses },
    owner: { run, step: step.id },
  };
}

/** What a step answers that is done already. */
export function resultOf(record: StepRecord): EffectResult {
  const keys = record.detail['keys'] as number | null | undefined;
  const progress = typeof keys === 'number' ? { done: keys, total: keys, perSecond: null, etaSeconds: 0 } : null;
  return { note: record.note ?? 'done before', progress };
}
