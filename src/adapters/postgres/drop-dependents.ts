import type { Queryable } from './database.ts';
import { findDualWrites, removeDualWrite } from './dual-write.ts';
import type { DualWriteDetail } from './dual-write-function.ts';
import { planNameOf } from './drop-loss.ts';
import { quoteIdentifier } from './identifier.ts';
import { columnReferences } from './retire-references.ts';
import { syncsOf } from './table-sync-follow.ts';
import { tableReferences } from './retire-table-references.ts';
import { type RetireTarget, stillInUse } from './retire-work.ts';

const COLUMN_OF = `(SELECT a.attrelid, a.attnum FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = $1 AND c.relname = $2 AND a.attname = $3 AND NOT a.attisdropped)`;
const TABLE_OF = `(SELECT c.oid, c.reltype FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2)`;

/** What keeps Postgres from dropping the column without CASCADE (our triggers aside), and what it would drop unasked. */
const ON_COLUMN = `
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) AS name FROM pg_depend d
JOIN ${COLUMN_OF} col ON d.refclassid = 'pg_class'::regclass AND d.refobjid = col.attrelid AND d.refobjsubid = col.attnum
WHERE d.deptype = 'n' AND NOT EXISTS (SELECT FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
  WHERE d.classid = 'pg_trigger'::regclass AND t.oid = d.objid AND p.pronamespace = 'switchback'::regnamespace)
UNION
SELECT format('constraint %I, which is about other columns too', k.conname) FROM pg_constraint k JOIN ${COLUMN_OF} col ON k.conrelid = col.attrelid
WHERE col.attnum = ANY (k.conkey) AND cardinality(k.conkey) > 1
UNION
SELECT format('unique index %I, which is about other columns too', i.indexrelid::regclass::text) FROM pg_index i JOIN ${COLUMN_OF} col ON i.indrelid = col.attrelid
WHERE i.indisunique AND col.attnum = ANY (i.indkey::int2[]) AND i.indnkeyatts > 1
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))`;
const ON_TABLE = `
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) AS name FROM pg_depend d
JOIN ${TABLE_OF} tab ON (d.refclassid = 'pg_class'::regclass AND d.refobjid = tab.oid) OR (d.refclassid = 'pg_type'::regclass AND d.refobjid = tab.reltype)
WHERE d.deptype = 'n' AND NOT (d.classid = 'pg_class'::regclass AND d.objid = tab.oid)
  AND NOT EXISTS (SELECT FROM pg_depend own WHERE own.classid = d.classid AND own.objid = d.objid
    AND own.refclassid = 'pg_class'::regclass AND own.refobjid = tab.oid AND own.deptype IN ('a', 'i'))`;

/** What goes with the column by itself: indexes, constraints and statistics about nothing else. */
const GOES_ALONG = `
SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) AS name FROM pg_depend d
JOIN ${COLUMN_OF} col ON d.refclassid = 'pg_class'::regclass AND d.refobjid = col.attrelid AND d.refobjsubid = col.attnum
WHERE d.deptype IN ('a', 'i') AND d.classid <> 'pg_attrdef'::regclass ORDER BY 1`;

/** Throws `StillInUse` naming everything that stands on what is to be dropped. Nothing is ever dropped by CASCADE. */
export async function refuseDependents(session: Queryable, target: RetireTarget, retiredName: string): Promise<void> {
  const { schema, table, column } = target;
  const rows =
    column === null
      ? await session.query(ON_TABLE, [schema, retiredName])
      : await session.query(ON_COLUMN, [schema, table, retiredName]);
  const named =
    column === null
      ? await tableReferences(session, { schema, table: retiredName })
      : await columnReferences(session, { schema, table, column: retiredName });
  const names = [...new Set([...rows.flatMap((row) => row['name'] ?? []), ...named])].sort();
  if (names.length === 0) return;
  throw stillInUse(
    target,
    `, retired as "${retiredName}", is what others stand on: ${names.join(', ')}`,
    'change or drop them (a `ddl` step of another migration, or by hand), then retry',
  );
}

/** Names of what is dropped along with a column. */
export async function goesAlong(session: Queryable, target: RetireTarget, retiredName: string): Promise<string[]> {
  if (target.column === null) return [];
  const rows = await session.query(GOES_ALONG, [target.schema, target.table, retiredName]);
  return rows.flatMap((row) => row['name'] ?? []);
}

/**
 * The statements that remove the dual writes which keep the column in step, and their steps. Nothing keeps the columns
 * `left` in step after that: they are out of use as well, by these names. Throws `StillInUse` where one keeps another
 * column in step that is not out of use.
 */
export async function dualWritesToRemove(
  session: Queryable,
  target: RetireTarget,
  retiredName: string,
): Promise<{ steps: string[]; statements: string[]; left: string[] }> {
  const removed = { steps: [] as string[], statements: [] as string[], left: [] as string[] };
  for (const { run, step, detail } of await findDualWrites(session, target.schema, target.table)) {
    const name = planNameOf(detail, retiredName);
    if (name === null) continue;
    const side = sameSide(detail, name).filter((other) => other !== name);
    const others = side.filter((other) => detail.renamed[other] === undefined);
    if (others.length > 0) {
      throw stillInUse(
        target,
        `is needed by the dual write of step "${step}" of migration "${run.migration}", which keeps ${others.map(quoteIdentifier).join(', ')} in step too`,
        'retire these columns as well, then retry: the triggers go with the first of them',
      );
    }
    removed.steps.push(step);
    removed.statements.push(...removeDualWrite(detail));
    removed.left.push(...side.flatMap((other) => detail.renamed[other] ?? []));
  }
  const { schema, table, column } = target;
  const found = await syncsOf(
    session,
    column === null ? { schema, table: retiredName, column } : { schema, table, column: retiredName },
  );
  for (const { run, step, others, away, statements } of found) {
    if (others.length > 0)
      throw stillInUse(
        target,
        `is needed by the dual write of step "${step}" of migration "${run.migration}", which keeps ${others.map(quoteIdentifier).join(', ')} in step too`,
        'retire these columns as well, then retry: the triggers go with the first of them',
      );
    removed.steps.push(step);
    removed.statements.push(...statements);
    removed.left.push(...away);
  }
  return removed;
}

/** The columns that clients of the column's own side use: the old side's where it isn't derived by `up`. */
function sameSide({ up, down, upReads }: DualWriteDetail, name: string): string[] {
  if (Object.hasOwn(up, name)) return Object.keys(up);
  return down === null ? upReads.filter((column) => !Object.hasOwn(up, column)) : Object.keys(down);
}
