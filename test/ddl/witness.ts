import { expect } from 'vitest';
import type { DdlBench } from './bench.ts';

/**
 * Notes at the end of every command which locks its transaction holds on tables, and how many of their rows it has read:
 * a command that has read rows under a lock which writers wait for has held them up for as long as the table is large.
 */
export const WITNESS = `CREATE SCHEMA witness;
  CREATE TABLE witness.seen (schema text, relation text, kind "char", mode text, reads bigint, command text);
  CREATE FUNCTION witness.see() RETURNS event_trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
  BEGIN
    INSERT INTO witness.seen SELECT n.nspname, c.relname, c.relkind, l.mode, pg_stat_get_xact_tuples_returned(c.oid), current_query()
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm')
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE l.pid = pg_backend_pid() AND l.granted;
  END $$;
  CREATE EVENT TRIGGER witness ON ddl_command_end EXECUTE FUNCTION witness.see()`;

/** Modes that writers wait for; of a materialized view, which nobody writes, those that readers wait for. */
const HOLDS_UP = `(CASE kind WHEN 'm' THEN mode = 'AccessExclusiveLock'
  ELSE mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock') END)`;

/** Commands that have read rows of a table under a lock that holds others up. */
export const scansUnderLock = async (bench: DdlBench, schema: string): Promise<string[]> =>
  (
    await bench.query(
      `SELECT DISTINCT relation || ' ' || mode || ': ' || command AS scan FROM witness.seen
       WHERE schema = '${schema}' AND reads > 0 AND ${HOLDS_UP}`,
    )
  ).map((row) => row['scan'] ?? '');

/** Where the rows of the schema's tables are kept: another place for one says that it was rewritten. */
export const placesOf = (bench: DdlBench, schema: string): Promise<unknown> =>
  bench.query(
    `SELECT c.relname, pg_relation_filenode(c.oid) AS file FROM pg_class c
     WHERE c.relnamespace = '${schema}'::regnamespace AND c.relkind = 'r' ORDER BY 1`,
  );

export async function expectNobodyHeldUp(bench: DdlBench, schema: string, before: unknown): Promise<void> {
  expect(await scansUnderLock(bench, schema)).toEqual([]);
  expect(await placesOf(bench, schema)).toEqual(before);
}
