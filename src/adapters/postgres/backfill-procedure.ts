import type { ChunkStatements, RowChange } from './backfill-change.ts';
import { dollarQuote } from './dual-write-function.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';
import { type Key, keyAfter, keyColumns, keyOrder, keyUpTo, keyValues } from './range-key.ts';
import { searchPath } from './table-expressions.ts';

/**
 * The procedure that walks a range of a table in chunks and commits each with its cursor. It is CALLed in slices, so
 * that no round trip stands between two chunks, and reads stop, rate and generation anew before every chunk.
 */
export interface BackfillWork extends Omit<RowChange, 'set'>, ChunkStatements {
  key: Key;
  /** Of a walk in heap order: how many rows a page has, about. Such a walk's key is the row's place; see heap-order.ts. */
  rowsPerPage?: number;
}

/** How long a chunk waits for a row that someone else holds before it lets go of its own rows and is tried again. */
export const ROW_LOCK_TIMEOUT_MS = 200;

/**
 * Settings of a chunk's transaction. The keys of a range are always few among many, whatever the statistics say: one
 * generic plan that walks the index serves all chunks. The slice's last commit flushes the ones before it.
 */
const settings = (schema: string): string =>
  Object.entries({
    search_path: searchPath(schema),
    plan_cache_mode: 'force_generic_plan',
    enable_seqscan: 'off',
    enable_sort: 'off',
    jit: 'off',
    synchronous_commit: 'off',
    lock_timeout: `${ROW_LOCK_TIMEOUT_MS}ms`,
  })
    .map(([name, value]) => `set_config(${quoteLiteral(name)}, ${quoteLiteral(value)}, true)`)
    .join(', ');

/** Parameters in their order, as CALL takes them: in, then in and out. */
export const PROCEDURE_CALL =
  '($1::bigint, $2::bigint, $3::float8, $4::integer, $5::integer, $6::float8, $7::text, NULL, 0, 0, 0, NULL)';

/** A chunk without rows, or one that nobody looked at, leaves the range's digest as it is. */
const addDigest = (of: 'before' | 'after'): string =>
  `${of}_digest = CASE WHEN zz.digest_${of} IS NULL THEN r.${of}_digest ELSE coalesce(r.${of}_digest, 0) # zz.digest_${of} END`;

/**
 * CREATE OR REPLACE PROCEDURE `switchback.<name>`(range, generation, slice ms, chunk rows, chunks at most, rest,
 * requested by; outcome, keys, rows, pause ms, ms of each chunk). `rest` is the time to rest after a chunk, as a
 * multiple of the time it took. Outcomes: `more`, `done`, `stopped`, `fenced`.
 */
