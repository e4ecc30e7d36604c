import { SwitchbackError } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { touchedBy, writtenBy } from './dual-write.ts';
import { type DualWriteDetail, dollarQuote } from './dual-write-function.ts';
import { FAMILY } from './dual-write-table.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { namesWord } from './retire-references.ts';
import { inSavepoint, refused, searchPath } from './table-expressions.ts';
import { assertWritable, columnOfTable, type TableShape } from './table-shape.ts';
import { inStep } from './table-sync.ts';

/**
 * Refuses, by name, what can't be kept in step. `session` must be in a transaction, which keeps nothing of it. Throws
 * `StatementFailed`, or `ForeignObject` where a column has the marker's name.
 */
export async function refuseDualWrite(session: Queryable, shape: TableShape, detail: DualWriteDetail): Promise<void> {
  await refusePlace(session, shape, detail);
  await refuseColumns(session, detail, shape);
  await refuseOverlap(session, detail);
  await refuseTriggers(session, shape, detail);
  await refuseReaders(session, shape, detail);
  await tryOnNulls(session, detail, shape);
  if (!shape.columns.has(detail.marker)) return;
  throw new SwitchbackError(
    'ForeignObject',
    `column ${quoteIdentifier(detail.marker)} exists in ${quoteTable(detail.schema, detail.table)} and no step of this run made it`,
    {
      hint: 'look where it comes from; rename or drop it, then retry',
      fields: { table: detail.table, column: detail.marker },
    },
  );
}

/** A partition has the columns of its parent, and an heir can have its own default or expression for each. */
async function refusePlace(session: Queryable, shape: TableShape, detail: DualWriteDetail): Promise<void> {
  const [parent] = await session.query(
    `SELECT i.inhparent::regclass::text AS parent FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhrelid = $1::oid AND c.relispartition`,
    [shape.oid],
  );
  if (parent !== undefined) {
    throw new SwitchbackError(
      'StatementFailed',
      `${quoteTable(shape.schema, shape.table)} is a partition of ${parent['parent']}: it can’t have columns of its own`,
      { hint: `name ${parent['parent']} in the step`, fields: { table: shape.table } },
    );
  }
  const columns = touchedBy(detail);
  const [other] = await session.query(
    `WITH RECURSIVE ${FAMILY}
     SELECT a.attrelid::regclass::text AS heir, a.attname AS "column",
       a.attgenerated <> '' OR root.attgenerated <> '' AS generated
     FROM family f JOIN pg_attribute a ON a.attrelid = f.oid AND a.attname = ANY ($2) AND NOT a.attisdropped
       JOIN pg_attribute root ON root.attrelid = $1::oid AND root.attname = a.attname
       LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
       LEFT JOIN pg_attrdef rd ON rd.adrelid = root.attrelid AND rd.adnum = root.attnum
     WHERE f.oid <> $1::oid AND pg_get_expr(d.adbin, d.adrelid) IS DISTINCT FROM pg_get_expr(rd.adbin, rd.adrelid)
       AND (a.attgenerated <> '' OR root.attgenerated <> '' OR a.attname = ANY ($3))
     ORDER BY 1, 2 LIMIT 1`,
    [shape.oid, columns, givenBy(detail)],
  );
  if (other === undefined) return;
  throw refusal(
    detail,
    other['column'] ?? '',
    other['generated'] === 't'
      ? `is generated in another way in ${other['heir']}`
      : `has another DEFAULT in ${other['heir']}`,
  );
}

/**
 * Two dual writes over one column would have to run in an order that depends on who writes: whichever ran first would
 * not see what the other one made of the row. Columns that both only read are no trouble.
 */
async function refuseOverlap(session: Queryable, detail: DualWriteDetail): Promise<void> {
  for (const { run, step, writes, touches } of await inStep(session, detail.schema, detail.table)) {
    const shared =
      writtenBy(detail).find((name) => touches.includes(name)) ??
      touchedBy(detail).find((name) => writes.includes(name));
    if (shared === undefined) continue;
    throw new SwitchbackError(
      'StatementFailed',
      `column ${quoteIdentifier(shared)} of ${quoteTable(detail.schema, detail.table)} is kept in step by step "${step}" of migration "${run.migration}" already`,
      {
        hint: 'two dual writes can’t share a column that one of them writes: keep both in one step, or let the other one’s triggers be removed first',
        fields: { table: detail.table, column: shared, migration: run.migration, step },
      },
    );
  }
}

