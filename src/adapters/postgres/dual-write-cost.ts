import type { Queryable } from './database.ts';
import { PostgresError } from './database-error.ts';
import { dollarQuote, dualWriteTriggers, sidesOf } from './dual-write-function.ts';
import type { DualWritePlan } from './dual-write-plan.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';
import { inSavepoint } from './table-expressions.ts';

/** What the triggers cost a client: medians of one-row UPDATEs of an old column, in µs on the server. */
export interface WriteCost {
  column: string;
  withoutUs: number;
  withUs: number;
  /** UPDATEs measured of each. */
  writes: number;
}
const ROWS = 500;
/** Of fewer a median says little. */
const WRITES_MIN = 20;
const LOCK_TIMEOUT_MS = 1_000;
const STATEMENT_TIMEOUT_MS = 5_000;
const COPY = 'pg_temp.zz_switchback_cost';

/**
 * Measures on a copy of a few rows, so that no client waits and no row is touched: a temporary table without indexes and
 * constraints, each row of which gets the next one's value, without the triggers and with them. Null where there are too
 * few rows with different values, or it can't be measured. `session` must be in a transaction, which keeps nothing of it.
 */
export async function measureWrite(session: Queryable, plan: DualWritePlan): Promise<WriteCost | null> {
  const stored = [...plan.shape.columns.values()].filter(({ generated }) => generated === null);
  const column = sidesOf(plan.detail).oldSide.find((name) => stored.some((one) => one.name === name));
  if (column === undefined) return null;
  const columns = stored.map(({ name }) => quoteIdentifier(name)).join(', ');
  try {
    return await inSavepoint(session, () => measured(session, plan, { column, columns }));
  } catch (error) {
    // What it costs is worth a note, not a failed step.
    if (error instanceof PostgresError) return null;
    throw error;
  }
}

/** In one message to the server, because nobody wants to wait for a dozen round trips. */
async function measured(
  session: Queryable,
  { detail, functionSql }: DualWritePlan,
  { column, columns }: { column: string; columns: string },
): Promise<WriteCost | null> {
  const table = quoteTable(detail.schema, detail.table);
  const statements = [
    `SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`,
    `SET LOCAL statement_timeout = ${STATEMENT_TIMEOUT_MS}`,
    `CREATE TEMPORARY TABLE zz_switchback_cost (LIKE ${table} INCLUDING GENERATED INCLUDING STORAGE)`,
    `ALTER TABLE ${COPY} ADD COLUMN ${quoteIdentifier(detail.marker)} smallint DEFAULT 0`,
    `INSERT INTO ${COPY} (${columns}) SELECT ${columns} FROM ${table} LIMIT ${ROWS}`,
    functionSql,
    // The first round of each fills the session's caches.
    round(column, 'without'),
    round(column, 'without'),
    ...dualWriteTriggers(detail, { schema: 'pg_temp', table: 'zz_switchback_cost' }),
    round(column, 'with'),
    round(column, 'with'),
    `SELECT current_setting('switchback.cost_without') AS "without", current_setting('switchback.cost_with') AS "with"`,
  ];
  const [row] = await session.query(statements.join(';\n'));
  const [writesWithout = 0, withoutUs = 0] = numbers(row?.['without']);
  const [writesWith = 0, withUs = 0] = numbers(row?.['with']);
  const writes = Math.min(writesWithout, writesWith);
  return writes < WRITES_MIN ? null : { column, withoutUs, withUs, writes };
}
const numbers = (text: string | null | undefined): number[] => (text ?? '').split(' ').map(Number);

/** Gives each row of the copy the value of the next one that has another. A DO block answers by a setting. */
function round(column: string, which: 'with' | 'without'): string {
  const name = quoteIdentifier(column);
  const body = dollarQuote(`
DECLARE
  place record;
  began timestamptz;
  took float8[] := '{}';
BEGIN
  FOR place IN SELECT * FROM (
    SELECT r.ctid AS id, r.${name} AS is, lead(r.${name}) OVER (ORDER BY r.ctid) AS next FROM ${COPY} r) n
    WHERE n.next IS NOT NULL AND ROW(n.is)::record *<> ROW(n.next)::record
  LOOP
    began := clock_timestamp();
    UPDATE ${COPY} SET ${name} = place.next WHERE ctid = place.id;
    took := took || 1e6 * extract(epoch FROM clock_timestamp() - began)::float8;
  END LOOP;
  PERFORM set_config('switchback.cost_${which}', cardinality(took) || ' ' ||
    coalesce((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY t) FROM unnest(took) t), 0), true);
END`);
  return `DO ${body}`;
}

const microseconds = (us: number): string => (us < 10 ? us.toFixed(1) : us.toFixed(0));

/** `a write of full_name takes 7.1 µs longer (12 → 19 µs)`. */
export const costWords = ({ column, withoutUs, withUs }: WriteCost): string =>
  `a write of ${column} takes ${microseconds(Math.max(0, withUs - withoutUs))} µs longer (${microseconds(withoutUs)} → ${microseconds(withUs)} µs)`;
