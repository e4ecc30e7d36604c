import type { Queryable } from './database.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { findKey, type Key, keyOrder, keyText, keyValues } from './range-key.ts';
import type { Place } from './range-ledger.ts';
import { returnsOld } from './row-digest.ts';
import {
  actualName,
  commonType,
  readSyncShapes,
  type SyncShapes,
  type TableSyncDetail,
  type Way,
} from './table-sync-shape.ts';
import {
  emptiable,
  goneHashes,
  hasMarker,
  insertPairs,
  isPair,
  keyOf,
  pairHashes,
  pairsDigested,
  rowsOf,
  storedValues,
  target,
  updatePairs,
  written,
} from './table-sync-sql.ts';
import { type ComparedColumn, type Comparison, hasEquality } from './verify.ts';
import type { RangeOn, RepairStatement } from './verify-repair.ts';

/**
 * Compares the rows of two tables that a dual write keeps in step, in one statement: what is missing on either side, and
 * pairs of which the derived row isn't what the other one gives. Of a pair the row with the later clock is the derived
 * one; see `table-sync-sql.ts`.
 *
 * `zz_f` and `zz_t` are the two rows, each with what it gives for the other one; the key is the old table's.
 */
export async function comparePairs(session: Queryable, detail: TableSyncDetail): Promise<Comparison> {
  const shapes = await readSyncShapes(session, detail);
  const { source } = shapes.up;
  const columns = [
    ...(await comparedColumns(session, shapes.up, 'zz_derived')),
    ...(shapes.down === null ? [] : await comparedColumns(session, shapes.down, 'NOT zz_derived')),
  ];
  const key = await walkedKey(session, shapes);
  const pairs = (on?: RangeOn): string => pairsOf(shapes, key, on);
  const differs = `(${whatDiffers(shapes, columns)})`;
  return {
    shape: source.shape,
    key,
    from: pairs(),
    fromWithin: pairs,
    asked: 'true',
    differs,
    columns: columns.map((column) => ({ ...column, counts: `zz_in_from AND zz_in_to AND ${column.counts}` })),
    repair: repairPairs(shapes, { pairs, differs, seesOld: await returnsOld(session) }),
    unrepaired:
      'rows of the old table that a client changed past the triggers, and rows of the new table that its clients wrote and whose old row is missing, are not repaired: that would lose what they wrote',
    uppers: (queryable, places) => withLast(queryable, shapes, places),
  };
}

/** The key of the pairs in the order of the old table's index, which is the order of the walk, as wide as either. */
async function walkedKey(session: Queryable, { up }: Pick<SyncShapes, 'up'>): Promise<Key> {
  const { shape, pairKey } = up.source;
  const found =
    (await findKey(
      session,
      shape,
      pairKey.map(({ name }) => name),
    )) ?? pairKey;
  const types = keyTypes(up);
  const [first, ...others] = found.map((column) => ({
    ...column,
    type: types[pairKey.findIndex(({ name }) => name === column.name)] ?? column.type,
  }));
  return first === undefined ? pairKey : [first, ...others];
}

const keyTypes = ({ source, target: to }: Way): string[] =>
  source.pairKey.map(({ type }, index) => commonType(source, to, index) ?? type);
/** The walked key by the names of the new table. */
function ofTarget(walked: Key, { source, target: to }: Way): Key {
  const [first, ...others] = walked.map((column) => {
    const own = to.pairKey[source.pairKey.findIndex(({ name }) => name === column.name)];
    return { ...column, name: own?.name ?? column.name, collation: own?.collation ?? null };
  });
  return first === undefined ? walked : [first, ...others];
}

/** Rows of the new table may lie beyond the last one of the old table: the walk must reach them too. */
async function withLast(session: Queryable, { up }: SyncShapes, places: readonly Place[]): Promise<Place[]> {
  const place = places.at(-1) ?? null;
  const key = ofTarget(await walkedKey(session, { up }), up);
  const named = (values: readonly string[]): string =>
    values.map((value, index) => `${value} AS ${quoteIdentifier(key[index]?.name ?? '')}`).join(', ');
  const own = `SELECT ${named(key.map(({ name, type }) => `t.${quoteIdentifier(name)}::${type}`))} FROM ${target(up)} t ORDER BY ${keyOrder(key, 't', 'backward')} LIMIT 1`;
  const last = `(${own})${place === null ? '' : ` UNION ALL SELECT ${named(keyValues(key, '$1::text[]'))}`}`;
  const [end] = await session.query(
    `SELECT to_json(${keyText(key, 't')})::text AS place FROM (${last}) t ORDER BY ${keyOrder(key, 't', 'backward')} LIMIT 1`,
    place === null ? [] : [place],
  );
  const found = end === undefined ? null : (JSON.parse(end['place'] ?? '[]') as Place);
  return found === null || JSON.stringify(found) === JSON.stringify(place) ? [...places] : [...places, found];
}

