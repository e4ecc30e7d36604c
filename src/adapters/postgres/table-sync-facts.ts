import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { namesWord } from './retire-references.ts';
import { assertWritable, columnOfTable } from './table-shape.ts';
import type { SideShape, SyncShapes, TableSyncDetail, Way } from './table-sync-shape.ts';

/** What the catalog says about two tables, and what it forbids. Everything is refused by name. */

const FOREIGN_KEYS = `
SELECT k.conname AS name, k.conrelid = $1::oid AS by_from, k.confdeltype AS on_delete,
  (SELECT json_agg(a.attname ORDER BY u.ord) FROM unnest(k.conkey) WITH ORDINALITY u (attnum, ord) JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum) AS own,
  (SELECT json_agg(a.attname ORDER BY u.ord) FROM unnest(k.confkey) WITH ORDINALITY u (attnum, ord) JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum) AS others
FROM pg_constraint k
WHERE k.contype = 'f' AND ((k.conrelid = $1::oid AND k.confrelid = $2::oid) OR (k.conrelid = $2::oid AND k.confrelid = $1::oid))
ORDER BY k.conname`;

/** Foreign keys by which one table's key refers to the other's. */
async function keyReferences(
  session: Queryable,
  from: SideShape,
  to: SideShape,
): Promise<{ fromTo: boolean; toFrom: boolean }> {
  const rows = await session.query(FOREIGN_KEYS, [from.shape.oid, to.shape.oid]);
  const pairs = from.pairKey.map(({ name }, index) => JSON.stringify([name, to.pairKey[index]?.name])).sort();
  const refers = (byFrom: boolean): boolean =>
    rows.some((row) => {
      if ((row['by_from'] === 't') !== byFrom) return false;
      const own = JSON.parse(row['own'] ?? '[]') as string[];
      const others = JSON.parse(row['others'] ?? '[]') as string[];
      const found = own.map((name, index) => JSON.stringify(byFrom ? [name, others[index]] : [others[index], name]));
      return JSON.stringify(found.sort()) === JSON.stringify(pairs);
    });
  return { fromTo: refers(true), toFrom: refers(false) };
}

/** Columns that a row can't be made without, and that nobody here gives. */
function notGiven(side: SideShape, given: readonly string[]): string[] {
  const keys = side.pairKey.map(({ name }) => name);
  return [...side.shape.columns.values()]
    .filter(
      ({ name, notNull, hasDefault, generated, identityAlways }) =>
        notNull &&
        !hasDefault &&
        generated === null &&
        !identityAlways &&
        !keys.includes(name) &&
        !given.includes(name),
    )
    .map(({ name }) => name);
}

export interface OwnershipWish {
  from: SideShape;
  to: SideShape;
  up: Readonly<Record<string, string>>;
}
/**
 * Whose row brings the other along. `split`: rows of `to` refer to those of `from`, or hold a part of them only; they
 * come, move and go with them. `merge`: rows of `to` are there by themselves and take in those of `from`. `copy`: `to`
 * takes all that `from` has; rows come and go on either side.
 */
export async function ownershipOf(
  session: Queryable,
  { from, to, up }: OwnershipWish,
): Promise<TableSyncDetail['ownership']> {
  const { fromTo, toFrom } = await keyReferences(session, from, to);
  const missing = notGiven(to, Object.keys(up));
  const name = quoteTable(to.shape.schema, to.table);
  if (fromTo && toFrom) {
    throw refusal(
      to,
      `the keys of ${quoteTable(from.shape.schema, from.table)} and ${name} refer to each other: neither row could come first`,
      'drop one of the two foreign keys in an earlier `ddl` step',
    );
  }
  if (toFrom && missing.length > 0) {
    throw refusal(
      to,
      `${name} refers to ${quoteTable(from.shape.schema, from.table)}, and its rows can't be made: ${list(missing)} ${missing.length === 1 ? 'is' : 'are'} NOT NULL without a DEFAULT, and \`up\` doesn't give ${missing.length === 1 ? 'it' : 'them'}`,
      'give the columns in `up`, or a DEFAULT, or let them be NULL',
    );
  }
  if (toFrom) return 'split';
  if (fromTo || missing.length > 0) return 'merge';
  return leftBehind(from).length === 0 ? 'copy' : 'split';
}

/** Columns of `from` that `up` doesn't read: what `to` does not hold. */
export function leftBehind({ shape, pairKey, reads }: SideShape): string[] {
  const keys = pairKey.map(({ name }) => name);
  return [...shape.columns.values()]
    .filter(({ name, generated }) => generated === null && !keys.includes(name) && !reads.includes(name))
    .map(({ name }) => name);
}

/** Foreign keys by which rows of others go or change with a row of the table. */
export async function hasCascades(session: Queryable, side: SideShape): Promise<boolean> {
  const rows = await session.query(
    `SELECT FROM pg_constraint WHERE contype = 'f' AND confrelid = $1::oid AND confdeltype IN ('c', 'n', 'd') LIMIT 1`,
    [side.shape.oid],
  );
  return rows.length > 0;
}

/** Refuses what the triggers could not keep in step. */
export async function assertSyncable(session: Queryable, shapes: SyncShapes): Promise<void> {
  for (const way of shapes.down === null ? [shapes.up] : [shapes.up, shapes.down]) {
    refuseTargets(shapes, way);
    await refuseTriggers(session, way, shapes.detail);
  }
  await refuseSequences(session, shapes);
}

