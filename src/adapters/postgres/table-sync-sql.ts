import { quoteIdentifier, quoteTable } from './identifier.ts';
import { keyIs } from './range-key.ts';
import { returning, rowHash } from './row-digest.ts';
import { columnOfTable } from './table-shape.ts';
import { actualName, type SideShape, type TableSyncDetail, type Way } from './table-sync-shape.ts';

/**
 * The statements that carry one row of a pair over to the other table: the same in triggers, backfill and repair.
 *
 * The marker of a row holds a clock: NULL, the row was there before and nobody has paired it; 0, a client made it in
 * `to`; else its amount is the time at which a trigger, the backfill or a repair wrote the row last. A write of ours
 * always sets a later one than both rows of the pair have, so that the row with the later clock is the derived one, and
 * a write that raises the clock is known as ours: clients can only write back what they have read, which is earlier.
 * Below 0 the row was made by us, and no client of its own table has written it since.
 */

/** Our clock goes by transactions, so that a value that was read in an earlier one is earlier. */
export const NOW = 'pg_catalog.pg_current_xact_id()::text::bigint';
/** A row that is about to give way to a client's. Later than every clock. */
export const LEAVING = '-9000000000000000000';

export const target = (way: Pick<Way, 'target'>): string => quoteTable(way.target.shape.schema, way.target.table);
const column = (side: SideShape, name: string): string => quoteIdentifier(actualName(side, name));
/** The columns that the way writes, as they are called now. */
export const written = (way: Way): string[] => Object.keys(way.expressions).map((name) => column(way.target, name));
export const keyNames = (side: SideShape): string => side.pairKey.map(({ name }) => quoteIdentifier(name)).join(', ');
/** True for the row of `side`, called `alias`, whose key is in the variables or columns. */
export const isPair = (side: SideShape, alias: string, values: readonly string[]): string =>
  keyIs(side.pairKey, alias, values);
export const keyOf = (side: SideShape, alias: string): string[] =>
  side.pairKey.map(({ name }) => `${alias}.${quoteIdentifier(name)}`);

/** A later clock than both rows have. `alias` names the row that is written, `other` is the clock of its pair. */
export const later = (row: string, other: string | null): string =>
  `CASE WHEN ${row} < 0 THEN -1 ELSE 1 END * (greatest(abs(${row}), ${other === null ? '' : `abs(${other}), `}${NOW}) + 1)`;
const first = (other: string | null): string => `-(greatest(${other === null ? '' : `abs(${other}), `}${NOW}) + 1)`;

/** True for a write of ours, by the markers of the row before and after. */
export const isOurs = (before: string, after: string): string => `abs(${after}) > coalesce(abs(${before}), 0)`;

/** The rows of a source under the plan's name, with columns that were renamed under their plan's names too. */
export function rowsOf(side: SideShape, rows = quoteTable(side.shape.schema, side.table)): string {
  const alias = quoteIdentifier(side.plan);
  const names = Object.entries(side.renamed).map(
    ([name, now]) => `zz.${quoteIdentifier(now)} AS ${quoteIdentifier(name)}`,
  );
  return names.length === 0
    ? `${rows} AS ${alias}`
    : `(SELECT zz.*, ${names.join(', ')} FROM ${rows} AS zz) AS ${alias}`;
}

/** What each expression gives, cast as an assignment casts it, but for the column's length or scale. */
const values = ({ target: side, expressions }: Way): string[] =>
  Object.entries(expressions).map(
    ([name, expression]) => `CAST((\n${expression}\n) AS ${side.bases.get(actualName(side, name))})`,
  );
/** The same as the column stores it. */
export const storedValues = (way: Way): string[] =>
  values(way).map((value, index) => {
    const name = Object.keys(way.expressions)[index] ?? '';
    return `CAST(${value} AS ${columnOfTable(way.target.shape, actualName(way.target, name)).type})`;
  });

/** Which of the two tables has a marker. */
export const hasMarker = (detail: TableSyncDetail, side: 'from' | 'to'): boolean =>
  side === 'to' || detail.down !== null;
const sourceSide = (way: Way): 'from' | 'to' => (way.name === 'up' ? 'from' : 'to');
export const sourceClock = (detail: TableSyncDetail, way: Way): string | null =>
  hasMarker(detail, sourceSide(way)) ? `${quoteIdentifier(way.source.plan)}.${quoteIdentifier(detail.marker)}` : null;

/** `SELECT` of what the way gives for the rows that `where` picks: zz_key_…, zz_value_…, zz_clock. */
export function derived(detail: TableSyncDetail, way: Way, { where, rows }: { where: string; rows?: string }): string {
  const alias = quoteIdentifier(way.source.plan);
  const columns = [
    ...keyOf(way.source, alias).map((name, index) => `${name} AS zz_key_${index + 1}`),
    ...values(way).map((value, index) => `${value} AS zz_value_${index + 1}`),
    `${sourceClock(detail, way) ?? 'NULL::bigint'} AS zz_clock`,
  ];
  return `SELECT ${columns.join(', ')} FROM ${rowsOf(way.source, rows)} WHERE ${where}`;
}
const derivedKey = (way: Way): string[] => way.source.pairKey.map((_, index) => `zz_s.zz_key_${index + 1}`);

