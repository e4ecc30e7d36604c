import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { freshDatabase, servers } from './harness/servers.ts';

describe('the servers of a test run', () => {
  it('give each test an empty Postgres 18 database of its own', async () => {
    const [one, two] = await Promise.all([freshDatabase(), freshDatabase()]);
    expect(one.url).not.toBe(two.url);
    const client = new pg.Client({ connectionString: one.url });
    await client.connect();
    const { rows } = await client.query(
      `SELECT current_setting('server_version_num')::int / 10000 AS major, current_setting('wal_level') AS wal_level,
              current_setting('fsync') AS fsync, (SELECT count(*)::int FROM pg_tables WHERE schemaname = 'public') AS tables`,
    );
    await client.end();
    expect(rows).toEqual([{ major: 18, wal_level: 'logical', fsync: 'on', tables: 0 }]);
  });

  it('include an Unleash that takes its tokens', async () => {
    const { url, adminToken, clientToken } = servers().unleash;
    const get = async (path: string, authorization: string): Promise<number> =>
      (await fetch(`${url}${path}`, { headers: { authorization } })).status;
    expect(await get('/api/admin/projects', adminToken)).toBe(200);
    expect(await get('/api/client/features', clientToken)).toBe(200);
    expect(await get('/api/admin/projects', clientToken)).toBe(403);
  });
});
