import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { useSettings } from './ddl-apply.ts';
import { dualWritesToRemove, goesAlong, refuseDependents } from './drop-dependents.ts';
import { lossOfOthers, refuseLoss } from './drop-loss.ts';
import { notDueYet, type Retirement, retirementOf } from './drop-retirement.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { recordLineage } from './lineage.ts';
import { calledSince, readersFound, seeStatements } from './retire-readers.ts';
import {
  climb,
  enterUp,
  retiredTarget,
  type RetireTarget,
  type RetireWork,
  stillInUse,
  targetLabel,
  targetWords,
} from './retire-work.ts';

/**
 * Drops what was retired: the point of no return. Everything that speaks against it is looked at first, without a lock;
 * then one transaction looks at the retention and at what stands on it once more, removes the triggers that kept it in
 * step, drops it, and is on record with that.
 */
export interface DropWork extends RetireWork {
  retentionMs: number;
  /** How many rows may lose a value that nothing else keeps. */
  acceptedLoss: number;
  requestedBy: string;
}
/** What the ledger keeps of it. */
export interface DroppedDetail extends RetireTarget {
  retiredName: string;
  /** Dual-write steps whose triggers and marker went with it. */
  dualWrites: string[];
  /** Indexes and the like that went with it. */
  along: string[];
  rowsLost: number;
  /** Columns out of use that nothing keeps in step any more, by their names: how many rows of each had a value of its own. */
  left: Record<string, number>;
}
const DEPENDENT_OBJECTS = '2BP01';

/** Answers with what was done: one line. Throws `NotDueYet`, `StillInUse`, `ValuesLost`, `SchemaDrift`, `Fenced`. */
export async function dropRetired(work: DropWork): Promise<string> {
  const { ledger, key, target } = work;
  const looked = await lookFirst(work);
  if ('note' in looked) return looked.note;
  const { retiredName, rowsLost, left } = looked;
  return climb(work, `dropping ${targetWords(target)}`, async (transaction, lockTimeoutMs) => {
    if ((await enterUp(work, transaction)) === 'done') return 'was dropped before';
    await dueRetirement(transaction, work);
    await assertThere(transaction, target, retiredName);
    await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
    const { steps, statements } = await dualWritesToRemove(transaction, target, retiredName);
    for (const statement of statements) await transaction.query(statement);
    await refuseDependents(transaction, target, retiredName);
    const along = await goesAlong(transaction, target, retiredName);
    await dropIt(transaction, target, retiredName);
    const dropped: DroppedDetail = { ...target, retiredName, dualWrites: steps, along, rowsLost, left };
    const note = noteOf(dropped);
    await recordLineage(transaction, {
      run: key.run,
      step: key.step,
      direction: 'up',
      kind: 'drop',
      object: quoteTable(target.schema, target.table),
      lower: null,
      upper: null,
      rows: rowsLost,
      requestedBy: work.requestedBy,
    });
    await ledger.record(transaction, key, 'applied', { detail: { dropped }, note });
    return note;
  });
}

/** Everything that speaks against the drop, looked at without a lock; or the note of a drop that took effect already. */
async function lookFirst(
  work: DropWork,
): Promise<{ note: string } | Pick<DroppedDetail, 'retiredName' | 'rowsLost' | 'left'>> {
  const { database, ledger, key, target } = work;
  const dropped = async (): Promise<{ note: string } | null> => {
    const record = await ledger.read(key);
    return record?.state === 'applied' ? { note: record.note ?? 'was dropped before' } : null;
  };
  const before = await dropped();
  if (before !== null) return before;
  try {
    const retirement = await dueRetirement(database, work);
    const { retiredName } = retirement.detail;
    await assertThere(database, target, retiredName);
    await refuseDependents(database, target, retiredName);
    await refuseReaders(work, retirement);
    const rowsLost = await refuseLoss(work, retiredName, work.acceptedLoss);
    const others = (await dualWritesToRemove(database, target, retiredName)).left;
    return { retiredName, rowsLost, left: await lossOfOthers(work, others) };
  } catch (error) {
    // Another worker may have dropped it while we looked: then what isn't there any more is no fault.
    const meanwhile = await dropped();
    if (meanwhile !== null) return meanwhile;
    throw error;
  }
}

/** What is dropped can't come back: a drop that took effect is refused, another one can't take effect any more. */
export async function refuseUndrop(work: RetireWork): Promise<string> {
  const { database, ledger, key, target } = work;
  return database.transaction(async (transaction) => {
    const record = await ledger.enter(transaction, key);
    if (record.state === 'applied') {
      throw new SwitchbackError('NotReversible', `${targetWords(target)} was dropped: that can't be undone`, {
        hint: 'what came before it stays as it is; restore the data from a backup where it is needed',
        fields: { step: key.step },
      });
    }
    const note = 'nothing had been dropped';
    if (record.state !== 'undone') await ledger.record(transaction, key, 'undone', { note });
    return note;
  });
}

async function dueRetirement(session: Queryable, { key, target, retentionMs }: DropWork): Promise<Retirement> {
  const retirement = await retirementOf(session, key.run, target, retentionMs);
  if (retirement.dueInMs > 0) throw notDueYet(target, retirement.dueAt, 'its retention is not over');
  return retirement;
}

/** Since it was retired, who names it by its retired name reads it on purpose. Its old name can't be used any more. */
async function refuseReaders(work: DropWork, { detail }: Retirement): Promise<void> {
  const now = await seeStatements(work, retiredTarget(work.target, detail.retiredName));
  if (!now.seen) return;
  const called = calledSince(detail.readers ?? {}, now.calls);
  if (called.length > 0) throw readersFound(work.target, called);
}

async function assertThere(session: Queryable, { schema, table, column }: RetireTarget, name: string): Promise<void> {
  const rows =
    column === null
      ? await session.query(
          'SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2',
          [schema, name],
        )
      : await session.query(
          `SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
           WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND NOT a.attisdropped`,
          [schema, table, name],
        );
  if (rows.length > 0) return;
  throw new SwitchbackError(
    'SchemaDrift',
    `the retired ${column === null ? 'table' : 'column'} "${name}" is gone already, by someone else`,
    {
      hint: 'see who dropped it; skip this step where that is as it should be',
      fields: { schema, table, name },
    },
  );
}

async function dropIt(transaction: Queryable, target: RetireTarget, name: string): Promise<void> {
  try {
    await transaction.query(
      target.column === null
        ? `DROP TABLE ${quoteTable(target.schema, name)}`
        : `ALTER TABLE ${quoteTable(target.schema, target.table)} DROP COLUMN ${quoteIdentifier(name)}`,
    );
  } catch (error) {
    if (!(error instanceof PostgresError) || error.sqlState !== DEPENDENT_OBJECTS) throw error;
    throw stillInUse(target, `can't be dropped: ${error.message}`, 'change or drop what stands on it, then retry');
  }
}

const noteOf = (dropped: DroppedDetail): string =>
  [
    `${targetLabel(dropped)} is dropped`,
    ...(dropped.dualWrites.length > 0 ? [`the triggers of ${dropped.dualWrites.join(', ')} went with it`] : []),
    ...(dropped.along.length > 0 ? [`so did ${dropped.along.join(', ')}`] : []),
    ...(dropped.rowsLost > 0
      ? [`values of ${dropped.rowsLost.toLocaleString('en-US')} rows are lost, as the plan accepts`]
      : []),
  ].join('; ');
