import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { findDualWrites } from './dual-write.ts';
import type { DualWriteDetail } from './dual-write-function.ts';
import { showKey } from './hidden-values.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { inCancellableTransaction } from './lock-ladder.ts';
import { cutTable } from './range-cut.ts';
import { findKey, type Key, keyAfter, keyText, keyUpTo, keyValues } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { OURS } from './retire-readers.ts';
import { type RetireTarget, type RetireWork, targetFields, targetWords } from './retire-work.ts';
import { searchPath } from './table-expressions.ts';
import { readTableShape, rowsGuessed } from './table-shape.ts';
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

/** Rows that one statement counts: a snapshot is held for no longer than that takes. */
const CHUNK_ROWS = 50_000;
const CHUNKS_MAX = 10_000;

/**
 * Throws `ValuesLost` where more rows would lose a value than `accepted`. Answers with how many would. Counts in pieces
 * along the key, each in a transaction of its own; it may be asked for again at any time.
 */
export async function refuseLoss(work: LossWork, retiredName: string, accepted: number): Promise<number> {
  const known = await countedBefore(work, retiredName);
  const loss = known === null ? await lossOf(work, retiredName) : known;
  if (loss.rows <= accepted) return loss.rows;
  const { target } = work;
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
type LossWork = Pick<RetireWork, 'database' | 'signal' | 'target' | 'onWait' | 'key'>;

/**
 * Of columns that a drop leaves without the triggers which kept them in step: how many rows of each would lose a value,
 * by their names. Counted while the triggers are there: afterwards the other side goes its own way.
 */
export async function lossOfOthers(work: LossWork, names: readonly string[]): Promise<Record<string, number>> {
  const counted: Record<string, number> = {};
  for (const name of names)
    counted[name] = (await lossOf({ ...work, target: { ...work.target, column: name } }, name)).rows;
  return counted;
}

/** What an earlier drop of the migration, which took the triggers along, has counted of this column. */
async function countedBefore({ database, key, target }: LossWork, retiredName: string): Promise<Loss | null> {
  if (target.column === null) return null;
  const { migration, version, epoch } = key.run;
  const [row] = await database.query(
    `SELECT step, detail->'dropped'->'left'->>$1 AS rows FROM switchback.steps
     WHERE migration = $2 AND version = $3 AND epoch = $4 AND kind = 'drop' AND state = 'applied'
       AND detail->'dropped'->>'schema' = $5 AND detail->'dropped'->>'table' = $6 AND detail->'dropped'->'left' ? $1`,
    [retiredName, migration, version, epoch, target.schema, target.table],
  );
  if (row === undefined) return null;
  const why = `so many were not what the other side gave when step "${row['step'] ?? ''}" took the triggers along`;
  return { rows: Number(row['rows']), keys: [], why };
}

async function lossOf(work: LossWork, retiredName: string): Promise<Loss> {
  const { database, signal, target, onWait } = work;
  onWait(`counts the rows of ${target.table} whose values nothing else keeps`);
  return database.session(async (session) => {
    const inTransaction = <T>(of: (transaction: Queryable) => Promise<T>): Promise<T> =>
      inCancellableTransaction(database, session, signal, of);
    const count = await inTransaction((transaction) => countOf(transaction, target, retiredName));
    const found: Loss = { rows: 0, keys: [], why: count.why };
    for (const [index, lower] of count.lowers.entries()) {
      const piece = { lower, upper: count.lowers[index + 1] ?? null };
      const { rows, keys } = await inTransaction((transaction) => lostIn(transaction, count, piece));
      found.rows += rows;
      found.keys = [...found.keys, ...keys].slice(0, KEYS_SHOWN_MAX);
      if (count.lowers.length > 1) onWait(progressWords(target, found.rows, (index + 1) / count.lowers.length));
    }
    return found;
  });
}

const progressWords = ({ table }: RetireTarget, rows: number, share: number): string =>
  `counts the rows of ${table} whose values nothing else keeps: ${rows.toLocaleString('en-US')} so far, ${Math.floor(100 * share)} % looked at`;

/** What to count, and after which places the pieces begin; null is before the first row. */
interface Count {
  schema: string;
  alias: string;
  from: string;
  lost: string;
  why: string;
  key: Key | null;
  lowers: readonly (Place | null)[];
  /** Whether keys are worth showing: of a whole table that goes they aren't. */
  shown: boolean;
}

async function countOf(session: Queryable, target: RetireTarget, retiredName: string): Promise<Count> {
  const { schema } = target;
  const whole = target.column === null;
  const shape = await readTableShape(session, schema, whole ? retiredName : target.table);
  const alias = quoteIdentifier(shape.table);
  const key = await findKey(session, shape, null);
  const compared = whole
    ? await lostWithTable(session, { schema, table: retiredName, alias })
    : await comparisonOf(session, target, retiredName);
  const pieces = Math.min(CHUNKS_MAX, Math.ceil(rowsGuessed(shape) / CHUNK_ROWS));
  const uppers = key === null ? [] : await cutTable(session, shape, key, pieces);
  // The last piece has no end: rows that come meanwhile are counted too.
  return { schema, alias, ...compared, key, lowers: [null, ...uppers.slice(0, -1)], shown: !whole };
}

/** All rows of a table, or where a dual write keeps another one in step, those that this one doesn't give back. */
async function lostWithTable(
  session: Queryable,
  { schema, table, alias }: { schema: string; table: string; alias: string },
): Promise<{ from: string; lost: string; why: string }> {
  const from = `${quoteTable(schema, table)} AS ${alias}`;
  const kept = await lostWithout(session, { schema, table, column: null, alias });
  return kept === null
    ? { from, lost: 'true', why: 'all rows of the table go' }
    : { from, lost: kept.lost, why: `the other table of step "${kept.step}" doesn't give back all of their values` };
}

async function lostIn(
  session: Queryable,
  { schema, alias, from, lost, key, shown }: Count,
  { lower, upper }: { lower: Place | null; upper: Place | null },
): Promise<Pick<Loss, 'rows' | 'keys'>> {
  await session.query(`SET LOCAL search_path = ${searchPath(schema)}`);
  const values = [lower, upper].filter((place) => place !== null);
  const within = [
    ...(key === null || lower === null ? [] : [keyAfter(key, alias, keyValues(key, '$1::text[]'))]),
    ...(key === null || upper === null ? [] : [keyUpTo(key, alias, keyValues(key, `$${values.length}::text[]`))]),
    lost,
  ].join(' AND ');
  const [row] = await session.query(`SELECT ${OURS} count(*) AS count FROM ${from} WHERE ${within}`, values);
  const rows = Number(row?.['count']);
  if (rows === 0 || key === null || !shown) return { rows, keys: [] };
  const sample = await session.query(
    `SELECT ${OURS} to_json(${keyText(key, alias)})::text AS place FROM ${from} WHERE ${within} LIMIT ${KEYS_SHOWN_MAX}`,
    values,
  );
  return { rows, keys: sample.map((one) => JSON.parse(one['place'] ?? '[]') as Place) };
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