function refuseTargets({ detail, down }: SyncShapes, way: Way): void {
  const { target, follows } = way;
  const table = quoteTable(target.shape.schema, target.table);
  const keys = target.pairKey.map(({ name }) => name);
  for (const name of Object.keys(way.expressions)) {
    const column = columnOfTable(target.shape, name);
    assertWritable(column);
    const where = `column ${quoteIdentifier(name)} of ${table}`;
    if (keys.includes(name))
      throw refusal(
        target,
        `${where} is part of the key, which pairs the rows; \`${way.name}\` may not give it`,
        'leave it out: keys are carried over by themselves',
      );
    if (way.name === 'up' && detail.ownership === 'merge' && column.notNull)
      throw refusal(
        target,
        `${where} is NOT NULL, but there are rows of ${table} that have no pair to give it`,
        'let the column be NULL while the migration runs',
      );
    if (way.name === 'up' && down !== null && detail.ownership !== 'copy' && column.hasDefault)
      throw refusal(
        target,
        `${where} has a DEFAULT: an INSERT that leaves it out looks as if it had been written`,
        'drop the DEFAULT in an earlier `ddl` step, or leave out `down`',
      );
  }
  if (!follows) return;
  for (const name of keys) assertWritable(columnOfTable(target.shape, name));
  const missing = notGiven(target, Object.keys(way.expressions));
  if (missing.length === 0) return;
  throw refusal(
    target,
    `a new row of ${quoteTable(way.source.shape.schema, way.source.table)} needs one in ${table}, which can't be made: ${list(missing)} ${missing.length === 1 ? 'is' : 'are'} NOT NULL without a DEFAULT, and \`${way.name}\` doesn't give ${missing.length === 1 ? 'it' : 'them'}`,
    `give the columns in \`${way.name}\`, or a DEFAULT, or let them be NULL`,
  );
}

const TRIGGERS = `
SELECT t.tgname AS name, quote_ident(t.tgname) AS quoted, t.tgrelid::regclass::text AS on_table, p.prosrc AS body FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
WHERE (t.tgrelid = $1::oid OR t.tgrelid IN (SELECT relid FROM pg_partition_tree($1::oid))) AND NOT t.tgisinternal
  AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 AND t.tgenabled <> 'D' AND p.pronamespace IS DISTINCT FROM to_regnamespace('switchback')
ORDER BY t.tgname`;

/** BEFORE triggers of others that change what we write, or run after our guard. */
async function refuseTriggers(
  session: Queryable,
  { target, expressions }: Way,
  { marker }: TableSyncDetail,
): Promise<void> {
  for (const row of await session.query(TRIGGERS, [target.shape.oid])) {
    const column = Object.keys(expressions).find((name) => namesWord(row['body'] ?? '', name));
    if (column !== undefined)
      throw refusal(
        target,
        `trigger ${row['quoted']} on ${row['on_table']} names ${quoteIdentifier(column)}, which is written from the other table: it could change what we write`,
        'take the column out of the trigger’s function, or let the trigger run AFTER the write',
      );
    if (Buffer.compare(Buffer.from(row['name'] ?? ''), Buffer.from(marker)) > 0)
      throw refusal(
        target,
        `trigger ${row['quoted']} on ${row['on_table']} would run after ours (${marker}) and could undo what it does`,
        `rename the trigger so that it sorts before "${marker}" (ALTER TRIGGER … RENAME TO …)`,
      );
  }
}

const NUMBERED = `
SELECT CASE WHEN a.attidentity <> '' THEN pg_get_serial_sequence($2, a.attname) ELSE substring(pg_get_expr(d.adbin, d.adrelid) from $$nextval\\('(.*)'::regclass\\)$$)::regclass::text END AS sequence
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum WHERE a.attrelid = $1::oid AND a.attname = $3`;

/** Two sequences hand out the same numbers for different rows, which would then be taken for a pair. */
async function refuseSequences(session: Queryable, { detail, up, down }: SyncShapes): Promise<void> {
  if (detail.ownership !== 'copy' || down === null) return;
  for (const [index, { name }] of up.source.pairKey.entries()) {
    const other = up.target.pairKey[index]?.name ?? '';
    const sequence = async (side: SideShape, column: string): Promise<string | null> =>
      (await session.query(NUMBERED, [side.shape.oid, quoteTable(side.shape.schema, side.table), column]))[0]?.[
        'sequence'
      ] ?? null;
    const [ours, theirs] = [await sequence(up.source, name), await sequence(up.target, other)];
    if (ours === null || theirs === null || ours === theirs) continue;
    throw refusal(
      up.target,
      `keys of new rows come from ${ours} in ${quoteTable(up.source.shape.schema, up.source.table)} and from ${theirs} in ${quoteTable(up.target.shape.schema, up.target.table)}: different rows would get the same one`,
      `let both columns take their numbers from one sequence (ALTER COLUMN ${quoteIdentifier(other)} SET DEFAULT nextval('${ours}'))`,
    );
  }
}

const list = (names: readonly string[]): string => names.map(quoteIdentifier).join(', ');
const refusal = ({ shape }: SideShape, message: string, hint: string): SwitchbackError =>
  new SwitchbackError('StatementFailed', message, { hint, fields: { schema: shape.schema, table: shape.table } });
