import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { findDualWrites } from './dual-write.ts';
import type { DualWriteDetail } from './dual-write-function.ts';
import { showKey } from './hidden-values.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { cancellable } from './lock-ladder.ts';
import { findKey, keyText } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { OURS } from './retire-readers.ts';
import { type RetireTarget, type RetireWork, targetFields, targetWords } from './retire-work.ts';
import { searchPath } from './table-expressions.ts';
import { readTableShape } from './table-shape.ts';
import { lostWithout } from './table-sync-follow.ts';
import { compareOneColumn } from './verify.ts';

/**
 * What a drop would lose: rows whose value nothing else gives back. Of a column that a dual write derives, those where
 * it differs from what is derived; of another one, those that have a value; of a table, all.
 */
interface Loss {
  rows: number;
  /** Some of their keys. */
  keys: Place[];
  /** What makes it a loss, in words. */
  why: string;
}
const KEYS_SHOWN_MAX = 5;

/** Throws `ValuesLost` where more rows would lose a value than `accepted`. Answers with how many would. */
export async function refuseLoss(
  work: Pick<RetireWork, 'database' | 'signal' | 'target' | 'onWait'>,
  retiredName: string,
  accepted: number,
): Promise<number> {
  const { database, signal, target } = work;
  work.onWait(`counts the rows of ${target.table} whose values nothing else keeps`);
  const loss = await database.session((session) =>
    cancellable(database, session.pid, signal, () =>
      session.transaction((transaction) => lossOf(transaction, target, retiredName)),
    ),
  );
  if (loss.rows <= accepted) return loss.rows;
  const count = loss.rows.toLocaleString('en-US');
  const keys = loss.keys.map(showKey).join(', ');
  throw new SwitchbackError(
    'ValuesLost',
    `dropping ${targetWords(target)} would lose values of ${count} rows, and the plan accepts ${accepted.toLocaleString('en-US')}: ${loss.why}${keys === '' ? '' : `; keys ${keys}${loss.rows > loss.keys.length ? ', …' : ''}`}`,
    {
      hint: `look at these rows, as they are in "${retiredName}"; a plan that may lose them says \`acceptedLoss: ${loss.rows}\``,
      fields: { ...targetFields(target), rows: loss.rows, accepted, keys },
    },
  );
}

async function lossOf(session: Queryable, target: RetireTarget, retiredName: string): Promise<Loss> {
  const { schema, table } = target;
  if (target.column === null) {
    const kept = await lostWithout(session, { schema, table: retiredName, column: null, alias: 't' });
    await session.query(`SET LOCAL search_path = ${searchPath(schema)}`);
    const [row] = await session.query(
      `SELECT ${OURS} count(*) AS count FROM ${quoteTable(schema, retiredName)} AS t WHERE ${kept?.lost ?? 'true'}`,
    );
    const why =
      kept === null
        ? 'all rows of the table go'
        : `the other table of step "${kept.step}" doesn't give all of their values back`;
    return { rows: Number(row?.['count']), keys: [], why };
  }
  const shape = await readTableShape(session, schema, table);
  const key = await findKey(session, shape, null);
  const place = key === null ? null : keyText(key, quoteIdentifier(table));
  const { from, lost, why } = await comparisonOf(session, target, retiredName);
  await session.query(`SET LOCAL search_path = ${searchPath(schema)}`);
  const [row] = await session.query(`SELECT ${OURS} count(*) AS count FROM ${from} WHERE ${lost}`);
  const rows = Number(row?.['count']);
  if (rows === 0 || place === null) return { rows, keys: [], why };
  const sample = await session.query(
    `SELECT ${OURS} to_json(${place})::text AS place FROM ${from} WHERE ${lost} LIMIT ${KEYS_SHOWN_MAX}`,
  );
  return { rows, keys: sample.map((one) => JSON.parse(one['place'] ?? '[]') as Place), why };
}

async function comparisonOf(
  session: Queryable,
  { schema, table }: RetireTarget,
  retiredName: string,
): Promise<{ from: string; lost: string; why: string }> {
  for (const { step, detail } of await findDualWrites(session, schema, table)) {
    const name = planNameOf(detail, retiredName);
    const expression = name === null ? undefined : (detail.down?.[name] ?? detail.up[name]);
    if (name === null || expression === undefined) continue;
    const { from, differs } = await compareOneColumn(session, detail, name, expression);
    return { from, lost: differs, why: `they are not what step "${step}" derives from the other side` };
  }
  const alias = quoteIdentifier(table);
  const kept = await lostWithout(session, { schema, table, column: retiredName, alias });
  if (kept !== null) {
    return {
      from: `${quoteTable(schema, table)} AS ${alias}`,
      lost: kept.lost,
      why: `they are not what step "${kept.step}" derives from the other table`,
    };
  }
  return {
    from: `${quoteTable(schema, table)} AS ${alias}`,
    lost: `${alias}.${quoteIdentifier(retiredName)} IS NOT NULL`,
    why: 'no dual write derives them from another column',
  };
}

/** What the plan of a dual write calls the column that has this name now; null: it has nothing to do with it. */
export function planNameOf({ up, down, upReads, downReads, renamed }: DualWriteDetail, column: string): string | null {
  const names = new Set([...Object.keys(up), ...Object.keys(down ?? {}), ...upReads, ...downReads]);
  return [...names].find((name) => (renamed[name] ?? name) === column) ?? null;
}
