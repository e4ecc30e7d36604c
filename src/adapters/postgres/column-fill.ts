import { SwitchbackError } from '../../messages/index.ts';
import type { ColumnFill } from '../../sql/index.ts';
import type { Queryable } from './database.ts';
import { lockErrorOrFailure } from './ddl-failure.ts';
import { type DdlStatement, type DdlWork, enterDdl, isDone, recordDone, statementLabel } from './ddl-record.ts';
import type { DirectSession } from './ddl-session.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { recordLineage } from './lineage.ts';
import { climbTransaction } from './lock-ladder.ts';
import { searchPath } from './table-expressions.ts';

/**
 * Gives rows that have no value in a new column yet its default, in short transactions over ranges of pages. Where it is
 * shows in the rows themselves: whoever comes after a crash looks for those without a value. Rows that others change
 * meanwhile move behind the cursor, so passes go on until one has found none.
 */
export interface FillStep {
  statement: DdlStatement;
  fill: ColumnFill;
  last: boolean;
}
const CHUNK_PAGES_FIRST = 64;
const CHUNK_PAGES_MAX = 1_024;
/** How long a chunk may hold the rows that it fills. */
const CHUNK_TARGET_MS = 20;
/** A chunk that took less than this share of its target is followed by a larger one. */
const GROW_BELOW = 0.5;
/** Far more than moving rows need; only clients that write NULL into the column on and on get there. */
const PASSES_MAX = 50;

/** A table that holds rows itself: the table, or one of its partitions or heirs. */
interface Leaf {
  schema: string;
  name: string;
  pages: number;
}
/** Where a pass is: pages are counted over all tables. */
interface Pass {
  number: number;
  pages: number;
  pagesDone: number;
  filled: number;
}

export async function applyColumnFill(work: DdlWork, step: FillStep): Promise<void> {
  if (await wasDone(work, step)) return;
  let chunkPages = CHUNK_PAGES_FIRST;
  await work.database.session(async (session) => {
    for (let number = 1; ; number++) {
      const leaves = await leavesOf(session, step.fill);
      const pass = { number, pages: leaves.reduce((sum, { pages }) => sum + pages, 0), pagesDone: 0, filled: 0 };
      for (const leaf of leaves) chunkPages = await fillLeaf(work, step, { session, leaf, pass, chunkPages });
      if (pass.filled === 0) return;
      if (number === PASSES_MAX) throw neverFull(step, pass);
    }
  });
  await work.database.transaction(async (transaction) => {
    const { detail } = await enterDdl(work, transaction);
    if (isDone(detail, step.statement)) return;
    const difference = { created: [], dropped: [], renamed: [], changed: [] };
    await recordDone(work, transaction, detail, { statement: step.statement, difference, irreversible: [] }, step.last);
  });
}

/** Rows that move are fewer in every pass; what stays as many is written as NULL by clients, again and again. */
const neverFull = ({ statement, fill }: FillStep, { number, filled }: Pass): SwitchbackError =>
  new SwitchbackError(
    'StatementFailed',
    `${statementLabel(statement)}: column "${fill.column}" of "${fill.table}" had NULL in ${filled} rows in the last of ${number} passes: clients keep writing NULL into it`,
    {
      hint: 'let clients leave the column out until it is filled, then retry; or add it without its default and fill it with a `backfill` step',
      fields: { table: fill.table, column: fill.column },
    },
  );

const wasDone = (work: DdlWork, { statement }: FillStep): Promise<boolean> =>
  work.database.transaction(async (transaction) => isDone((await enterDdl(work, transaction)).detail, statement));

/** The table with its partitions and heirs, as far as they hold rows. */
async function leavesOf(session: Queryable, { schema, table }: ColumnFill): Promise<Leaf[]> {
  const rows = await session.query(
    `WITH RECURSIVE tree AS (
       SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2
       UNION SELECT i.inhrelid FROM tree JOIN pg_inherits i ON i.inhparent = tree.oid
     )
     SELECT n.nspname AS schema, c.relname AS name,
       ceil(pg_relation_size(c.oid) / current_setting('block_size')::numeric)::bigint AS pages
     FROM tree JOIN pg_class c ON c.oid = tree.oid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'r' ORDER BY n.nspname, c.relname`,
    [schema, table],
  );
  return rows.map((row) => ({
    schema: row['schema'] ?? '',
    name: row['name'] ?? '',
    pages: Number(row['pages'] ?? 0),
  }));
}

