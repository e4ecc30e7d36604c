import type { RelationFacts, SchemaFacts } from '../facts.ts';
import { ownSize } from './draft.ts';

/** A tuple's header and line pointer in an index, and what a page of a fresh one leaves free. */
const ENTRY_BYTES = 12;
const FILL = 0.9;
const ALIGN_BYTES = 8;
/** Of a table that was never counted or a column without statistics. */
const UNKNOWN_COLUMN_BYTES = 16;
const UNKNOWN_ROW_BYTES = 64;
/** Up to this size a build sorts in memory: maintenance_work_mem as Postgres comes. */
const SORTED_IN_MEMORY_BYTES = 64 * 1024 * 1024;
/** A summary of each 128 pages, not an entry for each row. */
const BRIN_SHARE = 0.001;

const FIXED_WIDTHS: Readonly<Record<string, number>> = {
  boolean: 1,
  smallint: 2,
  integer: 4,
  real: 4,
  date: 4,
  bigint: 8,
  'double precision': 8,
  'timestamp without time zone': 8,
  'timestamp with time zone': 8,
  uuid: 16,
};

/** How much disk a new index takes, in bytes, by the statistics: for good, and twice that while a large one is sorted. */
export function indexDiskBytes(
  table: RelationFacts,
  columns: readonly (string | null)[],
  facts: SchemaFacts,
  method = 'btree',
): { kept: number; peak: number } {
  const { rows, bytes } = ownSize(table, facts);
  if (method === 'brin') return { kept: bytes * BRIN_SHARE, peak: bytes * BRIN_SHARE };
  const width = columns.reduce((total, name) => total + aligned(columnWidth(table, name)), 0);
  const kept = ((rows ?? bytes / UNKNOWN_ROW_BYTES) * (width + ENTRY_BYTES)) / FILL;
  return { kept, peak: kept > SORTED_IN_MEMORY_BYTES ? 2 * kept : kept };
}

function columnWidth(table: RelationFacts, name: string | null): number {
  const column = table.columns.find((one) => one.name === name);
  return column?.widthBytes ?? FIXED_WIDTHS[column?.type ?? ''] ?? UNKNOWN_COLUMN_BYTES;
}
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGN_BYTES) * ALIGN_BYTES;
