/** Postgres keeps about so much WAL where nothing holds it back (`max_wal_size`, 1 GiB if nobody has set it). */
const WAL_KEPT_BYTES_MAX = 1_024 ** 3;

/**
 * The disk that changing `share` (0 … 1) of a table's rows can take until a vacuum makes room, in bytes: the rows and
 * their index entries once more, and as much WAL, which is thrown away as it goes.
 */
export function backfillDiskBytes(table: { heapBytes: number; indexBytes: number }, share = 1): number {
  const again = share * (table.heapBytes + table.indexBytes);
  return Math.ceil(again + Math.min(again, WAL_KEPT_BYTES_MAX));
}