interface LeafFill {
  session: DirectSession;
  leaf: Leaf;
  pass: Pass;
  chunkPages: number;
}

/** Goes through one table; answers with how many pages a chunk has by now. */
async function fillLeaf(work: DdlWork, step: FillStep, { session, leaf, pass, chunkPages }: LeafFill): Promise<number> {
  let pages = chunkPages;
  for (let from = 0; from < leaf.pages; ) {
    work.signal.throwIfAborted();
    const to = Math.min(from + pages, leaf.pages);
    const { filled, ms } = await fillChunk(work, step, { session, leaf, from, to });
    pass.filled += filled;
    pass.pagesDone += to - from;
    from = to;
    pages = nextChunk(pages, ms);
    const which = pass.number === 1 ? '' : `, pass ${pass.number} for rows that moved meanwhile`;
    work.onWait(`fills column "${step.fill.column}" of "${leaf.schema}.${leaf.name}"${which}`, {
      done: pass.pagesDone,
      total: pass.pages,
    });
  }
  return pages;
}

const nextChunk = (pages: number, ms: number): number =>
  ms > CHUNK_TARGET_MS
    ? Math.max(1, Math.floor(pages / 2))
    : ms < CHUNK_TARGET_MS * GROW_BELOW
      ? Math.min(CHUNK_PAGES_MAX, Math.ceil(pages * 1.5))
      : pages;

interface Chunk {
  session: DirectSession;
  leaf: Leaf;
  /** Pages, `to` not included. */
  from: number;
  to: number;
}

/** One transaction under the fence; waits for rows that others hold no longer than a try of the ladder. */
async function fillChunk(
  work: DdlWork,
  { statement, fill }: FillStep,
  { session, leaf, from, to }: Chunk,
): Promise<{ filled: number; ms: number }> {
  const { database, signal, limits, killBlockers } = work;
  const purpose = statementLabel(statement);
  const climb = { database, limits, signal, purpose, killBlockers, onWait: (note: string) => work.onWait(note) };
  const table = quoteTable(leaf.schema, leaf.name);
  const column = quoteIdentifier(fill.column);
  // A default that is NULL for a row leaves nothing to do for it.
  const sql = `WITH filled AS (UPDATE ONLY ${table} SET ${column} = DEFAULT
      WHERE ctid >= $1::tid AND ctid < $2::tid AND ${column} IS NULL RETURNING ${column} IS NOT NULL AS has_value)
    SELECT count(*) FILTER (WHERE has_value) AS filled FROM filled`;
  return climbTransaction(session, climb, async (transaction, lockTimeoutMs) => {
    await work.ledger.fence(transaction, work.key.run);
    await transaction.query(
      `SET LOCAL lock_timeout = ${lockTimeoutMs}; SET LOCAL search_path = ${searchPath(work.schema)}`,
    );
    const begun = performance.now();
    const [row] = await transaction.query(sql, [`(${from},0)`, `(${to},0)`]).catch((error: unknown) => {
      throw lockErrorOrFailure(statement, error);
    });
    const ms = performance.now() - begun;
    const filled = Number(row?.['filled'] ?? 0);
    await transaction.query('SET LOCAL search_path = pg_catalog');
    if (filled > 0) await recordFilled(work, transaction, { object: table, rows: filled });
    return { filled, ms };
  });
}

/** One row of the lineage for each table, with how many of its rows were filled so far. */
async function recordFilled(
  { key, slot, requestedBy = '' }: DdlWork,
  transaction: Queryable,
  { object, rows }: { object: string; rows: number },
): Promise<void> {
  const { run, step } = key;
  const [known] = await transaction.query(
    `UPDATE switchback.lineage SET rows_changed = rows_changed + $6 WHERE id = (
       SELECT max(id) FROM switchback.lineage
       WHERE object = $1 AND migration = $2 AND version = $3 AND epoch = $4 AND step = $5 AND kind = 'ddl')
     RETURNING id`,
    [object, run.migration, run.version, run.epoch, step, rows],
  );
  if (known !== undefined) return;
  const direction = slot === 'up' ? 'up' : 'down';
  const entry = { run, step, direction, kind: 'ddl', object, lower: null, upper: null, rows, requestedBy } as const;
  await recordLineage(transaction, entry);
}
