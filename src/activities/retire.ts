import { LADDER } from '../adapters/postgres/lock-ladder.ts';
import { bringBackColumn, type ColumnTarget, retireColumn } from '../adapters/postgres/retire-column.ts';
import { bringBackTable, retireTable, type TableTarget } from '../adapters/postgres/retire-table.ts';
import type { RetireTarget, RetireWork } from '../adapters/postgres/retire-work.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import type { StepOf } from '../plan/index.ts';
import { usesName } from '../sql/index.ts';
import type { Effect, EffectContext, EffectInput } from './effect.ts';

/**
 * Takes a column or table out of use: it has a name of ours then, and a column is kept current. Undone by giving it its
 * name back.
 */
export const retire: Effect<'retire'> = {
  async up(input, context) {
    const work = retireWork(input, context);
    return { note: isColumn(work) ? await retireColumn(work) : await retireTable(work as TableWork), progress: null };
  },
  async down(input, context) {
    const work = retireWork(input, context);
    const note = isColumn(work) ? await bringBackColumn(work) : await bringBackTable(work as TableWork);
    return { note, progress: null };
  },
};
type ColumnWork = RetireWork<ColumnTarget>;
type TableWork = RetireWork<TableTarget>;
const isColumn = (work: RetireWork): work is ColumnWork => work.target.column !== null;

/** What taking out of use and dropping need of the worker. */
export function retireWork(
  { run, phase, step }: EffectInput<'retire'> | EffectInput<'drop'>,
  { deps, signal, report }: EffectContext,
): RetireWork {
  const database = deps.databases.get(step.database);
  const target = retireTarget(step);
  return {
    database,
    ledger: new StepLedger(database),
    key: { run, phase, step: step.id, kind: step.uses },
    target,
    limits: LADDER,
    uses: usesName,
    signal,
    onWait: (note) => report({ note, progress: null, blocked: true }),
  };
}

/** `column` is `table.column`; the plan's check has seen to it that there is one of the two. */
export function retireTarget(step: StepOf<'retire'> | StepOf<'drop'>): RetireTarget {
  const [table = '', column = ''] = step.column?.split('.') ?? [];
  return step.column === undefined
    ? { schema: step.schema, table: step.table ?? '', column: null }
    : { schema: step.schema, table, column };
}
