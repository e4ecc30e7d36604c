import { SwitchbackError } from '../../messages/index.ts';
import { atPlaces, type Both, hashesAt } from './across-read.ts';
import type { Pair, Side } from './across-side.ts';
import type { Queryable, Value } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { keyIs, keyValues } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { assertWritable, columnOfTable } from './table-shape.ts';
import { inStep } from './table-sync.ts';

/** A row that was confirmed to differ: its hash on either side, null where it isn't there. */
export interface Difference {
  place: Place;
  left: string | null;
  right: string | null;
}
export interface Repaired {
  place: Place;
  /** The right side's row before and after; null: there was none, or is none now. */
  before: string | null;
  after: string | null;
}

/** Rows that differ are made like the left side's, which is the truth: written where they can be, or not at all. */
const LOCK_TIMEOUT_MS = 200;

/**
 * Refuses a repair that could not be one: of a column of the right side that is an expression, or that nobody may write.
 * Throws `StatementFailed` with the column's name.
 */
export function assertRepairable({ right }: Pair, step: string): void {
  for (const { alias, column } of right.columns) {
    if (column !== null) {
      assertWritable(columnOfTable(right.shape, column));
      continue;
    }
    throw new SwitchbackError(
      'StatementFailed',
      `step "${step}" can't repair ${quoteIdentifier(alias)}: right.columns has an expression for it, not a column`,
      {
        hint: 'name a column of the right table, or say `onMismatch: fail` or `hold`',
        fields: { step, column: alias },
      },
    );
  }
}

/**
 * Columns of the right side that a dual write keeps in step: it would carry a repair on to its other side. One between two
 * tables would also make and delete rows of the other table: then all columns count.
 */
export async function syncedColumns(session: Queryable, { right }: Pair): Promise<string[]> {
  const { schema, table } = right.shape;
  const writes = await inStep(session, schema, table);
  const synced = (column: string): boolean => writes.some((one) => one.between || one.writes.includes(column));
  return right.columns.flatMap(({ column }) => (column !== null && synced(column) ? [column] : []));
}

/** Whether a row that goes would take rows of other tables along, or change them. */
async function deletesReachFurther(session: Queryable, { shape }: Side): Promise<boolean> {
  const [row] = await session.query(
    `SELECT EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND confdeltype IN ('c', 'n', 'd')
       AND (confrelid = $1::oid OR confrelid IN (SELECT relid FROM pg_partition_tree($1::oid::regclass)))) AS reach`,
    [shape.oid],
  );
  return row?.['reach'] === 't';
}

/**
 * Makes rows of the right side like those of the left, in the transactions of `sessions`; the left one's must end after
 * the right one's. The rows of both sides are locked first and looked at once more: who has changed since it was
 * confirmed is left alone, and is in `moved`. A row
 * that would take others along by a foreign key is not deleted. A row that can't take the repair stays as it was.
 */
export async function repairRows(
  sessions: Both<Queryable>,
  pair: Pair,
  differences: readonly Difference[],
): Promise<{ repaired: Repaired[]; moved: Place[] }> {
  const places = differences.map(({ place }) => place);
  for (const name of ['right', 'left'] as const) {
    await sessions[name].query(
      `SET LOCAL search_path = ${pair[name].search}; SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}; SET LOCAL enable_seqscan = off`,
    );
  }
  // A deferred constraint would speak up at the end, for all rows at once.
  await sessions.right.query('SET CONSTRAINTS ALL IMMEDIATE');
  const keeps = await deletesReachFurther(sessions.right, pair.right);
  const right = await hashesAt(sessions.right, pair.right, places, ' FOR UPDATE');
  const left = await hashesAt(sessions.left, pair.left, places, ' FOR SHARE');
  const rows = await valuesOf(sessions.left, pair.left, places);
  const repaired: Repaired[] = [];
  const moved: Place[] = [];
  for (const { place, ...was } of differences) {
    const id = JSON.stringify(place);
    const now = { left: left.get(id) ?? null, right: right.get(id) ?? null };
    if (now.left !== was.left || now.right !== was.right) {
      moved.push(place);
      continue;
    }
    if (now.left === null && keeps) continue;
    const after = await inRowSavepoint(sessions.right, async () => {
      const made = await makeLike(sessions.right, pair.right, { place, exists: now.right !== null, row: rows.get(id) });
      return made === now.left ? { hash: made } : null;
    });
    if (after !== null) repaired.push({ place, before: now.right, after: after.hash });
  }
  await sessions.right.query('SET LOCAL search_path = pg_catalog');
  await sessions.left.query('SET LOCAL search_path = pg_catalog');
  return { repaired, moved };
}

