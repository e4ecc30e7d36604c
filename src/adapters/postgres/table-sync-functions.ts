import { dollarQuote } from './dual-write-function.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { searchPath, underOurSettings } from './table-expressions.ts';
import { columnOfTable } from './table-shape.ts';
import { actualName, type SideShape, type SyncShapes, type TableSyncDetail, type Way } from './table-sync-shape.ts';
import {
  agrees,
  derived,
  differs,
  insertPairs,
  isPair,
  keyOf,
  LEAVING,
  later,
  NOW,
  pairGone,
  sourceClock,
  storedReads,
  target,
  updatePairs,
  written,
} from './table-sync-sql.ts';

/** The trigger functions of a dual write between tables, as SQL. They look at the rows as they are, not as they were. */

export const syncFunction = (detail: TableSyncDetail, side: 'from' | 'to'): string =>
  quoteTable('switchback', `sync_${detail.hash}_${side}`);
export const guardFunction = (detail: TableSyncDetail, side: 'from' | 'to'): string =>
  quoteTable('switchback', `guard_${detail.hash}_${side}`);
export const emptyFunction = (detail: TableSyncDetail): string => quoteTable('switchback', `empty_${detail.hash}`);

const variables = (side: SideShape, stem: string): string[] =>
  side.pairKey.map((_, index) => `zz_${stem}_${index + 1}`);
const declared = (side: SideShape, stem: string): string =>
  side.pairKey
    .map(
      ({ type, variableCollation }, index) =>
        `  zz_${stem}_${index + 1} ${type}${variableCollation === null ? '' : ` COLLATE ${variableCollation}`};`,
    )
    .join('\n');
const assigned = (side: SideShape, stem: string, row: 'new' | 'old'): string =>
  keyOf(side, row)
    .map((value, index) => `zz_${stem}_${index + 1} := ${value};`)
    .join(' ');
const keyChanged = (side: SideShape): string => differs(side.pairKey.map(({ name }) => quoteIdentifier(name)));

const create = (detail: TableSyncDetail, name: string, comment: string, body: string): string =>
  `CREATE OR REPLACE FUNCTION ${name}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = ${searchPath(detail.schema)} SET row_security = off${detail.immutable === true ? '' : underOurSettings()} AS ${dollarQuote(`
-- Switchback: ${comment.replaceAll('\n', ' ')}
-- Made by a migration that is under way, and removed by it; see docs/steps/dual-write.md.
#variable_conflict use_column
${body}`)}`;

/** Writes the pair of a row that a client wrote. */
function follow(shapes: SyncShapes, way: Way): string {
  const { detail } = shapes;
  const { source } = way;
  const table = quoteTable(source.shape.schema, source.table);
  const pair = variables(source, 'pair');
  const gone = variables(source, 'gone');
  const where = isPair(source, quoteIdentifier(source.plan), pair);
  const gives = way.name === 'down' && detail.ownership === 'merge' ? ` AND ${givesOf(way.source, shapes.up)}` : '';
  const insert = way.follows
    ? `  IF NOT FOUND THEN\n${insertPairs(detail, way, { where: `${where}${gives}` })};\n  END IF;`
    : '';
  return create(
    detail,
    syncFunction(detail, way.name === 'up' ? 'from' : 'to'),
    `${target(way)} follows ${table}`,
    `DECLARE
${declared(source, 'pair')}
${declared(source, 'gone')}
  zz_moved boolean := false;
  zz_clock bigint;
  zz_there boolean;
  zz_gives boolean;
  zz_same boolean;
  zz_back boolean := false;
BEGIN
IF tg_op = 'DELETE' OR (tg_op = 'UPDATE' AND (${keyChanged(source)})) THEN
  ${assigned(source, 'gone', 'old')}
  -- A row that is there again, or went to another partition, is not gone.
  IF NOT EXISTS (SELECT FROM ${table} AS zz_s WHERE ${isPair(source, 'zz_s', gone)}) THEN
${gonePart(shapes, way, gone)}
  END IF;
END IF;
IF tg_op = 'DELETE' THEN RETURN NULL; END IF;
${assigned(source, 'pair', 'new')}
IF tg_op = 'INSERT' THEN
${meetPart(shapes, way, pair)}
ELSIF zz_moved AND NOT (${differs(storedReads(source))}) THEN
  RETURN NULL;
END IF;
${updatePairs(detail, way, { where })};
${insert}
RETURN NULL;
END`,
  );
}

