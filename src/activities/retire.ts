import { LADDER } from '../adapters/postgres/lock-ladder.ts';
import { bringBackColumn, type RetireWork, retireColumn } from '../adapters/postgres/retire-column.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { Effect, EffectContext, EffectInput } from './effect.ts';

/** Takes a column out of use: it has a name of ours then, and is kept current. Undone by giving it its name back. */
export const retire: Effect<'retire'> = {
  async up(input, context) {
    return { note: await retireColumn(workOf(input, context)), progress: null };
  },
  async down(input, context) {
    return { note: await bringBackColumn(workOf(input, context)), progress: null };
  },
};

function workOf({ run, phase, step }: EffectInput<'retire'>, { deps, signal, report }: EffectContext): RetireWork {
  const [table, column] = (step.column ?? '').split('.');
  if (table === undefined || column === undefined) {
    throw new SwitchbackError('Unsupported', `step "${step.id}" retires a table; this version retires columns`, {
      hint: 'retire the columns that are out of use, or keep the table',
      fields: { step: step.id },
    });
  }
  const database = deps.databases.get(step.database);
  return {
    database,
    ledger: new StepLedger(database),
    key: { run, phase, step: step.id, kind: step.uses },
    column: { schema: step.schema, table, column },
    limits: LADDER,
    signal,
    onWait: (note) => report({ note, progress: null }),
  };
}
