import type { RunRef } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { type DualWriteDetail, dollarQuote, dualWriteFunction } from './dual-write-function.ts';
import { syncedTable } from './dual-write-table.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';
import { stepHash } from './step-hash.ts';
import { readTableShape } from './table-shape.ts';

/**
 * Names of ours sort after every name in lower case, because triggers of one event run in the order of their names and
 * ours must see what the others made of the row.
 */
export function dualWriteNames(
  run: Pick<RunRef, 'migration' | 'version'>,
  step: string,
): Pick<DualWriteDetail, 'marker' | 'trigger' | 'function' | 'madeBy'> {
  const hash = stepHash(run, step);
  const name = `zz_switchback_${hash}`;
  return {
    marker: name,
    trigger: name,
    function: `sync_${hash}`,
    madeBy: { migration: run.migration, version: run.version, step },
  };
}

/**
 * The statements that remove all of it; they do nothing where nothing is left. The marker goes last. The triggers are
 * found by their function: also those of a table that was renamed, and of heirs that are none any more.
 */
export function removeDualWrite(
  detail: Pick<DualWriteDetail, 'schema' | 'table' | 'marker' | 'trigger' | 'function'>,
): string[] {
  const sync = `${quoteTable('switchback', detail.function)}()`;
  const marker = quoteIdentifier(detail.marker);
  const body = dollarQuote(`
DECLARE
  tables regclass[] := '{}';
  found record;
BEGIN
  FOR found IN SELECT tgrelid::regclass AS of, tgname FROM pg_trigger
    WHERE tgfoid = to_regprocedure(${quoteLiteral(sync)}) AND tgparentid = 0
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', found.tgname, found.of);
    tables := tables || found.of;
  END LOOP;
  DROP FUNCTION IF EXISTS ${sync};
  FOR found IN SELECT attrelid::regclass AS of FROM pg_attribute
    WHERE attrelid = ANY (tables) AND attname = ${quoteLiteral(detail.marker)} AND NOT attisdropped AND attinhcount = 0
  LOOP
    EXECUTE format('ALTER TABLE %s DROP COLUMN IF EXISTS %I', found.of, ${quoteLiteral(detail.marker)});
  END LOOP;
END`);
  return [
    `DO ${body}`,
    `ALTER TABLE IF EXISTS ${quoteTable(detail.schema, detail.table)} DROP COLUMN IF EXISTS ${marker}`,
  ];
}

/** What a column was called, and what it is called now. */
export interface ColumnRename {
  from: string;
  to: string;
}
/**
 * The plan's names of columns that are called otherwise, after renames that took effect at once: names may have changed
 * places. Null where none of them is about a column in `known`.
 */
export function renamedBy(
  known: readonly string[],
  before: Readonly<Record<string, string>>,
  renames: readonly ColumnRename[],
): Record<string, string> | null {
  // By today's names: the plan's name of a column that was retired can be another column's since.
  const changed = known.flatMap((name) =>
    renames.filter(({ from }) => from === (before[name] ?? name)).map(({ to }): [string, string] => [name, to]),
  );
  if (changed.length === 0) return null;
  const entries = Object.entries({ ...before, ...Object.fromEntries(changed) });
  return Object.fromEntries(entries.filter(([name, actual]) => name !== actual));
}

/**
 * Makes the trigger function follow a column that has another name now. To be called in the transaction of the rename,
 * after it; triggers need no change: a WHEN that names columns, as older ones do, is followed by Postgres. Answers with the detail to keep,
 * or null where the dual write doesn't know the column.
 */
async function rewriteDualWrite(
  session: Queryable,
  detail: DualWriteDetail,
  renames: readonly ColumnRename[],
): Promise<DualWriteDetail | null> {
  const renamed = renamedBy(touchedBy(detail), detail.renamed, renames);
  if (renamed === null) return null;
  const after: DualWriteDetail = { ...detail, renamed };
  const shape = await readTableShape(session, detail.schema, detail.table);
  await session.query(dualWriteFunction(after, await syncedTable(session, after, shape)));
  return after;
}

/** All dual writes of a table that are in force, each with the step that made it. */
export async function findDualWrites(
  session: Queryable,
  schema: string,
  table: string,
): Promise<{ run: Omit<RunRef, 'digest' | 'generation'>; step: string; detail: DualWriteDetail }[]> {
  // A check looks at databases that no migration has come to yet.
  const [ledger] = await session.query("SELECT to_regclass('switchback.steps') IS NOT NULL AS there");
  if (ledger?.['there'] !== 't') return [];
  const rows = await session.query(
    `SELECT migration, version, epoch, step, detail->'dualWrite' AS detail FROM switchback.steps
     WHERE kind = 'dual-write' AND state = 'applied' AND detail->'dualWrite'->>'schema' = $1 AND detail->'dualWrite'->>'table' = $2
       AND EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = 'switchback'::regnamespace AND p.proname = detail->'dualWrite'->>'function')`,
    [schema, table],
  );
  return rows.map((row) => ({
    run: { migration: row['migration'] ?? '', version: Number(row['version']), epoch: Number(row['epoch']) },
    step: row['step'] ?? '',
    detail: JSON.parse(row['detail'] ?? '{}') as DualWriteDetail,
  }));
}

/** Every column that the dual write reads or writes, by the plan's names. */
export const touchedBy = ({ up, down, upReads, downReads }: DualWriteDetail): string[] => [
  ...new Set([...Object.keys(up), ...Object.keys(down ?? {}), ...upReads, ...downReads]),
];
export const writtenBy = ({ up, down }: DualWriteDetail): string[] => [...Object.keys(up), ...Object.keys(down ?? {})];

/** The dual writes of the table, by step and migration: for those who would pull it away from under them. */
export const dualWritesInWords = async (session: Queryable, schema: string, table: string): Promise<string[]> =>
  (await findDualWrites(session, schema, table)).map(
    ({ run, step }) => `step "${step}" of migration "${run.migration}"`,
  );

/** Makes every dual write of the table follow its columns' new names, ledger included. Answers with how many there were. */
export async function renameInDualWrites(
  session: Queryable,
  schema: string,
  table: string,
  ...renames: readonly ColumnRename[]
): Promise<number> {
  let rewritten = 0;
  for (const { run, step, detail } of await findDualWrites(session, schema, table)) {
    const after = await rewriteDualWrite(session, detail, renames);
    if (after === null) continue;
    await session.query(
      `UPDATE switchback.steps SET detail = detail || jsonb_build_object('dualWrite', $5::jsonb)
       WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = $4`,
      [run.migration, run.version, run.epoch, step, JSON.stringify(after)],
    );
    rewritten += 1;
  }
  return rewritten;
}
