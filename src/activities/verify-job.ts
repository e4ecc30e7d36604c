import type { Database, Queryable } from '../adapters/postgres/database.ts';
import type { RangeOwner } from '../adapters/postgres/range-ledger.ts';
import { StepLedger, type StepKey } from '../adapters/postgres/step-ledger.ts';
import { type Comparison, compareWithDualWrite, compareWithExpressions } from '../adapters/postgres/verify.ts';
import { comparePairs } from '../adapters/postgres/table-sync-verify.ts';
import type { SampleRow } from '../adapters/postgres/verify-rows.ts';
import { dualWriteOf, refuseFields, tableSyncOf } from './dual-write-of.ts';
import type { EffectContext, EffectInput } from './effect.ts';
import { type Mask, maskOf, type MaskedTable } from './masking.ts';

export type VerifyInput = EffectInput<'verify'>;

export interface VerifyJob {
  database: Database;
  ledger: StepLedger;
  key: StepKey;
  owner: RangeOwner;
  table: MaskedTable;
  /** Values of rows may be told: the plan says so, and the table isn't labelled. */
  showValues: boolean;
  mask(): Promise<Mask>;
  compare(session: Queryable): Promise<Comparison>;
}

/** What is kept between passes, in the step's record. */
export interface Passes {
  /** The pass under way or the last one; 0 before the first. */
  passes: number;
  /** The last pass whose ranges were taken away: it was judged by whoever did that. */
  judged: number;
  repaired: number;
  repairedInPass: number;
  sample: SampleRow[];
  /** When the pass under way began, by the home ledger's clock; for steps with `repairs`. */
  beganAt?: string | null;
}

export async function verifyJob(
  { run, phase, step, of }: VerifyInput,
  { deps }: EffectContext,
  { undo = false } = {},
): Promise<VerifyJob> {
  const database = deps.databases.get(of?.database ?? step.database ?? '');
  const pairs = of === null || undo ? null : await tableSyncOf(deps, run, of);
  const detail = of === null || undo || of.from !== undefined ? null : await dualWriteOf(deps, run, of);
  const where = step.where ?? null;
  if (pairs !== null)
    refuseFields('verify', step.id, { where: where !== null, aggregates: step.aggregates.length > 0 });
  const table = {
    database: database.name,
    schema: (pairs ?? detail)?.schema ?? step.schema,
    table: pairs?.from.table ?? detail?.table ?? step.table ?? '',
  };
  const mask = async (): Promise<Mask> => {
    const found = await maskOf(deps, run, table);
    // The rows of two tables that are kept in step are the same: what either hides is hidden.
    return pairs === null || found.hides ? found : maskOf(deps, run, { ...table, table: pairs.to.table });
  };
  return {
    database,
    ledger: new StepLedger(database),
    key: { run, phase, step: step.id, kind: step.uses },
    owner: { run, step: step.id },
    table,
    mask,
    showValues: step.showValues && !undo && !(await mask()).hides,
    compare: (session) =>
      pairs !== null
        ? comparePairs(session, pairs)
        : detail === null
          ? compareWithExpressions(session, { ...table, expect: step.expect ?? {}, where })
          : compareWithDualWrite(session, detail, where),
  };
}

export const passesOf = (detail: Record<string, unknown>): Passes => ({
  passes: 0,
  judged: 0,
  repaired: 0,
  repairedInPass: 0,
  sample: [],
  ...(detail['verify'] as Partial<Passes> | undefined),
});