/** One side's rows: key, marker, the columns that the other side derives, and what this side gives for the other. */
function sideRows(shapes: SyncShapes, side: 'from' | 'to', within: (alias: string) => string): string {
  const { detail, up, down } = shapes;
  const own = side === 'from' ? up.source : up.target;
  const gives = side === 'from' ? up : down;
  const takes = side === 'from' ? down : up;
  const alias = quoteIdentifier(own.plan);
  const columns = [
    ...keyOf(own, alias).map((name, index) => `${name} AS zz_key_${index + 1}`),
    `${hasMarker(detail, side) ? `${alias}.${quoteIdentifier(detail.marker)}` : 'NULL::bigint'} AS zz_clock`,
    ...(gives === null ? [] : storedValues(gives).map((value, index) => `${value} AS zz_gives_${index + 1}`)),
    ...(takes === null ? [] : written(takes).map((name, index) => `${alias}.${name} AS zz_has_${index + 1}`)),
  ];
  return `(SELECT ${columns.join(', ')} FROM ${rowsOf(own)} WHERE ${within(alias)})`;
}

const numbers = (expressions: object | null | undefined): number[] =>
  Object.keys(expressions ?? {}).map((_, index) => index + 1);

/**
 * All pairs and all rows without one, under the old table's name and its key's; those of a range where `on` is given. Both
 * tables get its condition, on columns as they are: Postgres carries it neither over a join nor through a cast.
 */
function pairsOf(shapes: SyncShapes, walked: Key, on: RangeOn = () => 'true'): string {
  const { up, down } = shapes;
  const keys = up.source.pairKey;
  const join = numbers(keys)
    .map((n) => `zz_t.zz_key_${n} = zz_f.zz_key_${n}`)
    .join(' AND ');
  const types = keyTypes(up);
  const columns = (inFrom: boolean): string =>
    [
      ...keys.map(
        ({ name }, index) =>
          `${inFrom ? 'zz_f' : 'zz_t'}.zz_key_${index + 1}::${types[index]} AS ${quoteIdentifier(name)}`,
      ),
      `${inFrom} AS zz_in_from`,
      `${inFrom ? 'zz_t.zz_key_1 IS NOT NULL' : 'true'} AS zz_in_to`,
      `${inFrom ? 'zz_f.zz_clock' : 'NULL::bigint'} AS zz_from_clock`,
      'zz_t.zz_clock AS zz_to_clock',
      `${inFrom ? 'zz_t.zz_clock IS NOT NULL AND abs(zz_t.zz_clock) > coalesce(abs(zz_f.zz_clock), 0)' : 'false'} AS zz_derived`,
      ...numbers(up.expressions).flatMap((n) => [
        `zz_t.zz_has_${n} AS zz_up_has_${n}`,
        `zz_f.zz_gives_${n} AS zz_up_gives_${n}`,
      ]),
      ...numbers(down?.expressions).flatMap((n) => [
        `zz_f.zz_has_${n} AS zz_down_has_${n}`,
        `zz_t.zz_gives_${n} AS zz_down_gives_${n}`,
      ]),
    ].join(', ');
  const old = sideRows(shapes, 'from', (alias) => on(walked, alias));
  const young = sideRows(shapes, 'to', (alias) => on(ofTarget(walked, up), alias));
  return `(SELECT ${columns(true)} FROM ${old} AS zz_f LEFT JOIN ${young} AS zz_t ON ${join}
UNION ALL
SELECT ${columns(false)} FROM ${young} AS zz_t LEFT JOIN ${old} AS zz_f ON ${join} WHERE zz_f.zz_key_1 IS NULL) AS ${quoteIdentifier(up.source.shape.table)}`;
}

async function comparedColumns(session: Queryable, way: Way, counts: string): Promise<ComparedColumn[]> {
  const columns: ComparedColumn[] = [];
  for (const [index, name] of Object.keys(way.expressions).entries()) {
    const actual = actualName(way.target, name);
    const collation = way.target.collations.get(actual);
    const has = `zz_${way.name}_has_${index + 1}`;
    const expected = `zz_${way.name}_gives_${index + 1}${collation === undefined ? '' : ` COLLATE ${collation}`}`;
    const differs = (await hasEquality(session, way.target.shape, actual))
      ? `${has} IS DISTINCT FROM ${expected}`
      : `${has}::text IS DISTINCT FROM ${expected}::text`;
    columns.push({ name, actual: has, expected, differs, counts });
  }
  return columns;
}

const any = (terms: readonly string[]): string => (terms.length === 0 ? 'false' : `(${terms.join(' OR ')})`);

