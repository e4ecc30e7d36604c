import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { useSettings } from './ddl-apply.ts';
import { dualWritesInWords } from './dual-write.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { callsOf, seeStatements, watchReaders } from './retire-readers.ts';
import { foreignKeysTo, tableReferences } from './retire-table-references.ts';
import {
  climb,
  enterUp,
  retiredName,
  retiredTarget,
  retireRefused,
  type RetireTarget,
  type RetireWork,
  stillInUse,
  targetLabel,
} from './retire-work.ts';
import { renameTableInSyncs } from './table-sync-follow.ts';

/**
 * Takes a whole table out of use by another name. Its rows, indexes, sequences, grants and foreign keys stay as they
 * are; so do the foreign keys of other tables, which go on holding.
 */
export interface TableTarget extends RetireTarget {
  column: null;
}
export interface RetiredTableDetail extends TableTarget {
  retiredName: string;
  /** Calls of statements that named it under its retired name already then; null: nobody could look. */
  readers: Record<string, number> | null;
}
type Work = RetireWork<TableTarget>;

/** Answers with what was done: one line. Throws `StillInUse` naming whatever still names the table. */
export async function retireTable(work: Work): Promise<string> {
  const { target, ledger, key } = work;
  if ((await ledger.read(key))?.state === 'applied') return 'was retired before';
  const seen = await watchReaders(work);
  return climb(work, `retiring table ${targetLabel(target)}`, async (transaction, lockTimeoutMs) => {
    if ((await enterUp(work, transaction)) === 'done') return 'was retired before';
    await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
    const detail = await planRetirement(work, transaction);
    await rename(transaction, target.schema, target.table, detail.retiredName);
    const synced = await renameTableInSyncs(transaction, target.schema, { from: target.table, to: detail.retiredName });
    const held = await foreignKeysTo(transaction, target.schema, detail.retiredName);
    const note = [
      `${targetLabel(target)} is out of use as "${detail.retiredName}"`,
      ...(synced > 0 ? ['its triggers keep it current'] : []),
      ...(held.length > 0 ? [`foreign keys that go on holding: ${held.join(', ')}`] : []),
      seen,
    ].join('; ');
    await ledger.record(transaction, key, 'applied', { detail: { retired: detail }, note });
    return note;
  });
}

async function planRetirement(work: Work, transaction: Queryable): Promise<RetiredTableDetail> {
  const { key, target } = work;
  const found = await readTable(transaction, target.schema, target.table);
  if (found === null) throw retireRefused(target, 'does not exist', 'look at the table that the step names');
  if (found.kind !== 'r' && found.kind !== 'p')
    throw retireRefused(
      target,
      `is not a table (relkind ${found.kind})`,
      'views and foreign tables are dropped by a `ddl` step with `down`',
    );
  if (found.parent !== null) {
    throw retireRefused(
      target,
      `is part of ${found.parent}, through which its rows would still be read`,
      'detach it in an earlier `ddl` step, then retry',
    );
  }
  const writes = await dualWritesInWords(transaction, target.schema, target.table);
  const references = [
    ...writes.map((words) => `the dual write of ${words}`),
    ...(await tableReferences(transaction, target)),
  ];
  if (references.length > 0) {
    throw stillInUse(
      target,
      `is still named by ${references.join(', ')}`,
      'change or drop them in an earlier step, then retry',
    );
  }
  const name = retiredName(key.run.migration, target.table);
  if ((await readTable(transaction, target.schema, name)) !== null) throw foreign(target.schema, name);
  const readers = await seeStatements(work, retiredTarget(target, name));
  return { ...target, retiredName: name, readers: readers.seen ? callsOf(readers.calls) : null };
}

/** The reverse: a rename. */
export async function bringBackTable(work: Work): Promise<string> {
  const { target, ledger, key } = work;
  const { schema, table } = target;
  return climb(work, `bringing back table ${targetLabel(target)}`, async (transaction, lockTimeoutMs) => {
    const record = await ledger.enter(transaction, key);
    const retired = record.detail['retired'] as RetiredTableDetail | undefined;
    const note = `${targetLabel(target)} is back in use`;
    if (record.state === 'undone' && retired !== undefined) return note;
    if (record.state !== 'applied' || retired === undefined) {
      if (record.state !== 'undone') await ledger.record(transaction, key, 'undone');
      return `${targetLabel(target)} had not been retired`;
    }
    await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
    if ((await readTable(transaction, schema, retired.retiredName)) === null) {
      throw new SwitchbackError('SchemaDrift', `the retired table ${quoteTable(schema, retired.retiredName)} is gone`, {
        hint: 'bring the table back by hand, then skip the undo of this step',
        fields: { schema, table: retired.retiredName },
      });
    }
    if ((await readTable(transaction, schema, table)) !== null) throw foreign(schema, table);
    await rename(transaction, schema, retired.retiredName, table);
    await renameTableInSyncs(transaction, schema, { from: retired.retiredName, to: table });
    await ledger.record(transaction, key, 'undone', { note });
    return note;
  });
}

const rename = (transaction: Queryable, schema: string, from: string, to: string): Promise<unknown> =>
  transaction.query(`ALTER TABLE ${quoteTable(schema, from)} RENAME TO ${quoteIdentifier(to)}`);

const foreign = (schema: string, name: string): SwitchbackError =>
  new SwitchbackError('ForeignObject', `${quoteTable(schema, name)} is there and not ours; it is left alone`, {
    hint: 'look where it comes from; rename or drop it, then retry',
    fields: { schema, table: name },
  });

async function readTable(
  session: Queryable,
  schema: string,
  name: string,
): Promise<{ kind: string; parent: string | null } | null> {
  const [row] = await session.query(
    `SELECT c.relkind AS kind, (SELECT string_agg(i.inhparent::regclass::text, ', ') FROM pg_inherits i WHERE i.inhrelid = c.oid) AS parent
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2`,
    [schema, name],
  );
  return row === undefined ? null : { kind: row['kind'] ?? '', parent: row['parent'] ?? null };
}