/** The row is gone from its key: the pair goes too, moves along, or loses its values. */
function gonePart({ detail }: SyncShapes, way: Way, gone: readonly string[]): string {
  const remove = `${pairGone(detail, way, gone)};`;
  if (!way.follows) return remove;
  const { source } = way;
  const marker = quoteIdentifier(detail.marker);
  const clock = sourceClock(detail, way) === null ? null : `new.${marker}`;
  const key = way.target.pairKey
    .map(({ name }, index) => `${quoteIdentifier(name)} = ${keyOf(source, 'new')[index]}`)
    .join(', ');
  // Only the key moves. Whichever row was the derived one stays it.
  const keepOrder =
    clock === null
      ? ''
      : `
      IF abs(${clock}) > coalesce(abs(zz_clock), 0) THEN
        UPDATE ${quoteTable(source.shape.schema, source.table)} AS zz_s SET ${marker} = ${later(`zz_s.${marker}`, `(SELECT zz_t.${marker} FROM ${target(way)} AS zz_t WHERE ${isPair(way.target, 'zz_t', keyOf(source, 'zz_s'))})`)}
        WHERE ${isPair(source, 'zz_s', keyOf(source, 'new'))};
      END IF;`;
  return `    IF tg_op = 'UPDATE' THEN
      SELECT zz_t.${marker} INTO zz_clock FROM ${target(way)} AS zz_t WHERE ${isPair(way.target, 'zz_t', gone)} FOR UPDATE;
      UPDATE ${target(way)} AS zz_t SET ${key}, ${marker} = ${later(`zz_t.${marker}`, clock)} WHERE ${isPair(way.target, 'zz_t', gone)};
      zz_moved := FOUND;
      IF zz_moved THEN${keepOrder}
      END IF;
    ELSE
      ${remove}
    END IF;`;
}

/** A new row finds its pair there already. */
function meetPart(shapes: SyncShapes, way: Way, pair: readonly string[]): string {
  const { detail, up, down } = shapes;
  const marker = quoteIdentifier(detail.marker);
  const back = way.name === 'up' ? down : up;
  const there = `SELECT true, zz_t.${marker}, ${givesOf(way.target, way, 'zz_t')} INTO zz_there, zz_clock, zz_gives
  FROM ${target(way)} AS zz_t WHERE ${isPair(way.target, 'zz_t', pair)} FOR UPDATE;`;
  const same = `    zz_same := ${agrees(way, pair)};${back === null ? '' : `\n    zz_back := ${agrees(back, pair)};`}`;
  if (way.name === 'down') {
    // A row that brings its marker along was in step before: it went to another partition.
    return `  IF abs(new.${marker}) > 0 THEN
${same}
    IF zz_same OR zz_back THEN RETURN NULL; END IF;
  END IF;`;
  }
  const known =
    sourceClock(detail, way) === null
      ? 'coalesce(zz_clock, 0) <> 0'
      : `coalesce(zz_clock, 0) <> 0 OR new.${marker} IS NOT NULL`;
  const takeBack =
    down === null
      ? ''
      : `      ${updatePairs(detail, down, { where: isPair(down.source, quoteIdentifier(down.source.plan), pair) })};\n`;
  return `  ${there}
  IF zz_there THEN
${same}
    IF ${known} THEN
      IF zz_same OR zz_back THEN RETURN NULL; END IF;
    ELSIF zz_gives AND NOT zz_same THEN
      -- Clients wrote both sides before they were a pair.
      IF zz_back OR NOT (${givesOf(way.source, null)})${detail.bothWritten === 'new' ? ' OR true' : ''} THEN
${takeBack}        RETURN NULL;
      END IF;
${
  detail.bothWritten === 'error'
    ? `      RAISE EXCEPTION 'the row and its pair in ${target(way).replaceAll("'", "''").replaceAll('%', '%%')} were written with values that do not belong together'
        USING ERRCODE = 'integrity_constraint_violation', HINT = 'write one side only; the other one follows', TABLE = tg_table_name, SCHEMA = tg_table_schema;`
    : ''
}
    END IF;
  END IF;`;
}

/** True where the row gives a value of its side: of the columns that `way` writes, or that are read. */
function givesOf(side: SideShape, way: Way | null, row?: string): string {
  const names = way === null ? storedReads(side) : written(way);
  const alias = row ?? (way === null ? 'new' : quoteIdentifier(side.plan));
  return names.length === 0 ? 'false' : `num_nonnulls(${names.map((name) => `${alias}.${name}`).join(', ')}) > 0`;
}

