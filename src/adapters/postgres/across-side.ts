import { SwitchbackError } from '../../messages/index.ts';
import { type Form, formOf, type FormedColumn, type HashWay, keyHash, PROBE, rowHash } from './across-form.ts';
import { findSideKey, pairKeys, readOrders, type SideKey } from './across-key.ts';
import { type TypeFacts, typesOf } from './across-types.ts';
import type { Queryable } from './database.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { type Key, keyAfter, keyText, keyUpTo, keyValues } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { referencedColumns, searchPath } from './table-expressions.ts';
import { columnOfTable, readTableShape, rowsGuessed, type TableShape } from './table-shape.ts';

/** A side as the plan has it. */
export interface SideWish {
  database: string;
  schema: string;
  table: string;
  key?: string | readonly string[] | undefined;
  columns: readonly string[] | Readonly<Record<string, string>>;
}

/** One of two tables that are compared: SQL over its rows, made so that both sides give the same for equal rows. */
export interface Side {
  shape: TableShape;
  key: Key;
  from: string;
  /** For `SET LOCAL search_path`. */
  search: string;
  /** The hash of a row, a bigint. */
  hash: string;
  /** The hash of its key alone. */
  keyHash: string;
  /** The key as text[], the same for the same key on both sides. */
  place: string;
  columns: readonly SideColumn[];
}
export interface SideColumn {
  alias: string;
  sql: string;
  form: Form;
  /** The table's own column, where the plan names one and no expression. */
  column: string | null;
}
export interface Pair {
  left: Side;
  right: Side;
  /** Null where the tables can be cut into ranges of the key; else why not, in words. */
  unsorted: string | null;
  /** Rows of the larger side, by the statistics. */
  rowsGuessed: number;
}

interface HalfSide extends SideKey {
  shape: TableShape;
  from: string;
  wanted: readonly string[] | null;
  columns: { alias: string; sql: string; column: string | null; type: TypeFacts }[];
  hashes: string;
  encoding: string;
}

/**
 * Reads both sides from the catalogs and brings them together. Both sessions must be in a transaction, which keeps
 * nothing of it but the search path. Throws `StatementFailed` with the side and the name of what is not there or can't be compared,
 * `KeyMissing` where a side has no usable key.
 */
export async function readPair(
  sessions: { left: Queryable; right: Queryable },
  wishes: { left: SideWish; right: SideWish },
  options: { expressions: boolean } = { expressions: true },
): Promise<Pair> {
  const both = [
    readHalf(sessions.left, wishes.left, 'left', options.expressions),
    readHalf(sessions.right, wishes.right, 'right', options.expressions),
  ] as const;
  // Neither runs on when the caller ends the transactions.
  await Promise.allSettled(both);
  const [left, right] = await Promise.all(both);
  const keys = pairKeys(left, right);
  const way: HashWay = { native: left.hashes === right.hashes, sameEncoding: left.encoding === right.encoding };
  const forms = left.columns.map(({ alias, type }) => {
    const other = right.columns.find((column) => column.alias === alias);
    if (other === undefined) throw unpaired(alias, 'left', 'right');
    return [alias, formOf(type, other.type)] as const;
  });
  const extra = right.columns.find(({ alias }) => !forms.some(([name]) => name === alias));
  if (extra !== undefined) throw unpaired(extra.alias, 'right', 'left');
  const side = (half: HalfSide, key: Key): Side => sideOf(half, key, { forms, keyForms: keys.forms, way });
  return {
    left: side(left, keys.left),
    right: side(right, keys.right),
    unsorted: keys.unsorted,
    rowsGuessed: Math.max(rowsGuessed(left.shape), rowsGuessed(right.shape)),
  };
}

const unpaired = (alias: string, on: string, missing: string): SwitchbackError =>
  new SwitchbackError(
    'StatementFailed',
    `${on}.columns has ${quoteIdentifier(alias)}, which ${missing}.columns lacks`,
    {
      hint: 'give the columns of both sides the same names: `alias: expression` where a column is called otherwise',
      fields: { column: alias },
    },
  );

