import type { ChunkStatements } from './backfill-change.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import type { SyncShapes } from './table-sync-shape.ts';
import { hasMarker, insertPairs, pairHashes, pairsDigested, updatePairs } from './table-sync-sql.ts';

/**
 * How a chunk of the old table's rows gets its pairs. The rows are locked against writers first and read as they are
 * then: one that is deleted meanwhile is not brought back, and none is written with a value that has been replaced.
 * Rows that a trigger has paired already are left alone, so that a new client's value is never overwritten.
 * `seesOld`: whether this Postgres has `RETURNING old`, for the digests; rows that a client writes meanwhile are left alone.
 */
export function pairChunk(shapes: SyncShapes, seesOld: boolean): ChunkStatements {
  const { detail, up } = shapes;
  const { shape } = up.source;
  const alias = quoteIdentifier(shape.table);
  const marker = quoteIdentifier(detail.marker);
  const unpaired = hasMarker(detail, 'from') ? `${alias}.${marker} IS NULL AND ` : '';
  const pick = { where: 'true', rows: 'zz_rows', and: `zz_t.${marker} IS NULL` };
  const write = up.follows ? insertPairs(detail, up, pick) : updatePairs(detail, up, pick);
  return {
    change: (range) =>
      `WITH zz_rows AS MATERIALIZED (SELECT ${alias}.* FROM ${quoteTable(shape.schema, shape.table)} AS ${alias} WHERE ${unpaired}${range} FOR SHARE),
       zz_changed AS (${write} RETURNING ${pairHashes(up, seesOld)})
       SELECT ${pairsDigested(seesOld)} FROM zz_changed`,
  };
}
