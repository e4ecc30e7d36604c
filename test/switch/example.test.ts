import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { servers } from '../harness/servers.ts';
import { ledgerOfFile } from './place.ts';

const place = ledgerOfFile();

test('examples/start/switch.ts writes and reads', async () => {
  const here = place();
  await here.pool.query(
    `CREATE TABLE users (id text PRIMARY KEY, full_name text);
     CREATE TABLE names (user_id text PRIMARY KEY, given text, family text);
     INSERT INTO users VALUES ('1', 'Bo');
     INSERT INTO switchback.stages VALUES ('development', 'split-names', 'live', 3, 'm')`,
  );
  const { url, clientToken } = servers().unleash;
  const env = {
    ...process.env,
    ...{ DATABASE_URL: here.url, LEDGER_URL: here.url, UNLEASH_URL: `${url}/api`, UNLEASH_CLIENT_TOKEN: clientToken },
  };
  const { stdout } = await promisify(execFile)(process.execPath, ['examples/start/switch.ts'], { env });
  expect(stdout).toMatch(/^Ana Bo live http:\/\/127\.0\.0\.1:\d+\n$/);
  const { rows } = await here.pool.query('SELECT full_name, given, family FROM users JOIN names ON user_id = id');
  expect(rows).toEqual([{ full_name: 'Ana Bo', given: 'Ana', family: 'Bo' }]);
  expect((await here.pool.query('SELECT FROM switchback.instances')).rowCount).toBe(0);
});
