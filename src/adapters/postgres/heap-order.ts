import type { BackfillWork } from './backfill-procedure.ts';
import type { Queryable } from './database.ts';
import type { Key } from './range-key.ts';
import type { Place, RangeRow } from './range-ledger.ts';
import type { TableShape } from './table-shape.ts';

/**
 * Walking a table in the order of its pages instead of its key. Where neighbours in the key lie anywhere in the heap (uuid
 * keys), each chunk in key order reads and writes as many pages as it has rows: measured 2.9 times the reads, 2.5 times
 * the WAL and twice the time (ADR 0018).
 *
 * A row's place in the heap changes with every update, so this is only right under a dual write: whoever updates or
 * inserts a row that isn't migrated migrates it by the trigger, wherever it goes, so that the walk may miss it. What
 * moves rows without triggers (VACUUM FULL, CLUSTER, a client with session_replication_role = replica) can bring one
 * behind the cursor as it was. So the rows without a mark are counted once the walk is over, and while there are any, the
 * table is walked along its key as well. A row that can't be changed ends the walk too: it has to be named by its key.
 */
const HEAP_BYTES_MIN = 32 * 1_024 ** 2;
/** Of the key's first column with the heap, by the statistics: 1 and -1 are the same order, 0 is none. */
const CORRELATION_MAX = 0.5;

const operator = (name: string): string => `OPERATOR(pg_catalog.${name})`;
const PAGES: Key = [
  {
    name: 'ctid',
    type: 'tid',
    collation: null,
    variableCollation: null,
    descending: false,
    nullsFirst: false,
    operators: {
      less: operator('<'),
      lessOrEqual: operator('<='),
      equal: operator('='),
      greaterOrEqual: operator('>='),
      greater: operator('>'),
    },
  },
];
/** The second part of such a range's last place, which no key has. */
const HEAP_ORDER = 'heap order';

export const isHeapRange = ({ upper }: Pick<RangeRow, 'upper'>): boolean =>
  upper?.length === 2 && upper[1] === HEAP_ORDER && /^\(\d+,0\)$/.test(upper[0] ?? '');

/** Whether the walk goes better along the heap: a large table under a dual write whose key has another order. */
export async function prefersHeapOrder(session: Queryable, { shape, marker, key }: BackfillWork): Promise<boolean> {
  if (marker === null || shape.partitioned) return false;
  const [row] = await session.query(
    `SELECT pg_relation_size($1::oid) >= ${HEAP_BYTES_MIN} AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = $1::oid OR inhrelid = $1::oid)
       AND abs((SELECT s.correlation FROM pg_stats s WHERE s.schemaname = $2 AND s.tablename = $3 AND s.attname = $4)) < ${CORRELATION_MAX} AS prefers`,
    [shape.oid, shape.schema, shape.table, key[0].name],
  );
  return row?.['prefers'] === 't';
}

/** The same work, page by page. */
export async function inHeapOrder(session: Queryable, work: BackfillWork): Promise<BackfillWork> {
  const [row] = await session.query(
    'SELECT greatest(1, reltuples / greatest(1, relpages)) AS rows FROM pg_class WHERE oid = $1::oid',
    [work.shape.oid],
  );
  return { ...work, key: PAGES, rowsPerPage: Number(row?.['rows']) };
}

export const heapProcedureName = (procedure: string): string => `${procedure}_heap`;

/** Cuts the pages that the table has now into at most `ranges` pieces of as many; see `cutTable`. */
export async function cutHeap(session: Queryable, { oid }: TableShape, ranges: number): Promise<Place[]> {
  const [row] = await session.query("SELECT pg_relation_size($1::oid) / current_setting('block_size')::int AS pages", [
    oid,
  ]);
  const pages = Number(row?.['pages']);
  const each = Math.max(1, Math.ceil(pages / ranges));
  const pieces = Math.ceil(pages / each);
  return Array.from({ length: pieces }, (_, at) => [`(${Math.min(pages, (at + 1) * each)},0)`, HEAP_ORDER]);
}

/** A row on the way can't be changed: only its key can name it. */
export class HeapWalkOver extends Error {}
