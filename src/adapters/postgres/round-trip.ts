import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import type { DualWriteDetail } from './dual-write-function.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { findKey, keyText } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { inSavepoint, searchPath } from './table-expressions.ts';
import { columnOfTable, rowsGuessed, type TableShape } from './table-shape.ts';
import { hasEquality } from './verify.ts';

/** Tables up to this many rows, by the statistics, are counted; of larger ones a sample tells. */
export const COUNTED_ROWS_MAX = 1_000_000;
/** About so many rows are in a sample: of what befalls one row in 10,000 it sees some ten. */
const SAMPLED_ROWS = 100_000;
const SHOWN_MAX = 5;
const VALUE_CHARACTERS_MAX = 40;

/** What `down(up(x))` makes of the rows that are there. */
export interface RoundTrip {
  /** Rows looked at. */
  rows: number;
  differing: number;
  /** Some of those: key, and the first old column that comes back differently, before and after. */
  shown: { key: Place | null; column: string; before: string | null; after: string | null }[];
  /** Whether only a sample was looked at, and of how many rows by the statistics. */
  sampledOf: number | null;
}
/** An expression fails on some row: nothing could be counted. */
export interface RoundTripFails {
  sqlState: string;
  message: string;
}

/**
 * Computes `up` and then `down` of every row, without a column that isn't there yet: the new side is a derived one, of
 * the types in `shape`. One way nothing can differ, but an expression may fail. Null where it took longer than
 * `timeoutMs`. `session` must be in a
 * transaction; its statement timeout is changed.
 */
export async function roundTrip(
  session: Queryable,
  detail: Pick<DualWriteDetail, 'schema' | 'table' | 'up' | 'down' | 'downReads'>,
  shape: TableShape,
  timeoutMs: number,
): Promise<RoundTrip | RoundTripFails | null> {
  const planned = new Set(shape.planned ?? []);
  const back = Object.entries(detail.down ?? {}).filter(([name]) => !planned.has(name));
  const differs: { column: string; after: string; is: string }[] = [];
  for (const [column, expression] of back) {
    const after = typed(shape, column, expression);
    const before = `${quoteIdentifier(shape.table)}.${quoteIdentifier(column)}`;
    const is = (await hasEquality(session, shape, column))
      ? `${before} IS DISTINCT FROM ${after}`
      : `${before}::text IS DISTINCT FROM ${after}::text`;
    differs.push({ column, after, is });
  }
  const look: Look = { session, detail, shape, differs, key: await keyOf(session, shape), timeoutMs };
  const rows = rowsGuessed(shape);
  try {
    if (rows <= COUNTED_ROWS_MAX) {
      const counted = await count(look, null);
      if (counted !== null) return counted;
    }
    return await count(look, Math.max(rows, SAMPLED_ROWS));
  } catch (error) {
    if (!(error instanceof PostgresError) || !/^(22|23|P0)/.test(error.sqlState)) throw error;
    return { sqlState: error.sqlState, message: error.message };
  }
}

interface Look {
  session: Queryable;
  detail: Pick<DualWriteDetail, 'schema' | 'table' | 'up' | 'downReads'>;
  shape: TableShape;
  differs: readonly { column: string; after: string; is: string }[];
  key: string | null;
  timeoutMs: number;
}

const typed = (shape: TableShape, column: string, expression: string): string => {
  const { type, collation } = columnOfTable(shape, column);
  return `CAST((\n${expression}\n) AS ${type})${collation === null ? '' : ` COLLATE ${collation}`}`;
};

const keyOf = async (session: Queryable, shape: TableShape): Promise<string | null> => {
  const key = await findKey(session, shape, null);
  return key === null ? null : keyText(key, quoteIdentifier(shape.table));
};

/** The table's rows under its own name, with the new side computed; `zz_place` is their key. */
function derived({ detail, shape, key }: Look, sampledOf: number | null): string {
  const alias = quoteIdentifier(shape.table);
  const planned = new Set(shape.planned ?? []);
  const columns = [...shape.columns.keys()].flatMap((name) => {
    const expression = detail.up[name];
    if (expression !== undefined) return `${typed(shape, name, expression)} AS ${quoteIdentifier(name)}`;
    if (!planned.has(name)) return `${alias}.${quoteIdentifier(name)}`;
    return detail.downReads.includes(name)
      ? `CAST(NULL AS ${columnOfTable(shape, name).type}) AS ${quoteIdentifier(name)}`
      : [];
  });
  const percent = sampledOf === null ? null : Math.min(100, (100 * SAMPLED_ROWS) / sampledOf);
  const sample = percent === null ? '' : ` TABLESAMPLE SYSTEM (${percent})`;
  return `(SELECT ${[...columns, `${key ?? 'NULL::text[]'} AS zz_place`].join(', ')}
    FROM ${quoteTable(shape.schema, shape.table)} AS ${alias}${sample} OFFSET 0) AS ${alias}`;
}

/** Null where it took too long. */
async function count(look: Look, sampledOf: number | null): Promise<RoundTrip | null> {
  const { differs } = look;
  const from = derived(look, sampledOf);
  const any = differs.map(({ is }) => `(${is})`).join(' OR ') || 'false';
  // Every new column is asked for, or Postgres would leave out what nothing leads back from.
  const alias = quoteIdentifier(look.shape.table);
  const news = Object.keys(look.detail.up).map((name) => `${alias}.${quoteIdentifier(name)}`);
  const [row] =
    (await inTime(
      look,
      `SELECT count(*) AS rows, count(*) FILTER (WHERE ${any}) AS differing, sum(num_nonnulls(${news.join(', ')})) AS given FROM ${from}`,
    )) ?? [];
  if (row === undefined) return null;
  const found: RoundTrip = { rows: Number(row['rows']), differing: Number(row['differing']), shown: [], sampledOf };
  if (found.differing === 0) return found;
  const pick = (of: (one: (typeof differs)[number], index: number) => string): string =>
    `CASE ${differs.map((one, index) => `WHEN ${one.is} THEN ${of(one, index)}`).join(' ')} END`;
  const shown = await inTime(
    look,
    `SELECT to_json(${alias}.zz_place)::text AS place, ${pick((_, index) => String(index))} AS of,
       left(${pick(({ column }) => `${alias}.${quoteIdentifier(column)}::text`)}, ${VALUE_CHARACTERS_MAX}) AS before,
       left(${pick(({ after }) => `${after}::text`)}, ${VALUE_CHARACTERS_MAX}) AS after
     FROM ${from} WHERE ${any} LIMIT ${SHOWN_MAX}`,
  );
  return {
    ...found,
    shown: (shown ?? []).map((one) => ({
      key: one['place'] === null || one['place'] === undefined ? null : (JSON.parse(one['place']) as Place),
      column: differs[Number(one['of'])]?.column ?? '',
      before: one['before'] ?? null,
      after: one['after'] ?? null,
    })),
  };
}

async function inTime(
  { session, detail, timeoutMs }: Look,
  sql: string,
): Promise<Record<string, string | null>[] | null> {
  try {
    return await inSavepoint(session, async () => {
      await session.query(`SET LOCAL search_path = ${searchPath(detail.schema)}`);
      await session.query(`SET LOCAL statement_timeout = ${Math.max(1, Math.round(timeoutMs))}`);
      return session.query(sql);
    });
  } catch (error) {
    if (error instanceof PostgresError && error.sqlState === '57014') return null;
    throw error;
  }
}
