import { Database } from '../adapters/postgres/database.ts';
import type { Status } from '../messages/index.ts';
import type { Settings } from './settings.ts';

/** The home ledger's database, read by the command line where the run itself can't answer. Null where none is known. */
export function homeDatabase({ config }: Settings): Database | null {
  const urls = config?.databases[config.ledger];
  return config === null || urls === undefined ? null : new Database(config.ledger, urls);
}

/** The status that the engine last kept of a migration; null where there is none. */
export async function keptStatus(database: Database, name: string): Promise<Status | null> {
  const [table] = await database.query("SELECT to_regclass('switchback.migrations')::text AS name");
  if (table?.['name'] == null) return null;
  const [row] = await database.query('SELECT status FROM switchback.migrations WHERE migration = $1', [name]);
  return row?.['status'] == null ? null : (JSON.parse(row['status']) as Status);
}
