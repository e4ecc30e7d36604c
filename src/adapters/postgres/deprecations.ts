import type { RecordedDeprecation, RunRef } from '../../messages/index.ts';
import type { Queryable, Row } from './database.ts';

const INSTANT = `'YYYY-MM-DD"T"HH24:MI:SS"Z"'`;
const COLUMNS = `migration, step, interface, interface_version, to_char(deprecated_at AT TIME ZONE 'UTC', ${INSTANT}) AS at,
  to_char(sunset_at AT TIME ZONE 'UTC', ${INSTANT}) AS sunset, link`;

export async function recordDeprecation(
  session: Queryable,
  run: RunRef,
  of: Omit<RecordedDeprecation, 'migration'>,
): Promise<void> {
  await session.query(
    `INSERT INTO switchback.deprecations (migration, version, epoch, step, interface, interface_version, deprecated_at, sunset_at, link)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
     ON CONFLICT (migration, version, epoch, step) DO NOTHING`,
    [run.migration, run.version, run.epoch, of.step, of.interface, of.version, of.at, of.sunset, of.link],
  );
}

export async function withdrawDeprecation(session: Queryable, run: RunRef, step: string): Promise<boolean> {
  const rows = await session.query(
    'DELETE FROM switchback.deprecations WHERE migration = $1 AND version = $2 AND epoch = $3 AND step = $4 RETURNING step',
    [run.migration, run.version, run.epoch, step],
  );
  return rows.length > 0;
}

/** All that are on record, in the order in which they go away. */
export async function listDeprecations(session: Queryable): Promise<RecordedDeprecation[]> {
  const rows = await session.query(
    `SELECT ${COLUMNS} FROM switchback.deprecations ORDER BY sunset_at, interface, interface_version, migration, step`,
  );
  return rows.map(deprecationOf);
}

/** The latest sunset that a run has put on record, and how far off it is by the home ledger's clock. */
export async function latestSunset(
  session: Queryable,
  run: RunRef,
): Promise<(RecordedDeprecation & { inMs: number }) | null> {
  const [row] = await session.query(
    `SELECT ${COLUMNS}, ceil(extract(epoch FROM sunset_at - clock_timestamp()) * 1000)::bigint AS in_ms FROM switchback.deprecations
     WHERE migration = $1 AND version = $2 AND epoch = $3 ORDER BY sunset_at DESC LIMIT 1`,
    [run.migration, run.version, run.epoch],
  );
  return row === undefined ? null : { ...deprecationOf(row), inMs: Number(row['in_ms']) };
}

const deprecationOf = (row: Row): RecordedDeprecation => ({
  migration: row['migration'] ?? '',
  step: row['step'] ?? '',
  interface: row['interface'] ?? '',
  version: row['interface_version'] ?? '',
  at: row['at'] ?? '',
  sunset: row['sunset'] ?? '',
  link: row['link'] ?? null,
});
