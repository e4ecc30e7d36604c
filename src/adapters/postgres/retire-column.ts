import { createHash } from 'node:crypto';
import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { useSettings } from './ddl-apply.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { callsOf, seeStatements, watchReaders } from './retire-readers.ts';
import { columnReferences } from './retire-references.ts';
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
import { followColumn } from './table-sync-follow.ts';

/**
 * Takes a column out of use by another name, in one transaction with the sync triggers, so that it goes on being
 * filled and can come back in a moment with current data.
 */
export interface ColumnTarget extends RetireTarget {
  column: string;
}
export { retiredName };
type Work = RetireWork<ColumnTarget>;
export interface RetiredDetail extends ColumnTarget {
  retiredName: string;
  /** The name of its NOT NULL (below Postgres 18: of the check that stands in for it on return); null: it had none. */
  notNull: string | null;
  /** Partitions with a NOT NULL of their own: it goes with the table's, and would come back under the table's name. */
  ownNotNull: { schema: string; table: string; name: string }[];
  /** It has its name back; what is left is to look through the rows that NOT NULL holds again. */
  broughtBack: boolean;
  /** Calls of statements that named it under its retired name already then; null: nobody could look. */
  readers?: Record<string, number> | null;
}

const NAMED_NOT_NULL_SINCE = 180_000;

/** Answers with what was done: one line. Throws `StatementFailed` naming whatever still names the column. */
export async function retireColumn(work: Work): Promise<string> {
  const { target } = work;
  if ((await work.ledger.read(work.key))?.state === 'applied') return 'was retired before';
  const seen = await watchReaders(work);
  return climb(work, `retiring column ${targetLabel(target)}`, async (transaction, lockTimeoutMs) => {
    if ((await enterUp(work, transaction)) === 'done') return 'was retired before';
    await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
    const detail = await planRetirement(work, transaction);
    for (const statement of retireStatements(detail)) await transaction.query(statement);
    const rewritten = await followColumn(transaction, target.schema, target.table, {
      from: target.column,
      to: detail.retiredName,
    });
    const kept = rewritten > 0 ? '; its triggers keep it current' : '';
    const note = `${targetLabel(target)} is out of use as "${detail.retiredName}"${kept}; ${seen}`;
    await work.ledger.record(transaction, work.key, 'applied', { detail: { retired: detail }, note });
    return note;
  });
}

async function planRetirement(work: Work, transaction: Queryable): Promise<RetiredDetail> {
  const { key, target } = work;
  const found = await readColumn(transaction, target);
  if (found === null)
    throw retireRefused(target, 'does not exist', 'look at the table and the column that the step names');
  if (found.inKey) {
    throw retireRefused(
      target,
      'is part of the primary key, which can’t be out of use',
      'move the primary key to another column in an earlier `ddl` step',
    );
  }
  const references = await columnReferences(transaction, target);
  if (references.length > 0) {
    throw stillInUse(
      target,
      `is still named by ${references.join(', ')}`,
      'change or drop them in an earlier `ddl` step, then retry',
    );
  }
  const name = retiredName(key.run.migration, target.column);
  if ((await readColumn(transaction, { ...target, column: name })) !== null) {
    throw new SwitchbackError(
      'ForeignObject',
      `${quoteTable(target.schema, target.table)} has a column "${name}" already; it is left alone`,
      {
        hint: 'look where it comes from; rename or drop it, then retry',
        fields: { table: target.table, column: name },
      },
    );
  }
  const readers = await seeStatements(work, retiredTarget(target, name));
  return {
    ...target,
    retiredName: name,
    notNull: found.notNull,
    ownNotNull: found.ownNotNull,
    broughtBack: false,
    readers: readers.seen ? callsOf(readers.calls) : null,
  };
}

/** A client that no longer knows the column gives no value for it, and `down` may have none to give. */
function retireStatements({ schema, table, column, retiredName: name, notNull }: RetiredDetail): string[] {
  const alter = `ALTER TABLE ${quoteTable(schema, table)}`;
  return [
    ...(notNull === null ? [] : [`${alter} ALTER COLUMN ${quoteIdentifier(column)} DROP NOT NULL`]),
    `${alter} RENAME COLUMN ${quoteIdentifier(column)} TO ${quoteIdentifier(name)}`,
  ];
}

/** The reverse. The column is back first, for whoever needs it; then the rows are looked through for NOT NULL. */
export async function bringBackColumn(work: Work): Promise<string> {
  const { target, ledger, key } = work;
  const label = targetLabel(target);
  const detail = await climb(work, `bringing back column ${label}`, async (transaction, lockTimeoutMs) => {
    const record = await ledger.enter(transaction, key);
    const retired = record.detail['retired'] as RetiredDetail | undefined;
    if (record.state === 'undone' || retired === undefined) {
      if (record.state !== 'undone') await ledger.record(transaction, key, 'undone');
      return null;
    }
    if (retired.broughtBack) return retired;
    await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
    await assertStillRetired(transaction, retired);
    const server = await serverVersion(transaction);
    for (const statement of bringBackStatements(retired, server)) await transaction.query(statement);
    await followColumn(transaction, target.schema, target.table, {
      from: retired.retiredName,
      to: target.column,
    });
    const next: RetiredDetail = { ...retired, broughtBack: true };
    await ledger.record(transaction, key, retired.notNull === null ? 'undone' : 'undoing', {
      detail: { retired: next },
    });
    return next;
  });
  if (detail === null) return `${label} had not been retired`;
  if (detail.notNull !== null) await validateNotNull(work, detail);
  return `${label} is back in use, with current data`;
}