function whatDiffers({ detail, up, down }: SyncShapes, columns: readonly ComparedColumn[]): string {
  const ways = (derived: boolean): string =>
    any(columns.filter(({ counts }) => (counts === 'zz_derived') === derived).map(({ differs }) => differs));
  const gives = any(numbers(up.expressions).map((n) => `zz_up_has_${n} IS NOT NULL`));
  const pair =
    down === null
      ? `CASE WHEN zz_to_clock IS NULL THEN true WHEN zz_to_clock = 0 THEN false ELSE ${ways(true)} END`
      : `CASE WHEN zz_to_clock IS NULL AND zz_from_clock IS NULL THEN true WHEN zz_derived THEN ${ways(true)} ELSE ${ways(false)} END`;
  const known = down === null ? 'coalesce(zz_to_clock, 0) <> 0' : 'zz_to_clock IS NOT NULL';
  const onlyTo = up.follows ? known : `${known} AND ${gives}`;
  return `CASE WHEN zz_in_from AND zz_in_to THEN ${pair} WHEN zz_in_from THEN ${onlyFrom(detail, down)} ELSE ${onlyTo} END`;
}

/** A pair that a new client has deleted in `to` alone has left no values behind. */
function onlyFrom({ ownership }: TableSyncDetail, down: Way | null): string {
  if (ownership !== 'split' || down === null) return 'true';
  const left = Object.keys(down.expressions).flatMap((name, index) =>
    emptiable(down).includes(quoteIdentifier(actualName(down.target, name)))
      ? [`zz_down_has_${index + 1} IS NOT NULL`]
      : [],
  );
  return `(zz_from_clock IS NULL OR ${any(left)})`;
}

/**
 * Mends what follows from the old table alone: pairs whose new row is the derived one, missing pairs, and rows of ours
 * whose old row is gone. Rows of the old table are locked and read as they are then.
 */
const repairPairs =
  (
    shapes: SyncShapes,
    { pairs, differs, seesOld }: { pairs: (on: RangeOn) => string; differs: string; seesOld: boolean },
  ): RepairStatement =>
  (range, _differs, on) => {
    const { detail, up, down } = shapes;
    const { source } = up;
    const alias = quoteIdentifier(source.shape.table);
    const marker = quoteIdentifier(detail.marker);
    const keys = source.pairKey.map(({ name }) => `${alias}.${quoteIdentifier(name)}`);
    const chosen = source.pairKey.map(({ name }) => `zz_d.${quoteIdentifier(name)}`);
    const unpaired = down === null ? 'true' : 'zz_from_clock IS NULL';
    const mendable = `(zz_in_from AND zz_in_to AND ${down === null ? 'zz_to_clock IS DISTINCT FROM 0' : `(zz_derived OR (zz_to_clock IS NULL AND ${unpaired}))`})`;
    const missing = up.follows
      ? ` OR (zz_in_from AND NOT zz_in_to AND ${unpaired}) OR (NOT zz_in_from AND zz_to_clock < 0)`
      : '';
    const stillDerived =
      down === null
        ? `zz_t.${marker} IS DISTINCT FROM 0`
        : `coalesce(abs(zz_t.${marker}), 1) > coalesce(abs(zz_s.zz_clock), 0)`;
    const pick = { where: 'true', rows: 'zz_rows' };
    const hashes = pairHashes(up, seesOld);
    const changes = [
      `zz_updated AS (${updatePairs(detail, up, { ...pick, and: stillDerived })} RETURNING ${hashes})`,
      ...(up.follows
        ? [
            `zz_inserted AS (${insertPairs(detail, up, { where: `NOT EXISTS (SELECT FROM ${target(up)} AS zz_o WHERE ${isPair(up.target, 'zz_o', keyOf(source, quoteIdentifier(source.plan)))})`, rows: 'zz_rows', and: 'false' })} RETURNING ${hashes})`,
            `zz_deleted AS (DELETE FROM ${target(up)} AS zz_t USING zz_differ AS zz_d WHERE NOT zz_d.zz_in_from AND zz_t.${marker} < 0 AND zz_t.${marker} = zz_d.zz_to_clock AND ${isPair(up.target, 'zz_t', chosen)}
  AND NOT EXISTS (SELECT FROM ${quoteTable(source.shape.schema, source.table)} AS zz_s WHERE ${isPair(source, 'zz_s', chosen)}) RETURNING ${goneHashes(up)})`,
          ]
        : []),
    ];
    const changed = changes.map((change) => `SELECT zz_b, zz_a FROM ${change.slice(0, change.indexOf(' '))}`);
    return `WITH zz_differ AS MATERIALIZED (SELECT ${keys.join(', ')}, zz_in_from, zz_to_clock FROM ${pairs(on)} WHERE ${range} AND ${differs} AND (${mendable}${missing})),
zz_rows AS MATERIALIZED (SELECT ${alias}.* FROM ${quoteTable(source.shape.schema, source.table)} AS ${alias}
  WHERE ${range} AND EXISTS (SELECT FROM zz_differ AS zz_d WHERE zz_d.zz_in_from AND ${isPair(source, alias, chosen)}) FOR SHARE OF ${alias}),
${changes.join(',\n')}
SELECT ${pairsDigested(seesOld)} FROM (${changed.join(' UNION ALL ')}) AS zz_written`;
  };