async function refuseColumns(session: Queryable, detail: DualWriteDetail, shape: TableShape): Promise<void> {
  const up = Object.keys(detail.up);
  const down = Object.keys(detail.down ?? {});
  const both = up.find((name) => down.includes(name));
  if (both !== undefined) throw refusal(detail, both, 'is written by `up` and by `down`; it can be on one side only');
  const partitionKeys = await partitionKeysOf(session, shape);
  for (const name of [...up, ...down]) {
    assertWritable(columnOfTable(shape, name));
    if (partitionKeys.has(name))
      throw refusal(detail, name, 'is part of a partition key, which a trigger may not change');
    if (await refusesNull(session, columnOfTable(shape, name).type))
      throw refusal(
        detail,
        name,
        'is of a domain that refuses NULL: an INSERT that leaves it out fails before any trigger',
      );
  }
  for (const name of givenBy(detail)) {
    const { hasDefault, type } = columnOfTable(shape, name);
    if (hasDefault || (await domainHasDefault(session, type)))
      throw refusal(detail, name, 'has a DEFAULT: an INSERT that leaves it out looks as if it had been written');
  }
}

/**
 * Columns that an INSERT gives or leaves out. A default makes a column look given by a client that never heard of it. On
 * the old side that does no harm as long as the new side wins.
 */
const givenBy = (detail: DualWriteDetail): string[] =>
  detail.bothWritten === 'new'
    ? Object.keys(detail.up)
    : [...Object.keys(detail.up), ...Object.keys(detail.down ?? {})];

/** Columns of the table's partition key and of those of its partitions, also inside expressions. */
async function partitionKeysOf(session: Queryable, { oid, partitioned }: TableShape): Promise<ReadonlySet<string>> {
  if (!partitioned) return new Set();
  const rows = await session.query(
    `WITH RECURSIVE ${FAMILY}
     SELECT a.attname FROM family f JOIN pg_partitioned_table p ON p.partrelid = f.oid
       JOIN pg_attribute a ON a.attrelid = f.oid AND (a.attnum = ANY (p.partattrs) OR EXISTS (
         SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = f.oid AND d.objsubid = a.attnum
           AND d.refclassid = 'pg_class'::regclass AND d.refobjid = f.oid AND d.refobjsubid = 0 AND d.deptype = 'i'))`,
    [oid],
  );
  return new Set(rows.map((row) => row['attname'] ?? ''));
}

/** In a check the column isn't there yet, only its type is. */
async function domainHasDefault(session: Queryable, type: string): Promise<boolean> {
  const [row] = await session.query('SELECT typdefault IS NOT NULL AS given FROM pg_type WHERE oid = to_regtype($1)', [
    type,
  ]);
  return row?.['given'] === 't';
}

async function refusesNull(session: Queryable, type: string): Promise<boolean> {
  try {
    await inSavepoint(session, () => session.query(`SELECT NULL::${type}`));
    return false;
  } catch (error) {
    if (error instanceof PostgresError && error.sqlState.startsWith('23')) return true;
    throw error;
  }
}

const refusal = (detail: DualWriteDetail, column: string, what: string): SwitchbackError =>
  new SwitchbackError(
    'StatementFailed',
    `column ${quoteIdentifier(column)} of ${quoteTable(detail.schema, detail.table)} ${what}`,
    {
      hint: 'change the column in an earlier `ddl` step, or leave it out of the dual write',
      fields: { table: detail.table, column },
    },
  );