function bringBackStatements(
  { schema, table, column, retiredName: name, notNull, ownNotNull }: RetiredDetail,
  server: number,
): string[] {
  const alter = `ALTER TABLE ${quoteTable(schema, table)}`;
  const back = `${alter} RENAME COLUMN ${quoteIdentifier(name)} TO ${quoteIdentifier(column)}`;
  if (notNull === null) return [back];
  const held =
    server >= NAMED_NOT_NULL_SINCE
      ? `NOT NULL ${quoteIdentifier(column)}`
      : `CHECK (${quoteIdentifier(column)} IS NOT NULL)`;
  const own = ownNotNull.map(
    (of) =>
      `ALTER TABLE ${quoteTable(of.schema, of.table)} ADD CONSTRAINT ${quoteIdentifier(of.name)} NOT NULL ${quoteIdentifier(column)} NOT VALID`,
  );
  return [back, ...own, `${alter} ADD CONSTRAINT ${quoteIdentifier(notNull)} ${held} NOT VALID`];
}

async function assertStillRetired(
  transaction: Queryable,
  { schema, table, column, retiredName: name }: RetiredDetail,
): Promise<void> {
  if ((await readColumn(transaction, { schema, table, column: name })) === null) {
    throw new SwitchbackError('SchemaDrift', `the retired column "${name}" of ${quoteTable(schema, table)} is gone`, {
      hint: 'bring the column back by hand, then skip the undo of this step',
      fields: { table, column: name },
    });
  }
  if ((await readColumn(transaction, { schema, table, column })) !== null) {
    throw new SwitchbackError(
      'ForeignObject',
      `${quoteTable(schema, table)} has a new column "${column}"; it is left alone`,
      {
        hint: `rename it, so that the retired one ("${name}") can have its name back, then retry`,
        fields: { table, column },
      },
    );
  }
}

/** Holds up nobody: VALIDATE reads the rows beside writers. */
async function validateNotNull(work: Work, { schema, table, column, notNull }: RetiredDetail): Promise<void> {
  await climb(work, `checking NOT NULL of "${table}.${column}"`, async (transaction, lockTimeoutMs) => {
    const record = await work.ledger.enter(transaction, work.key);
    if (record.state === 'undone' || notNull === null) return;
    await useSettings(transaction, { schema: null, lockTimeoutMs, statementTimeoutMs: 0 });
    const alter = `ALTER TABLE ${quoteTable(schema, table)}`;
    try {
      await transaction.query(`${alter} VALIDATE CONSTRAINT ${quoteIdentifier(notNull)}`);
      if ((await serverVersion(transaction)) < NAMED_NOT_NULL_SINCE) {
        await transaction.query(
          `${alter} ALTER COLUMN ${quoteIdentifier(column)} SET NOT NULL, DROP CONSTRAINT ${quoteIdentifier(notNull)}`,
        );
      }
    } catch (error) {
      if (!(error instanceof SwitchbackError) || !String(error.fields['sqlState']).startsWith('23')) throw error;
      throw new SwitchbackError(
        'StatementFailed',
        `column ${quoteIdentifier(column)} of ${quoteTable(schema, table)} is back, but holds NULL in some rows, where it was NOT NULL`,
        {
          hint: `give these rows a value (SELECT … WHERE ${quoteIdentifier(column)} IS NULL), then retry`,
          fields: { schema, table, column },
        },
      );
    }
    await work.ledger.record(transaction, work.key, 'undone');
  });
}

const serverVersion = async (session: Queryable): Promise<number> =>
  Number((await session.query("SELECT current_setting('server_version_num') AS version"))[0]?.['version']);

interface FoundColumn {
  inKey: boolean;
  notNull: string | null;
  ownNotNull: RetiredDetail['ownNotNull'];
}
async function readColumn(session: Queryable, { schema, table, column }: ColumnTarget): Promise<FoundColumn | null> {
  const [row] = await session.query(
    `SELECT a.attnotnull AS not_null,
       (SELECT k.conname FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'n' AND k.conkey = ARRAY[a.attnum]) AS named,
       EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'p' AND a.attnum = ANY (k.conkey)) AS in_key,
       (SELECT coalesce(json_agg(json_build_object('schema', pn.nspname, 'table', p.relname, 'name', k.conname) ORDER BY t.level DESC, k.oid), '[]')
          FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid JOIN pg_namespace pn ON pn.oid = p.relnamespace
            JOIN pg_attribute pa ON pa.attrelid = p.oid AND pa.attname = a.attname
            JOIN pg_constraint k ON k.conrelid = p.oid AND k.contype = 'n' AND k.conkey = ARRAY[pa.attnum]
              AND k.conname <> (SELECT o.conname FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype = 'n' AND o.conkey = ARRAY[a.attnum])
          WHERE t.level > 0) AS own_not_null
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND a.attnum > 0 AND NOT a.attisdropped`,
    [schema, table, column],
  );
  if (row === undefined) return null;
  const standIn = `zz_not_null_${createHash('sha256').update(column).digest('hex').slice(0, 8)}`;
  return {
    inKey: row['in_key'] === 't',
    notNull: row['not_null'] === 't' ? (row['named'] ?? standIn) : null,
    ownNotNull: JSON.parse(row['own_not_null'] ?? '[]') as RetiredDetail['ownNotNull'],
  };
}
