import { dualWriteNames, removeDualWrite } from '../adapters/postgres/dual-write.ts';
import type { DualWriteDetail } from '../adapters/postgres/dual-write-function.ts';
import { costWords, measureWrite, type WriteCost } from '../adapters/postgres/dual-write-cost.ts';
import { planDualWrite } from '../adapters/postgres/dual-write-plan.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import type { Effect } from './effect.ts';
import { tableSyncDown, tableSyncUp } from './table-sync.ts';
import { underLock } from './under-lock.ts';

/** Keeps old and new columns of a table in step by triggers. Each effect is one transaction under a short lock. */
export const dualWrite: Effect<'dual-write'> = {
  async up(input, context) {
    const { step } = input;
    if (step.from !== undefined && step.to !== undefined) return tableSyncUp(input, context);
    const table = step.table ?? '';
    const wish = { schema: step.schema, table, up: step.up, down: step.down ?? null, bothWritten: step.bothWritten };
    const names = dualWriteNames(input.run, step.id);
    let cost: WriteCost | null | undefined;
    return underLock(
      input,
      context,
      `the triggers of step "${step.id}" on ${quoteTable(step.schema, table)}`,
      async (session, ledger, key, lock) => {
        const record = await ledger.enter(session, key);
        if (record.state === 'applied') return { note: record.note ?? 'already in force', progress: null };
        // The checks take the table's weakest lock: that too is waited for no longer than the ladder says.
        await lock();
        const plan = await planDualWrite(session, wish, names);
        const { detail, statements } = plan;
        // Before the table's lock is asked for, and once: a try that doesn't get it is made again.
        cost ??= await measureWrite(session, plan);
        context.signal.throwIfAborted();
        for (const statement of statements) await session.query(statement);
        const note = cost === null ? describe(detail) : `${describe(detail)}; ${costWords(cost)}`;
        await ledger.record(session, key, 'applied', { detail: { dualWrite: detail, ...(cost && { cost }) }, note });
        return { note, progress: null };
      },
    );
  },

  async down(input, context) {
    const { step } = input;
    if (step.from !== undefined) return tableSyncDown(input, context);
    const purpose = `removing the triggers of step "${step.id}" from ${quoteTable(step.schema, step.table ?? '')}`;
    return underLock(input, context, purpose, async (session, ledger, key, lock) => {
      const record = await ledger.enter(session, key);
      const detail = record.detail['dualWrite'] as DualWriteDetail | undefined;
      // Without a detail nothing of ours was ever made here: what has such a name is someone else's.
      const made = detail !== undefined && (record.state === 'applied' || record.state === 'undoing');
      if (made) {
        await lock();
        for (const statement of removeDualWrite(detail)) await session.query(statement);
      }
      const note = made ? 'triggers and marker removed' : 'nothing to remove';
      if (record.state !== 'undone') await ledger.record(session, key, 'undone', { note });
      return { note, progress: null };
    });
  },
};

const describe = ({ schema, table, up, down }: DualWriteDetail): string => {
  const names = Object.keys(up).join(', ');
  return down === null
    ? `${names} of ${quoteTable(schema, table)} follow the old columns`
    : `${names} and ${Object.keys(down).join(', ')} of ${quoteTable(schema, table)} are kept in step`;
};