/** `UPDATE` of the pairs of the rows that `where` picks; `and` is about zz_t, the row that is written. */
export function updatePairs(
  detail: TableSyncDetail,
  way: Way,
  pick: { where: string; rows?: string; and?: string },
): string {
  const marker = quoteIdentifier(detail.marker);
  const assignments = [
    ...written(way).map((name, index) => `${name} = zz_s.zz_value_${index + 1}`),
    `${marker} = ${later(`zz_t.${marker}`, 'zz_s.zz_clock')}`,
  ];
  return `UPDATE ${target(way)} AS zz_t SET ${assignments.join(', ')}
FROM (${derived(detail, way, pick)}) AS zz_s
WHERE ${isPair(way.target, 'zz_t', derivedKey(way))}${pick.and === undefined ? '' : ` AND ${pick.and}`}`;
}

/** `INSERT` of the missing pairs of the rows that `where` picks; one that comes in between is written like others. */
export function insertPairs(
  detail: TableSyncDetail,
  way: Way,
  pick: { where: string; rows?: string; and?: string },
): string {
  const marker = quoteIdentifier(detail.marker);
  const alias = quoteIdentifier(way.source.plan);
  const columns = [keyNames(way.target), ...written(way), marker].join(', ');
  const selected = [...keyOf(way.source, alias), ...values(way), first(sourceClock(detail, way))].join(', ');
  const again = [
    ...written(way).map((name) => `${name} = excluded.${name}`),
    `${marker} = ${later(`zz_t.${marker}`, `excluded.${marker}`)}`,
  ];
  return `INSERT INTO ${target(way)} AS zz_t (${columns})
SELECT ${selected} FROM ${rowsOf(way.source, pick.rows)} WHERE ${pick.where}
ON CONFLICT (${keyNames(way.target)}) DO UPDATE SET ${again.join(', ')}${pick.and === undefined ? '' : ` WHERE ${pick.and}`}`;
}

/**
 * What a write of pairs returns for the lineage: the hashes of the new row's key and the columns written, `zz_b` before
 * and `zz_a` after. Of a row that was not there before, and where `seesOld` says that nobody can tell, `zz_b` is null.
 */
export const pairHashes = (way: Way, seesOld: boolean): string =>
  returning(way.target.shape, hashed(way), seesOld, 'zz_t');
/** The same of rows that a DELETE takes away. */
export const goneHashes = (way: Way): string =>
  `${rowHash(way.target.shape, hashed(way), 'zz_t')} AS zz_b, NULL::bigint AS zz_a`;
const hashed = (way: Way): Parameters<typeof rowHash>[1] => ({
  key: way.target.pairKey.map(({ name }) => name),
  values: Object.keys(way.expressions).map((name) => actualName(way.target, name)),
});
/** Over rows of them: how many, and their digests; a row that was not there counts as 0. */
export const pairsDigested = (seesOld: boolean): string =>
  `count(*) AS rows, ${seesOld ? 'CASE WHEN count(*) > 0 THEN coalesce(bit_xor(zz_b), 0) END' : 'NULL::bigint'} AS before_digest, CASE WHEN count(*) > 0 THEN coalesce(bit_xor(zz_a), 0) END AS after_digest`;

/** What the pair of a row that is gone keeps: nothing, or no values where it lives by itself. */
export function pairGone(detail: TableSyncDetail, way: Way, key: readonly string[]): string {
  const where = isPair(way.target, 'zz_t', key);
  if (way.follows) return `DELETE FROM ${target(way)} AS zz_t WHERE ${where}`;
  const marker = quoteIdentifier(detail.marker);
  const emptied = emptiable(way).map((name) => `${name} = NULL`);
  return `UPDATE ${target(way)} AS zz_t SET ${[...emptied, `${marker} = ${later(`zz_t.${marker}`, null)}`].join(', ')} WHERE ${where}`;
}
/** Columns that can be NULL; the others keep what they have when the other side's row goes. */
export const emptiable = (way: Way): string[] =>
  Object.keys(way.expressions)
    .map((name) => columnOfTable(way.target.shape, actualName(way.target, name)))
    .filter(({ notNull }) => !notNull)
    .map(({ name }) => quoteIdentifier(name));

/** True where the target's row, `zz_t`, already is what the way gives for the source's, by image. */
export const agrees = (way: Way, key: readonly string[]): string =>
  `EXISTS (SELECT FROM ${target(way)} AS zz_t CROSS JOIN LATERAL (SELECT ${storedValues(way)
    .map((value, index) => `${value} AS zz_value_${index + 1}`)
    .join(', ')} FROM ${rowsOf(way.source)} WHERE ${isPair(way.source, quoteIdentifier(way.source.plan), key)}) AS zz_s
WHERE ${isPair(way.target, 'zz_t', key)} AND ROW(${written(way)
    .map((name) => `zz_t.${name}`)
    .join(', ')})::record *= ROW(${written(way)
    .map((_, index) => `zz_s.zz_value_${index + 1}`)
    .join(', ')})::record)`;

/** The stored columns that the expressions over this side read. */
export const storedReads = (side: SideShape): string[] => [
  ...new Set(
    side.reads
      .flatMap((name) => side.generated.get(actualName(side, name)) ?? [actualName(side, name)])
      .map(quoteIdentifier),
  ),
];
/**
 * True where one of the columns differs between the row before and after, by image. As a function, for a trigger's WHEN:
 * of the operator pg_dump would write a form without the casts to record, which can't be read back.
 */
export const differs = (names: readonly string[]): string => {
  const row = (which: 'new' | 'old'): string => `ROW(${names.map((name) => `${which}.${name}`).join(', ')})`;
  return names.length === 0 ? 'false' : `pg_catalog.record_image_ne(${row('new')}, ${row('old')})`;
};