export function backfillProcedure(name: string, work: BackfillWork): string {
  const { shape, key, rowsPerPage } = work;
  const alias = quoteIdentifier(shape.table);
  const table = `${quoteTable(shape.schema, shape.table)} AS ${alias}`;
  const place = (of: string): string[] => key.map((_, index) => `zz.${of}_${index + 1}`);
  const variables = (of: string): string =>
    key
      .map(
        ({ type, variableCollation }, index) =>
          `${of}_${index + 1} ${type}${variableCollation === null ? '' : ` COLLATE ${variableCollation}`};`,
      )
      .join(' ');
  const assign = (of: string, from: string): string =>
    keyValues(key, from)
      .map((value, index) => `zz.${of}_${index + 1} := ${value};`)
      .join(' ');
  const upTo = (of: string): string => keyUpTo(key, alias, place(of));
  const after = keyAfter(key, alias, place('lo'));
  // Pages have numbers: the next place in heap order needs no look at the rows.
  const pickPage = (from: string): string =>
    `zz.hi_1 := format('(%s,0)', ${from === '' ? 0 : '((zz.lo_1::text)::point)[0]::bigint'} + greatest(1, round(zz.take / ${rowsPerPage}::numeric))::bigint)::tid;`;
  const pickKey = (from: string): string =>
    `SELECT ${keyColumns(key, alias)} INTO ${place('hi').join(', ')} FROM ${table} WHERE ${from}${upTo('up')} ORDER BY ${keyOrder(key, alias, 'forward')} OFFSET zz.take - 1 LIMIT 1;`;
  const pick = rowsPerPage === undefined ? pickKey : pickPage;
  const rest = (from: string): string => `SELECT count(*) INTO zz.took FROM ${table} WHERE ${from}${upTo('up')};`;
  const change = (from: string): string => {
    const range = `${from}${upTo('hi')}`;
    const lock = work.lock === undefined ? '' : `${work.lock(range)} INTO zz.hit;\n      `;
    return `${lock}${work.change(range)} INTO zz.hit, zz.digest_before, zz.digest_after;`;
  };
  const body = `
#variable_conflict use_column
<<zz>>
DECLARE
  place text[]; bound text[]; range_state text; stop boolean; rate float8;
  ${variables('lo')} ${variables('hi')} ${variables('up')}
  take integer; took bigint; hit bigint; digest_before bigint; digest_after bigint; last boolean; wrote boolean := false;
  began timestamptz := clock_timestamp(); chunk_began timestamptz; spent_ms float8; due_ms float8; chunks integer := 0;
BEGIN
  outcome := 'more'; chunk_ms := '{}';
  LOOP
    PERFORM ${settings(shape.schema)};
    SELECT r.cursor_key, r.upper_key, r.state, r.stop, r.rows_per_second
      INTO zz.place, zz.bound, zz.range_state, zz.stop, zz.rate
      FROM switchback.ranges r WHERE r.id = in_range AND r.generation = in_generation FOR UPDATE;
    IF NOT FOUND THEN outcome := 'fenced'; EXIT; END IF;
    IF zz.range_state <> 'open' THEN outcome := 'done'; EXIT; END IF;
    IF zz.stop THEN outcome := 'stopped'; EXIT; END IF;
    zz.chunk_began := clock_timestamp();
    zz.take := CASE WHEN zz.rate IS NULL THEN in_rows ELSE greatest(1, least(in_rows, ceil(zz.rate / 10)))::integer END;
    ${assign('up', 'zz.bound')}
    IF zz.place IS NULL THEN
      ${pick('')}
    ELSE
      ${assign('lo', 'zz.place')}
      ${pick(`${after} AND `)}
    END IF;
    zz.last := ${rowsPerPage === undefined ? 'NOT FOUND' : 'zz.hi_1 >= zz.up_1'};
    zz.took := zz.take;
    IF zz.last THEN
      ${place('hi')
        .map((variable, index) => `${variable} := ${place('up')[index]};`)
        .join(' ')}
      IF zz.place IS NULL THEN ${rest('')} ELSE ${rest(`${after} AND `)} END IF;
    END IF;
    IF zz.place IS NULL THEN
      ${change('')}
    ELSE
      ${change(`${after} AND `)}
    END IF;
    ${rowsPerPage === undefined ? '' : 'zz.took := zz.hit;'}
    UPDATE switchback.ranges r SET cursor_key = ARRAY[${place('hi')
      .map((variable) => `${variable}::text`)
      .join(', ')}], keys_done = r.keys_done + zz.took, rows_done = r.rows_done + zz.hit,
      ${addDigest('before')}, ${addDigest('after')}, chunk_rows = in_rows, state = CASE WHEN zz.last THEN 'done' ELSE 'open' END, updated_at = clock_timestamp()
      WHERE r.id = in_range;
    IF zz.last THEN
      INSERT INTO switchback.lineage (migration, version, epoch, step, direction, kind, object, lower_key, upper_key, rows_changed, requested_by, before_digest, after_digest)
      SELECT r.migration, r.version, r.epoch, r.step, 'up', 'backfill', ${quoteLiteral(quoteTable(shape.schema, shape.table))}, ${rowsPerPage === undefined ? 'r.lower_key, r.upper_key' : 'NULL, NULL'}, r.rows_done, in_requested_by, r.before_digest, r.after_digest
      FROM switchback.ranges r WHERE r.id = in_range;
    END IF;
    COMMIT;
    zz.wrote := true; zz.chunks := zz.chunks + 1; keys := keys + zz.took; rows := rows + zz.hit;
    zz.spent_ms := 1000 * extract(epoch FROM clock_timestamp() - zz.chunk_began);
    IF NOT zz.last THEN chunk_ms := chunk_ms || zz.spent_ms; END IF;
    IF zz.last THEN outcome := 'done'; EXIT; END IF;
    zz.due_ms := zz.spent_ms * in_rest;
    IF zz.rate IS NOT NULL THEN
      zz.due_ms := greatest(zz.due_ms, 1000 * rows / zz.rate - 1000 * extract(epoch FROM clock_timestamp() - zz.began));
    END IF;
    zz.spent_ms := 1000 * extract(epoch FROM clock_timestamp() - zz.began);
    IF zz.spent_ms + zz.due_ms >= in_slice_ms OR zz.chunks >= in_chunks THEN pause_ms := zz.due_ms; EXIT; END IF;
    IF zz.due_ms > 0 THEN PERFORM pg_sleep(zz.due_ms / 1000); END IF;
  END LOOP;
  IF zz.wrote THEN
    PERFORM set_config('synchronous_commit', 'on', true);
    UPDATE switchback.ranges r SET updated_at = clock_timestamp() WHERE r.id = in_range AND r.generation = in_generation;
  END IF;
END`;
  return `CREATE OR REPLACE PROCEDURE ${quoteTable('switchback', name)}(
  in_range bigint, in_generation bigint, in_slice_ms float8, in_rows integer, in_chunks integer, in_rest float8, in_requested_by text,
  INOUT outcome text, INOUT keys bigint, INOUT rows bigint, INOUT pause_ms float8, INOUT chunk_ms float8[])
LANGUAGE plpgsql AS ${dollarQuote(body)}`;
}

export const dropProcedure = (name: string): string => `DROP PROCEDURE IF EXISTS ${quoteTable('switchback', name)}`;
