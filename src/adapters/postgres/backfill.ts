import { assertRowErrors, fenced, isContention, isRowError, stepOverRow } from './backfill-errors.ts';
import { type BackfillWork, PROCEDURE_CALL } from './backfill-procedure.ts';
import type { Database, Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { quoteTable } from './identifier.ts';
import { wait } from './lock-ladder.ts';
import { goOn, type RangeOwner, type RangeRow } from './range-ledger.ts';

/** How large chunks are, as whoever steers them says. */
export interface ChunkSize {
  readonly rows: number;
  /** Chunks to do before the next look at the size. */
  readonly chunksMax: number;
  observe(chunkMs: readonly number[]): void;
}
/** How a slice is walked. What may change within it, the cap and a stop, stands in the range's row. */
export interface SlicePace {
  /** Rest after each chunk, as a multiple of the time it took. */
  rest: number;
  /** Rows of a chunk at most; null: as many as its size says. */
  chunkRows: number | null;
}
export interface Walk {
  database: Database;
  owner: RangeOwner;
  work: BackfillWork;
  procedure: string;
  requestedBy: string;
  maxRowErrors: number;
  signal: AbortSignal;
  /** Asked before each slice, with no transaction open; doesn't answer while the walk is to stand still. */
  pace(): Promise<SlicePace>;
  chunkSize(): ChunkSize;
  /** After each slice: keys visited and rows changed in this range so far, and why it waits, in words. */
  onSlice(range: Pick<RangeRow, 'id' | 'keysDone' | 'rowsDone' | 'open'>, note: string | null): void;
}

/** A slice is one CALL: short, so that a stop is heard and progress is seen; chunks commit one by one within. */
const SLICE_MS = 500;
/** Tries at the same place before the chunk is made smaller: most locks and deadlocks are gone by then. */
const PATIENT_TRIES = 3;
const BACKOFF_FIRST_MS = 20;
const BACKOFF_MAX_MS = 1_000;

interface Slice {
  outcome: 'more' | 'done' | 'stopped' | 'fenced';
  keys: number;
  rows: number;
  pauseMs: number;
  chunkMs: number[];
}

/** Walks one range to its end on a session of its own. Throws `signal.reason` after the chunk under way when aborted. */
export async function walkRange(session: Queryable, range: RangeRow, walk: Walk): Promise<void> {
  const size = walk.chunkSize();
  const state = { id: range.id, keysDone: range.keysDone, rowsDone: range.rowsDone, open: range.open };
  // After an error fewer rows at a time, down to the one that causes it; then twice as many each time.
  let narrow: number | null = null;
  let tries = 0;
  while (state.open) {
    const pace = await walk.pace();
    walk.signal.throwIfAborted();
    const limited = pace.chunkRows !== null && pace.chunkRows < size.rows;
    const wished = limited ? (pace.chunkRows ?? size.rows) : size.rows;
    const rows: number = narrow ?? wished;
    let note: string | null = null;
    try {
      const slice = await callSlice(session, walk, range.id, {
        rows,
        rest: pace.rest,
        chunks: narrow === null ? size.chunksMax : 1,
      });
      tries = 0;
      state.keysDone += slice.keys;
      state.rowsDone += slice.rows;
      await settle(slice, state, walk);
      if (narrow !== null) narrow = narrow * 2 >= wished ? null : narrow * 2;
      else if (!limited) size.observe(slice.chunkMs);
      walk.onSlice(state, null);
      if (slice.pauseMs > 0) await wait(slice.pauseMs, walk.signal);
      continue;
    } catch (error) {
      if (isContention(error)) {
        tries += 1;
        note = `waits for rows that others hold (${error.sqlState}, try ${tries})`;
        if (tries > PATIENT_TRIES) narrow = Math.max(1, Math.floor(rows / 2));
      } else if (isRowError(error)) {
        if (rows === 1) await setAside(walk, range.id);
        else narrow = Math.max(1, Math.floor(rows / 2));
        note = `looks for a row that can't be changed (${error.sqlState})`;
      } else if (!isGone(error)) throw error;
      Object.assign(state, await reread(session, walk, range.id));
      if (isGone(error) && state.open) throw error;
    }
    walk.onSlice(state, note);
    if (tries > 0)
      await wait(Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** tries) * (0.5 + Math.random() / 2), walk.signal);
  }
}

/** The procedure goes with the step: whoever finds it gone finds the range done by another worker. */
const isGone = (error: unknown): boolean => error instanceof PostgresError && error.sqlState === UNDEFINED_FUNCTION;
const UNDEFINED_FUNCTION = '42883';

async function setAside(walk: Walk, rangeId: string): Promise<void> {
  try {
    await stepOverRow(walk.database, walk.owner, walk.work, rangeId);
  } catch (error) {
    // Someone holds the row now: the walk comes back to it.
    if (!isContention(error)) throw error;
  }
  await assertRowErrors(walk.database, walk.owner, walk.maxRowErrors);
}

async function settle(slice: Slice, state: { id: string; open: boolean }, walk: Walk): Promise<void> {
  if (slice.outcome === 'fenced') throw fenced(walk.owner);
  if (slice.outcome === 'done') state.open = false;
  if (slice.outcome !== 'stopped') return;
  walk.signal.throwIfAborted();
  // The pace has fallen, or the stop was meant for an earlier worker of the same generation.
  await goOn(walk.database, walk.owner, state.id);
}

async function callSlice(
  session: Queryable,
  walk: Walk,
  rangeId: string,
  { rows, rest, chunks }: { rows: number; rest: number; chunks: number },
): Promise<Slice> {
  const [row] = await session.query(`CALL ${quoteTable('switchback', walk.procedure)}${PROCEDURE_CALL}`, [
    rangeId,
    walk.owner.run.generation,
    SLICE_MS,
    rows,
    chunks,
    rest,
    walk.requestedBy,
  ]);
  const times = (row?.['chunk_ms'] ?? '{}').slice(1, -1);
  return {
    outcome: row?.['outcome'] as Slice['outcome'],
    keys: Number(row?.['keys']),
    rows: Number(row?.['rows']),
    pauseMs: Number(row?.['pause_ms'] ?? 0),
    chunkMs: times === '' ? [] : times.split(',').map(Number),
  };
}

/** Where the range is after an error: chunks before it were committed. The write flushes them before they are told. */
async function reread(
  session: Queryable,
  walk: Walk,
  rangeId: string,
): Promise<Pick<RangeRow, 'keysDone' | 'rowsDone' | 'open'>> {
  const [row] = await session.query(
    'UPDATE switchback.ranges SET updated_at = clock_timestamp() WHERE id = $1 AND generation = $2 RETURNING keys_done, rows_done, state',
    [rangeId, walk.owner.run.generation],
  );
  if (row === undefined) throw fenced(walk.owner);
  return { keysDone: Number(row['keys_done']), rowsDone: Number(row['rows_done']), open: row['state'] === 'open' };
}
