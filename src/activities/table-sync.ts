import { quoteTable } from '../adapters/postgres/identifier.ts';
import { planTableSync, removeTableSync, tableSyncNames, type TableSyncWish } from '../adapters/postgres/table-sync.ts';
import type { TableSyncDetail } from '../adapters/postgres/table-sync-shape.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { EffectContext, EffectInput, EffectResult } from './effect.ts';
import { underLock } from './under-lock.ts';

/** Keeps two tables in step by triggers. Each effect is one transaction under a short lock on both. */
type Input = EffectInput<'dual-write'>;

export async function tableSyncUp(input: Input, context: EffectContext): Promise<EffectResult> {
  const wish = tableSyncWish(input.step);
  const names = tableSyncNames(input.run, input.step.id);
  const purpose = `the triggers of step "${input.step.id}" on ${tablesOf(wish)}`;
  return underLock(input, context, purpose, async (session, ledger, key, lock) => {
    const record = await ledger.enter(session, key);
    if (record.state === 'applied') return { note: record.note ?? 'already in force', progress: null };
    // The checks take the tables' weakest lock: that too is waited for no longer than the ladder says.
    await lock();
    const { detail, statements, note } = await planTableSync(session, wish, names);
    for (const statement of statements) await session.query(statement);
    await ledger.record(session, key, 'applied', { detail: { tableSync: detail }, note });
    return { note, progress: null };
  });
}

export async function tableSyncDown(input: Input, context: EffectContext): Promise<EffectResult> {
  const purpose = `removing the triggers of step "${input.step.id}" from ${tablesOf(tableSyncWish(input.step))}`;
  return underLock(input, context, purpose, async (session, ledger, key, lock) => {
    const record = await ledger.enter(session, key);
    const detail = record.detail['tableSync'] as TableSyncDetail | undefined;
    // Without a detail nothing of ours was ever made here: what has such a name is someone else's.
    const made = detail !== undefined && (record.state === 'applied' || record.state === 'undoing');
    if (made) {
      await lock();
      for (const statement of removeTableSync(detail)) await session.query(statement);
    }
    const note = made ? 'triggers and markers removed; the rows of both tables stay' : 'nothing to remove';
    if (record.state !== 'undone') await ledger.record(session, key, 'undone', { note });
    return { note, progress: null };
  });
}

const tablesOf = ({ schema, from, to }: TableSyncWish): string =>
  `${quoteTable(schema, from.table)} and ${quoteTable(schema, to.table)}`;

/** What the step asks for. */
export function tableSyncWish(step: Input['step']): TableSyncWish {
  const { from, to, schema, up, down, bothWritten } = step;
  if (from === undefined || to === undefined)
    throw new SwitchbackError('PlanInvalid', `step "${step.id}" names one table of two`, { fields: { step: step.id } });
  return {
    schema,
    from: { table: from.table, key: [from.key].flat() },
    to: { table: to.table, key: [to.key].flat() },
    up,
    down: down ?? null,
    bothWritten,
  };
}