async function readHalf(
  session: Queryable,
  { schema, table, key, columns }: SideWish,
  name: 'left' | 'right',
  checksExpressions: boolean,
): Promise<HalfSide> {
  const shape = await readTableShape(session, schema, table);
  const alias = quoteIdentifier(table);
  const from = `${quoteTable(schema, table)} AS ${alias}`;
  const given: [string, string | null][] = Array.isArray(columns)
    ? (columns as readonly string[]).map((column) => [column, null])
    : Object.entries(columns);
  const wanted = given.map(([to, expression]) => {
    const column = expression === null ? to : columnNamed(shape, expression);
    if (column !== null)
      return { alias: to, column, sql: `${alias}.${quoteIdentifier(columnOfTable(shape, column).name)}` };
    return { alias: to, column: null, sql: `(\n${expression}\n)` };
  });
  if (checksExpressions) {
    for (const { alias: to, sql } of wanted.filter(({ column }) => column === null))
      await referencedColumns(session, shape, sql, `${name}.columns.${to}`);
  }
  const [probe] = await session.query(`SET LOCAL search_path = ${searchPath(schema)}; ${PROBE}`);
  const keys = typeof key === 'string' ? [key] : (key ?? null);
  for (const column of keys ?? []) columnOfTable(shape, column);
  const found = await findSideKey(session, shape, keys);
  const keyNames = found.map((column) => `${alias}.${quoteIdentifier(column.name)}`);
  const types = await typesOf(session, from, [...keyNames, ...wanted.map(({ sql }) => sql)]);
  const orders = await readOrders(session, shape, found);
  return {
    key: found,
    types: types.slice(0, found.length),
    orders,
    shape,
    from,
    wanted: keys,
    columns: wanted.map((column, index) => ({ ...column, type: types[found.length + index] as TypeFacts })),
    hashes: probe?.['hashes'] ?? '',
    encoding: probe?.['encoding'] ?? '',
  };
}

/** The table's column that an expression is, where it is nothing but one. */
function columnNamed(shape: TableShape, expression: string): string | null {
  const text = expression.trim();
  const name = /^"(?:[^"]|"")+"$/.test(text) ? text.slice(1, -1).replaceAll('""', '"') : text.toLowerCase();
  if (name !== text && !text.startsWith('"') && !/^[a-z_][\w$]*$/i.test(text)) return null;
  return shape.columns.has(name) ? name : null;
}

function sideOf(
  half: HalfSide,
  key: Key,
  { forms, keyForms, way }: { forms: readonly (readonly [string, Form])[]; keyForms: readonly Form[]; way: HashWay },
): Side {
  const alias = quoteIdentifier(half.shape.table);
  const keys: FormedColumn[] = key.map(({ name }, index) => ({
    sql: `${alias}.${quoteIdentifier(name)}`,
    form: keyForms[index] as Form,
  }));
  // In the left side's order on both: the seeds go by it.
  const columns = forms.map(([name, form]): SideColumn => {
    const { sql, column } = half.columns.find((one) => one.alias === name) as HalfSide['columns'][number];
    return { alias: name, sql, column, form };
  });
  return {
    shape: half.shape,
    key,
    from: half.from,
    search: searchPath(half.shape.schema),
    hash: rowHash(keys, columns, way),
    keyHash: keyHash(keys, '1::bigint', way),
    place: `ARRAY[${keys.map(({ sql, form }) => form.text(sql)).join(', ')}]`,
    columns,
  };
}

/** Rows after `lower` up to `upper`; null: from the first, to the last and whatever comes after. */
export interface Bounds {
  lower: Place | null;
  upper: Place | null;
}

/** The condition of a range, with its parameters from `$1`. */
export function withinBounds({ key, shape }: Side, { lower, upper }: Bounds): { sql: string; values: Place[] } {
  const alias = quoteIdentifier(shape.table);
  const values: Place[] = [];
  const at = (place: Place): string[] => keyValues(key, `$${values.push(place)}::text[]`);
  const terms = [
    ...(lower === null ? [] : [keyAfter(key, alias, at(lower))]),
    ...(upper === null ? [] : [keyUpTo(key, alias, at(upper))]),
  ];
  return { sql: terms.length === 0 ? 'true' : terms.join(' AND '), values };
}

/** The key as a bound has it. */
export const boundText = ({ key, shape }: Side): string => keyText(key, quoteIdentifier(shape.table));
