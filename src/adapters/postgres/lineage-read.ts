import type { AlteredRange } from '../../messages/index.ts';
import type { Database, Row } from './database.ts';
import { type Place, placeOf } from './range-ledger.ts';

/** A line of the lineage as the ledger has it: its keys are not yet fit for people. */
export type LineageLine = Omit<AlteredRange, 'lower' | 'upper'> & {
  id: string;
  lower: Place | null;
  upper: Place | null;
};

/** Columns of a `LineageLine`. A ledger that no run has upgraded yet has no digests. */
const LINE = `l.id, l.object, l.migration, l.version, l.epoch, l.step, l.kind, l.direction, l.rows_changed, l.requested_by,
  to_json(l.at) #>> '{}' AS at, to_json(l.lower_key)::text AS lower, to_json(l.upper_key)::text AS upper,
  to_jsonb(l) ->> 'before_digest' AS before, to_jsonb(l) ->> 'after_digest' AS after,
  (SELECT max(r.keys_done) FROM switchback.ranges r WHERE l.kind = 'backfill' AND r.migration = l.migration AND r.version = l.version
     AND r.epoch = l.epoch AND r.step = l.step AND r.upper_key = l.upper_key AND r.lower_key IS NOT DISTINCT FROM l.lower_key) AS keys`;

/** Whether the database has a ledger at all. */
export const hasLedger = async (database: Database): Promise<boolean> =>
  (await database.query("SELECT to_regclass('switchback.lineage')::text AS name"))[0]?.['name'] != null;

/** What a migration altered here, of all versions: the newest `max` lines, oldest first, and how many there are. */
export async function linesOfMigration(
  database: Database,
  migration: string,
  max: number,
): Promise<{ lines: LineageLine[]; all: number }> {
  const [counted] = await database.query('SELECT count(*) AS lines FROM switchback.lineage WHERE migration = $1', [
    migration,
  ]);
  const rows = await database.query(
    `SELECT ${LINE} FROM switchback.lineage l WHERE l.migration = $1 ORDER BY l.id DESC LIMIT $2`,
    [migration, max],
  );
  return { lines: rows.map((row) => lineOf(database, row)).toReversed(), all: Number(counted?.['lines']) };
}

/** What anyone altered in these tables (quoted, qualified names), oldest first. */
export async function linesOfTables(database: Database, objects: readonly string[]): Promise<LineageLine[]> {
  const rows = await database.query(
    `SELECT ${LINE} FROM switchback.lineage l WHERE l.object = ANY ($1) ORDER BY l.id`,
    [objects],
  );
  return rows.map((row) => lineOf(database, row));
}

function lineOf({ name }: Database, row: Row): LineageLine {
  const [schema, table] = tableOf(row['object'] ?? '');
  return {
    id: row['id'] ?? '',
    database: name,
    schema,
    table,
    migration: row['migration'] ?? '',
    version: Number(row['version']),
    epoch: Number(row['epoch']),
    step: row['step'] ?? '',
    kind: row['kind'] ?? '',
    direction: row['direction'] === 'down' ? 'down' : 'up',
    lower: placeOf(row['lower']),
    upper: placeOf(row['upper']),
    rows: row['rows_changed'] ?? '0',
    keys: row['keys'] ?? null,
    before: row['before'] ?? null,
    after: row['after'] ?? null,
    by: row['requested_by'] ?? null,
    at: instantOf(row['at']),
  };
}

/** Schema and name of a table from its quoted, qualified name. */
export function tableOf(object: string): [schema: string, table: string] {
  const [, schema, table] = /^"((?:[^"]|"")*)"\."((?:[^"]|"")*)"$/.exec(object) ?? [];
  return schema === undefined || table === undefined
    ? ['', object]
    : [schema.replaceAll('""', '"'), table.replaceAll('""', '"')];
}

/** ISO 8601 in UTC, from what `to_json` makes of a timestamptz. */
export const instantOf = (at: string | null | undefined): string =>
  at === null || at === undefined ? '' : new Date(at).toISOString();
