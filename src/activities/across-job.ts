import type { Both } from '../adapters/postgres/across-read.ts';
import { type Pair, readPair } from '../adapters/postgres/across-side.ts';
import type { Database } from '../adapters/postgres/database.ts';
import type { Place, RangeOwner } from '../adapters/postgres/range-ledger.ts';
import { StepLedger, type StepKey } from '../adapters/postgres/step-ledger.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { StepOf } from '../plan/index.ts';
import type { EffectContext, EffectInput } from './effect.ts';

export type Input = EffectInput<'verify'>;
export type SideOfPlan = NonNullable<StepOf<'verify'>['left']>;

/**
 * A comparison of two tables. Its ranges, its suspects and its record are in the ledger of the right side's database,
 * where it repairs: so what it changes and what it knows of it commit together.
 */
export interface Job {
  databases: Both<Database>;
  wishes: Both<SideOfPlan>;
  /** The ledger of each side, for its fence; the right one's has the record. */
  ledgers: Both<StepLedger>;
  key: StepKey;
  owner: RangeOwner;
}

export function jobOf({ run, phase, step }: Input, { deps }: EffectContext): Job {
  const { left, right } = step;
  if (left === undefined || right === undefined) {
    throw new SwitchbackError('PlanInvalid', `step "${step.id}" has only one of \`left\` and \`right\``, {
      fields: { step: step.id },
    });
  }
  const databases = { left: deps.databases.get(left.database), right: deps.databases.get(right.database) };
  return {
    databases,
    wishes: { left, right },
    ledgers: { left: new StepLedger(databases.left), right: new StepLedger(databases.right) },
    key: { run, phase, step: step.id, kind: step.uses },
    owner: { run, step: step.id },
  };
}

/** Both sides as the catalogs have them now. */
export const pairOf = ({ databases, wishes }: Job): Promise<Pair> =>
  databases.left.transaction((left) => databases.right.transaction((right) => readPair({ left, right }, wishes)));

/** What is kept between passes, and of the pass under way. */
export interface Passes {
  /** The pass under way or the last one; 0 before the first. */
  passes: number;
  /** The last pass whose ranges were taken away: it was judged by whoever did that. */
  judged: number;
  repaired: number;
  repairedInPass: number;
  /** Rows confirmed to differ and not repaired, in this pass. */
  differing: number;
  /** Rows that changed at every look, in this pass. */
  hot: number;
  sample: Place[];
  hotSample: Place[];
  /** When the pass under way began, by the home ledger's clock; for steps with `repairs`. */
  beganAt?: string | null;
}
export const NO_PASSES: Passes = {
  passes: 0,
  judged: 0,
  repaired: 0,
  repairedInPass: 0,
  differing: 0,
  hot: 0,
  sample: [],
  hotSample: [],
};
export const passesOf = (detail: Record<string, unknown>): Passes => ({
  ...NO_PASSES,
  ...(detail['across'] as Partial<Passes> | undefined),
});
