import pg from 'pg';
import { onTestFinished } from 'vitest';
import type { DataRoom } from '../data/room.ts';

/**
 * Stops whoever updates one row of a table, in the middle of the statement, until the test lets it go on: what clients
 * commit meanwhile comes between what a chunk has picked and what it writes. The gate knows no lock timeout.
 */
export interface Gate {
  /** Resolves when someone stands before it; fails with `by`, whose work it stops, and where that ends without it. */
  reached(by: Promise<unknown>): Promise<void>;
  /** Lets everyone through from now on. */
  open(): Promise<void>;
}

let gates = 0;

/** @param row a condition over `old` that one row meets */
export async function gateAt(room: DataRoom, row: string, table = 'public.users'): Promise<Gate> {
  const number = ++gates;
  const name = `gate_${number}`;
  const holder = await clientOf(room);
  await holder.query(`SELECT pg_advisory_lock(4242, ${number})`);
  await holder.query(`CREATE FUNCTION public.${name}() RETURNS trigger LANGUAGE plpgsql SET lock_timeout = 0 AS
    $$ BEGIN PERFORM pg_advisory_xact_lock_shared(4242, ${number}); RETURN new; END $$;
    CREATE TRIGGER ${name} BEFORE UPDATE ON ${table} FOR EACH ROW WHEN (${row}) EXECUTE FUNCTION public.${name}()`);
  return {
    reached: (by) =>
      Promise.race([
        until(
          room,
          `SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND classid = 4242 AND objid = ${number} AND NOT granted
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
        ),
        by.then(() => Promise.reject(new Error('it ended without coming to the gate'))),
      ]),
    async open() {
      await holder.query(`SELECT pg_advisory_unlock(4242, ${number})`);
    },
  };
}

/** A client on a connection of its own, closed when the test ends; `public` is on its path. */
export interface Client {
  pid: number;
  query(sql: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  /** Resolves when someone waits for a lock of this client. */
  isWaitedFor(): Promise<void>;
}

/** @param options settings of its session, as the startup parameter has them */
export async function clientOf(room: Pick<DataRoom, 'url' | 'database'>, options = ''): Promise<Client> {
  const client = new pg.Client({ connectionString: room.url, application_name: 'client', options });
  client.on('error', () => undefined);
  await client.connect();
  onTestFinished(() => client.end().catch(() => undefined));
  const query: Client['query'] = async (sql, values) => (await client.query(sql, values)).rows;
  const [row] = await query('SELECT pg_backend_pid() AS pid');
  const pid = Number(row?.['pid']);
  return {
    pid,
    query,
    isWaitedFor: () =>
      until(
        room,
        `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND ${pid} = ANY (pg_blocking_pids(pid))`,
      ),
  };
}

const PATIENCE_MS = 30_000;

/** Asks the database until the query has a row; each look lets the others go on. */
export async function until(room: Pick<DataRoom, 'database'>, sql: string): Promise<void> {
  const end = Date.now() + PATIENCE_MS;
  while ((await room.database.query(sql)).length === 0) {
    if (Date.now() > end) throw new Error(`nothing came of: ${sql}`);
  }
}