/** Triggers of others that run after ours could change what ours has just put in step. */
async function refuseTriggers(session: Queryable, shape: TableShape, detail: DualWriteDetail): Promise<void> {
  const [row] = await session.query(
    `WITH RECURSIVE ${FAMILY} SELECT quote_ident(t.tgname) AS name, t.tgrelid::regclass::text AS on_table FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE t.tgrelid IN (SELECT oid FROM family) AND NOT t.tgisinternal
       AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 AND t.tgenabled <> 'D'
       AND t.tgname::text COLLATE "C" > $2 AND p.pronamespace IS DISTINCT FROM to_regnamespace('switchback')
     ORDER BY t.tgname LIMIT 1`,
    [shape.oid, detail.trigger],
  );
  if (row === undefined) return;
  throw new SwitchbackError(
    'StatementFailed',
    `trigger ${row['name']} on ${row['on_table']} would run after ours (${detail.trigger}) and could undo what it does`,
    {
      hint: `rename the trigger so that it sorts before "${detail.trigger}" (ALTER TRIGGER … RENAME TO …)`,
      fields: { trigger: row['name'] ?? '' },
    },
  );
}

/** Triggers of others that run before ours see what is derived as it was before the write. */
async function refuseReaders(session: Queryable, shape: TableShape, detail: DualWriteDetail): Promise<void> {
  const rows = await session.query(
    `WITH RECURSIVE ${FAMILY} SELECT quote_ident(t.tgname) AS name, t.tgrelid::regclass::text AS on_table, p.prosrc AS body FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
     WHERE t.tgrelid IN (SELECT oid FROM family) AND NOT t.tgisinternal
       AND t.tgtype & 3 = 3 AND t.tgtype & 20 <> 0 AND t.tgenabled <> 'D' AND p.pronamespace IS DISTINCT FROM to_regnamespace('switchback')
     ORDER BY t.tgname`,
    [shape.oid],
  );
  for (const row of rows) {
    const column = Object.keys(detail.up).find((name) => namesWord(row['body'] ?? '', name));
    if (column === undefined) continue;
    throw new SwitchbackError(
      'StatementFailed',
      `trigger ${row['name']} on ${row['on_table']} names ${quoteIdentifier(column)}, which ours derives after it`,
      {
        hint: 'take the column out of the trigger’s function, or let the trigger run AFTER the write',
        fields: { trigger: row['name'] ?? '', column },
      },
    );
  }
}

/**
 * Evaluates each expression as the trigger will, over a row of NULLs. What a view takes and PL/pgSQL doesn't (a
 * reference to the whole row) shows here instead of failing every client's write; errors over the data don't count.
 */
async function tryOnNulls(session: Queryable, detail: DualWriteDetail, shape: TableShape): Promise<void> {
  const sides = [
    ['up', detail.up, detail.upReads],
    ['down', detail.down ?? {}, detail.downReads],
  ] as const;
  for (const [direction, expressions, reads] of sides) {
    const variables = reads.map(
      (name) => `${quoteIdentifier(name)} ${columnOfTable(shape, name).type.replace(/ NOT NULL$/, '')};`,
    );
    for (const [column, expression] of Object.entries(expressions)) {
      const block = `<<${quoteIdentifier(shape.table)}>>\nDECLARE ${variables.join(' ')}\nBEGIN PERFORM (\n${expression}\n); END`;
      await inSavepoint(session, async () => {
        await session.query(`SET LOCAL search_path = ${searchPath(detail.schema)}`);
        await session.query(`DO ${dollarQuote(block)}`);
      }).catch((error: unknown) => {
        if (error instanceof SwitchbackError && !String(error.fields['sqlState']).startsWith('42')) return;
        throw refused(error, `${direction}.${column}`);
      });
    }
  }
}

/** Triggers of others for UPDATE OF columns that the dual write derives: they don't fire for what ours changes. */
export async function updateOfTriggers(
  session: Queryable,
  detail: DualWriteDetail,
  shape: TableShape,
): Promise<{ name: string; columns: string }[]> {
  const rows = await session.query(
    `WITH RECURSIVE ${FAMILY}
     SELECT quote_ident(t.tgname) || ' on ' || t.tgrelid::regclass AS name,
       (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute a
          WHERE a.attrelid = t.tgrelid AND a.attnum = ANY (t.tgattr::int2[]) AND a.attname = ANY ($2)) AS columns
     FROM pg_trigger t WHERE t.tgrelid IN (SELECT oid FROM family) AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgparentid = 0
     ORDER BY 1`,
    [shape.oid, writtenBy(detail)],
  );
  return rows.flatMap(({ name, columns }) => (name && columns ? [{ name, columns }] : []));
}
