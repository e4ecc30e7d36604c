import pg from 'pg';
import { FAMILY_NAMES, GIVEN_NAMES, NAME_SQL } from './names.ts';

/** The three services of the demo: each has its own database, and billing and search keep copies of the name. */
export interface ServiceTable {
  service: 'accounts' | 'billing' | 'search';
  /** As plan and configuration name it. */
  database: string;
  table: string;
  key: string;
  create: string;
  insert: string;
}

const OWN_COLUMNS = {
  accounts: {
    define: 'email text NOT NULL UNIQUE, created_at timestamptz NOT NULL DEFAULT now()',
    insert: { email: "'user' || i || '@example.com'" },
  },
  billing: {
    define: "plan text NOT NULL DEFAULT 'free', balance_cents bigint NOT NULL DEFAULT 0",
    insert: { plan: "CASE WHEN i % 7 = 0 THEN 'pro' ELSE 'free' END", balance_cents: 'i * 37 % 10000' },
  },
  search: {
    define: "language text NOT NULL DEFAULT 'en', indexed_at timestamptz NOT NULL DEFAULT now()",
    insert: { language: "(ARRAY['en', 'nb', 'es', 'ja'])[1 + i % 4]" },
  },
} as const;

/** Failures that users saw, by path; the plan's guards read it. It is the services' own, not the migration's. */
const FAILED_REQUESTS = `CREATE TABLE failed_requests (
  at timestamptz NOT NULL DEFAULT clock_timestamp(), path text NOT NULL, operation text NOT NULL, error text NOT NULL
)`;

const serviceTable = (
  service: ServiceTable['service'],
  database: string,
  table: string,
  key: string,
): ServiceTable => ({
  service,
  database,
  table,
  key,
  create: `CREATE TABLE ${table} (${key} bigint PRIMARY KEY, full_name text NOT NULL, ${OWN_COLUMNS[service].define});
${FAILED_REQUESTS};`,
  insert: `INSERT INTO ${table} (${key}, full_name, ${Object.keys(OWN_COLUMNS[service].insert).join(', ')})
SELECT i, ${NAME_SQL}, ${Object.values(OWN_COLUMNS[service].insert).join(', ')} FROM generate_series(1, $3::bigint) i`,
});

export const SERVICE_TABLES: readonly ServiceTable[] = [
  serviceTable('accounts', 'accounts-db', 'users', 'id'),
  serviceTable('billing', 'billing-db', 'customers', 'user_id'),
  serviceTable('search', 'search-db', 'profiles', 'user_id'),
];

/** Creates a service's tables and fills them with users 1 … `users`. Needs an empty database. */
export async function createServiceTable(of: ServiceTable, url: string, users: number): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(of.create);
    await client.query(of.insert, [GIVEN_NAMES, FAMILY_NAMES, users]);
    // As in a database that has been running for a while: statistics, visibility, and nothing left to write out.
    await client.query(`VACUUM ANALYZE ${of.table}`);
    await client.query('CHECKPOINT');
  } finally {
    await client.end();
  }
}
