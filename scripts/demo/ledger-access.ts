import pg from 'pg';
import { EMBEDDED_LEDGER, type DevFile } from '../../src/dev/dev-file.ts';

const ROLE = 'demo_services';
/** All that services need in the home ledger: docs/switch.md, 'Rights'. */
const RIGHTS = `
CREATE ROLE ${ROLE} LOGIN PASSWORD '${ROLE}';
GRANT USAGE ON SCHEMA switchback TO ${ROLE};
GRANT SELECT ON switchback.stages TO ${ROLE};
GRANT SELECT, INSERT, UPDATE, DELETE ON switchback.instances, switchback.repairs TO ${ROLE};`;

/** Lets the services into the home ledger, which the worker made when it started; answers with their URL. */
export async function openLedger({ databases }: DevFile): Promise<string> {
  const url = databases[EMBEDDED_LEDGER];
  if (url === undefined) throw new Error('the servers have no home ledger');
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(RIGHTS);
  } finally {
    await client.end();
  }
  const own = new URL(url);
  own.username = own.password = ROLE;
  return own.href;
}
