import pg from 'pg';
import type { Journal } from './journal.ts';
import type { ServiceTable } from './service-tables.ts';

/**
 * What the demo claims at its end, each found out by a look of its own at the databases: nothing here asks the engine
 * or its ledger.
 */
export interface Proof {
  claim: string;
  holds: boolean;
  found: string;
}
const OLD_COLUMN = 'full_name';
const JOINED = "given_name || coalesce(' ' || family_name, '')";
const USERS_PER_QUERY = 5_000;

/** How a name is read when all is over: from the old column, or joined from the new ones. */
export type Side = 'old' | 'new';

async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The text columns that hold the old name now: `full_name`, or what it was renamed to when it went out of use. */
async function oldColumns(client: pg.Client, of: ServiceTable): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT attname AS name FROM pg_attribute
     WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped AND attname LIKE '%${OLD_COLUMN}%'`,
    [of.table],
  );
  return rows.map((row) => row.name);
}

/** Rows whose old and new name differ, counted over the whole table; null where the old name is nowhere. */
export async function divergentRows(of: ServiceTable, url: string): Promise<{ rows: number; of: number } | null> {
  return withClient(url, async (client) => {
    const [column] = await oldColumns(client, of);
    if (column === undefined) return null;
    const { rows } = await client.query<{ divergent: string; total: string }>(
      `SELECT count(*) FILTER (WHERE ${pg.escapeIdentifier(column)} IS DISTINCT FROM ${JOINED}) AS divergent,
         count(*) AS total FROM ${of.table}`,
    );
    return { rows: Number(rows[0]?.divergent), of: Number(rows[0]?.total) };
  });
}

/** Whether services can still see the old column under its name. */
export const oldColumnInUse = (of: ServiceTable, url: string): Promise<boolean> =>
  withClient(url, async (client) => (await oldColumns(client, of)).includes(OLD_COLUMN));

/** Users whose last acknowledged write isn't what the database holds now. */
export async function lostWrites(of: ServiceTable, url: string, side: Side, journal: Journal): Promise<number[]> {
  const lost: number[] = [];
  const users = journal.users(of.service);
  await withClient(url, async (client) => {
    for (let from = 0; from < users.length; from += USERS_PER_QUERY) {
      const batch = users.slice(from, from + USERS_PER_QUERY);
      const { rows } = await client.query<{ user: string; name: string | null }>(
        `SELECT ${of.key}::text AS user, ${side === 'old' ? OLD_COLUMN : JOINED} AS name
         FROM ${of.table} WHERE ${of.key} = ANY ($1::bigint[])`,
        [batch],
      );
      const found = new Map(rows.map((row) => [Number(row.user), row.name]));
      lost.push(...batch.filter((user) => !journal.allows(of.service, user, found.get(user) ?? null)));
    }
  });
  return lost;
}

/** One number for all the names in a table: the services' copies agree when theirs are the same. */
export const namesDigest = (of: ServiceTable, url: string, side: Side): Promise<string> =>
  withClient(url, async (client) => {
    const name = side === 'old' ? OLD_COLUMN : JOINED;
    const { rows } = await client.query<{ digest: string }>(
      `SELECT count(*) || ':' || bit_xor(hashtextextended(${of.key}::text || '|' || (${name}), 0)) AS digest FROM ${of.table}`,
    );
    return String(rows[0]?.digest);
  });

/** Failed requests, by path and operation, as a service has put them on record. */
export const failuresOnRecord = (url: string): Promise<{ path: string; operation: string; times: number }[]> =>
  withClient(url, async (client) => {
    const { rows } = await client.query<{ path: string; operation: string; times: string }>(
      'SELECT path, operation, count(*) AS times FROM failed_requests GROUP BY path, operation',
    );
    return rows.map((row) => ({ ...row, times: Number(row.times) }));
  });
