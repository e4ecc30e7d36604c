import { readFile, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import type { Queryable } from './database.ts';

const WHERE = `
SELECT CASE WHEN $1::boolean THEN pg_database_size(current_database()) END::text AS bytes, extract(epoch FROM date_trunc('second', pg_postmaster_start_time()))::bigint::text AS started,
  CASE WHEN pg_has_role('pg_read_all_settings', 'USAGE') THEN current_setting('data_directory') END AS directory`;
/** In postmaster.pid: when the server started, in seconds. Source: PostgreSQL, miscadmin.h, LOCK_FILE_LINE_START_TIME. */
const START_LINE = 2;

/**
 * How much the database may still grow, in bytes: up to `room`, and to what is free on the disk where the server runs
 * on this machine and its data directory can be seen. Null where neither is known. Tablespaces of other disks are not
 * looked at.
 */
export async function bytesOfRoom(session: Queryable, room: number | null): Promise<number | null> {
  const [row] = await session.query(WHERE, [room !== null]);
  const directory = row?.['directory'] ?? null;
  const free = directory === null ? null : await freeBytes(directory, row?.['started'] ?? '');
  const left = room === null ? null : Math.max(0, room - Number(row?.['bytes']));
  if (left === null || free === null) return left ?? free;
  return Math.min(left, free);
}

/** A directory of that name on this machine is another server's unless the start of the server in it is the same. */
async function freeBytes(directory: string, started: string): Promise<number | null> {
  try {
    const lines = (await readFile(join(directory, 'postmaster.pid'), 'utf8')).split('\n');
    if (Math.abs(Number(lines[START_LINE]) - Number(started)) > 1) return null;
    const { bavail, bsize } = await statfs(directory);
    return bavail * bsize;
  } catch {
    return null;
  }
}