interface LeftRow {
  key: (string | null)[];
  values: (string | null)[];
}

/** What the left side holds, as Postgres prints it: it is read again by the types of the right side's columns. */
async function valuesOf(session: Queryable, side: Side, places: readonly Place[]): Promise<Map<string, LeftRow>> {
  const alias = quoteIdentifier(side.shape.table);
  const keys = side.key.map(({ name }) => `${alias}.${quoteIdentifier(name)}::text`);
  const values = side.columns.map(({ sql }) => `(${sql})::text`);
  const rows = await session.query(
    `SELECT to_json(${side.place})::text AS place, json_build_array(${keys.join(', ')})::text AS key,
       json_build_array(${values.join(', ')})::text AS values FROM ${side.from} WHERE ${atPlaces(side)}`,
    [JSON.stringify(places)],
  );
  return new Map(
    rows.map((row) => [
      row['place'] ?? '[]',
      {
        key: JSON.parse(row['key'] ?? '[]') as (string | null)[],
        values: JSON.parse(row['values'] ?? '[]') as (string | null)[],
      },
    ]),
  );
}

/** Writes or deletes one row; answers with the hash of what is there then. */
async function makeLike(
  session: Queryable,
  side: Side,
  { place, exists, row }: { place: Place; exists: boolean; row: LeftRow | undefined },
): Promise<string | null> {
  const alias = quoteIdentifier(side.shape.table);
  const table = `${quoteTable(side.shape.schema, side.shape.table)} AS ${alias}`;
  const values: Value[] = [];
  const valueOf = (name: string, value: string | null): string =>
    `CAST($${values.push(value)}::text AS ${columnOfTable(side.shape, name).type})`;
  const here = (): string => keyIs(side.key, alias, keyValues(side.key, `$${values.push(place)}::text[]`));
  if (row === undefined) {
    const gone = await session.query(`DELETE FROM ${table} WHERE ${here()} RETURNING 1 AS gone`, values);
    return gone.length === 1 ? null : 'still there';
  }
  const targets = side.columns.map(({ column }, index) => ({ name: column ?? '', value: row.values[index] ?? null }));
  let sql: string;
  if (exists) {
    const sets = targets.map(({ name, value }) => `${quoteIdentifier(name)} = ${valueOf(name, value)}`);
    sql = `UPDATE ${table} SET ${sets.join(', ')} WHERE ${here()}`;
  } else {
    const keys = side.key.map(({ name }, index) => ({ name, value: row.key[index] ?? null }));
    const all = [...keys, ...targets.filter(({ name }) => !keys.some((key) => key.name === name))];
    const identity = all.some(({ name }) => columnOfTable(side.shape, name).identityAlways);
    sql = `INSERT INTO ${table} (${all.map(({ name }) => quoteIdentifier(name)).join(', ')})${identity ? ' OVERRIDING SYSTEM VALUE' : ''}
      VALUES (${all.map(({ name, value }) => valueOf(name, value)).join(', ')}) ON CONFLICT DO NOTHING`;
  }
  const [made] = await session.query(`${sql} RETURNING ${side.hash} AS hash`, values);
  return made?.['hash'] ?? 'not written';
}

/** Keeps what `work` did where it answers; takes it back where it answers null or the row can't be written. */
async function inRowSavepoint<T>(session: Queryable, work: () => Promise<T | null>): Promise<T | null> {
  await session.query('SAVEPOINT zz_row');
  try {
    const done = await work();
    await session.query(
      done === null ? 'ROLLBACK TO SAVEPOINT zz_row; RELEASE SAVEPOINT zz_row' : 'RELEASE SAVEPOINT zz_row',
    );
    return done;
  } catch (error) {
    if (!(error instanceof PostgresError) || !/^(22|23|44|54|P0)/.test(error.sqlState)) throw error;
    await session.query('ROLLBACK TO SAVEPOINT zz_row; RELEASE SAVEPOINT zz_row');
    return null;
  }
}