/** Keeps the marker of rows that clients write, and lets nothing of an unpaired row be lost to one who writes half. */
function guardTo({ detail, up, down }: SyncShapes): string {
  const { source, target: to } = up;
  const marker = quoteIdentifier(detail.marker);
  const pair = variables(to, 'pair');
  const names = written(up);
  const values = names.map((_, index) => `zz_value_${index + 1}`);
  const types = Object.keys(up.expressions)
    .map((name, index) => {
      const { type, collation } = columnOfTable(to.shape, actualName(to, name));
      return `  zz_value_${index + 1} ${type}${collation === null ? '' : ` COLLATE ${collation}`};`;
    })
    .join('\n');
  const unpaired = down === null ? '' : ` AND ${quoteIdentifier(source.plan)}.${marker} IS NULL`;
  const where = `${isPair(source, quoteIdentifier(source.plan), pair)}${unpaired}`;
  const look = `SELECT ${names.map((_, index) => `zz_s.zz_value_${index + 1}`).join(', ')} INTO ${values.join(', ')}
    FROM (${derived(detail, up, { where })}) AS zz_s;`;
  const filled = names.map((name, index) => `new.${name} := coalesce(new.${name}, ${values[index]});`).join(' ');
  const kept = names
    .map(
      (name, index) =>
        `IF ROW(new.${name})::record *= ROW(old.${name})::record THEN new.${name} := ${values[index]}; END IF;`,
    )
    .join('\n      ');
  return create(
    detail,
    guardFunction(detail, 'to'),
    `a client's write to ${target(up)}, before it is made`,
    `DECLARE
${declared(to, 'pair')}
${types}
BEGIN
${assigned(to, 'pair', 'new')}
IF tg_op = 'INSERT' THEN
  new.${marker} := 0;
${insertGuard({ detail, up, down }, { look, filled, where, pair, names, values })}
ELSE
  new.${marker} := abs(old.${marker});
  IF ${differs(newSide(up, down))} THEN
    ${down === null ? `new.${marker} := 0;` : ''}
    IF old.${marker} IS NULL THEN
      new.${marker} := 0;
      ${look}
      IF FOUND THEN
      ${kept}
      END IF;
    END IF;
  END IF;
END IF;
RETURN new;
END`,
  );
}

/** The columns of `to` whose change is a client's word about the new side. */
const newSide = (up: Way, down: Way | null): string[] => [
  ...new Set([...written(up), ...(down === null ? [] : storedReads(down.source))]),
];

function insertGuard(
  { detail, up }: SyncShapes,
  parts: { look: string; filled: string; where: string; pair: string[]; names: string[]; values: string[] },
): string {
  const { look, filled, where, pair, names, values } = parts;
  const marker = quoteIdentifier(detail.marker);
  const there = isPair(up.target, 'zz_t', pair);
  const missing = `NOT EXISTS (SELECT FROM ${target(up)} AS zz_t WHERE ${there})`;
  if (detail.ownership === 'copy') {
    return `  -- The same key in the other table is the same row: the client meets it here as it would there.
  IF ${missing} THEN
${insertPairs(detail, up, { where })};
  END IF;`;
  }
  const fill = `  IF ${missing} THEN
    ${look}
    IF FOUND THEN ${filled} END IF;
  END IF;`;
  if (detail.ownership === 'merge') return fill;
  // Rows of others that lean on ours would go with it: then it gives way only in the transaction that made it.
  const fresh = detail.cascades ? ` AND -zz_t.${marker} > ${NOW}` : '';
  return `  -- A row that we made of the other table's gives way to the one that the client makes.
  UPDATE ${target(up)} AS zz_t SET ${marker} = ${LEAVING} WHERE ${there} AND zz_t.${marker} < 0${fresh};
  IF FOUND THEN
    DELETE FROM ${target(up)} AS zz_t WHERE ${there} RETURNING ${names.map((name) => `zz_t.${name}`).join(', ')} INTO ${values.join(', ')};
    ${filled}
  ELS${fill.trimStart()}`;
}

function guardFrom({ detail }: SyncShapes, side: SideShape): string {
  const marker = quoteIdentifier(detail.marker);
  return create(
    detail,
    guardFunction(detail, 'from'),
    `a client's write to ${quoteTable(side.shape.schema, side.table)} leaves the marker alone`,
    `BEGIN\nnew.${marker} := abs(old.${marker});\nRETURN new;\nEND`,
  );
}

function emptied({ detail, up }: SyncShapes): string {
  const { source } = up;
  const from = quoteTable(source.shape.schema, source.table);
  return create(
    detail,
    emptyFunction(detail),
    `TRUNCATE of ${from} or ${target(up)}`,
    `BEGIN
IF EXISTS (SELECT FROM ${from}) OR EXISTS (SELECT FROM ${target(up)}) THEN
  RAISE EXCEPTION 'TRUNCATE of one of two tables that a migration keeps in step'
    USING ERRCODE = 'object_in_use', HINT = 'truncate both tables in one statement, or DELETE the rows', TABLE = tg_table_name, SCHEMA = tg_table_schema;
END IF;
RETURN NULL;
END`,
  );
}

/** CREATE OR REPLACE of all functions, over the tables as they are now. */
export function syncFunctions(shapes: SyncShapes): string[] {
  const { up, down } = shapes;
  return [
    follow(shapes, up),
    guardTo(shapes),
    ...(down === null ? [] : [follow(shapes, down), guardFrom(shapes, up.source)]),
    emptied(shapes),
  ];
}

export { keyChanged, newSide };
