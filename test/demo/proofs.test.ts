import { readFileSync } from 'node:fs';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { Journal } from '../../scripts/demo/journal.ts';
import { joinName, nameAt, splitName } from '../../scripts/demo/names.ts';
import { divergentRows, failuresOnRecord, lostWrites, namesDigest, oldColumnInUse } from '../../scripts/demo/proofs.ts';
import { createServiceTable, SERVICE_TABLES, type ServiceTable } from '../../scripts/demo/service-tables.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

/** The demo's proofs must be able to fail: each is shown a database in which what it proves isn't so. */
const USERS = 4_000;
const ACCOUNTS = SERVICE_TABLES[0] as ServiceTable;
const PLAN = parse(readFileSync('examples/split-full-name/plan.yaml', 'utf8'), { merge: true }) as {
  spec: { phases: { steps: { id: string; up: Record<string, string>; down: Record<string, string> }[] }[] };
};

let database: FreshDatabase;
let client: pg.Client;
beforeAll(async () => {
  database = await freshDatabase('demo');
  await createServiceTable(ACCOUNTS, database.url, USERS);
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await database?.drop();
});

test('Postgres and JavaScript give the same users the same names', async () => {
  const { rows } = await client.query<{ id: string; full_name: string }>('SELECT id, full_name FROM users');
  expect(rows).toHaveLength(USERS);
  expect(rows.filter((row) => row.full_name !== nameAt(Number(row.id)))).toEqual([]);
});

test("the plan's up and down are what the services' code does, for every name", async () => {
  const sync = PLAN.spec.phases.flatMap(({ steps }) => steps).find(({ id }) => id === 'accounts-sync');
  if (sync === undefined) throw new Error('the plan has no accounts-sync');
  const { rows } = await client.query<{ full_name: string; given: string; family: string | null; back: string }>(
    `SELECT full_name, given_name AS given, family_name AS family, ${sync.down['full_name']} AS back
     FROM (SELECT full_name AS original, ${sync.up['given_name']} AS given_name, ${sync.up['family_name']} AS family_name,
       full_name FROM users) split`,
  );
  for (const { full_name: name, given, family, back } of rows) {
    expect({ given, family }).toEqual(splitName(name));
    expect(back).toBe(joinName({ given, family }));
    expect(back).toBe(name);
  }
});

test('a write that is not there is found, on either side', async () => {
  const journal = new Journal(USERS);
  const lost = (side: 'old' | 'new') => lostWrites(ACCOUNTS, database.url, side, journal);
  await client.query(`ALTER TABLE users ADD given_name text, ADD family_name text`);
  await client.query(`UPDATE users SET given_name = 'Ana', family_name = 'Rao', full_name = 'Ana Rao' WHERE id = 1`);
  await client.query(`UPDATE users SET given_name = 'Bo', family_name = NULL, full_name = 'Bo' WHERE id = 2`);
  journal.acknowledged('accounts', 1, 'Ana Rao');
  journal.acknowledged('accounts', 2, 'Bo');
  expect([await lost('old'), await lost('new')]).toEqual([[], []]);

  journal.acknowledged('accounts', 2, 'Bo Rao');
  expect([await lost('old'), await lost('new')]).toEqual([[2], [2]]);

  journal.unknown('accounts', 2, 'Bo');
  expect(await lost('old')).toEqual([]);

  journal.acknowledged('accounts', USERS + 1, 'Mei Xu');
  expect(await lost('old')).toEqual([USERS + 1]);
});

test('rows whose two sides differ are counted, also where the old column has another name', async () => {
  await client.query(`UPDATE users SET given_name = split_part(full_name, ' ', 1),
    family_name = CASE WHEN strpos(full_name, ' ') > 0 THEN substr(full_name, strpos(full_name, ' ') + 1) END`);
  expect(await divergentRows(ACCOUNTS, database.url)).toEqual({ rows: 0, of: USERS });
  expect(await oldColumnInUse(ACCOUNTS, database.url)).toBe(true);
  const digest = await namesDigest(ACCOUNTS, database.url, 'old');
  expect(await namesDigest(ACCOUNTS, database.url, 'new')).toBe(digest);

  await client.query(`ALTER TABLE users RENAME full_name TO zz_retired_full_name`);
  await client.query(`UPDATE users SET family_name = coalesce(family_name, '') || '!' WHERE id <= 3`);
  expect(await oldColumnInUse(ACCOUNTS, database.url)).toBe(false);
  expect(await divergentRows(ACCOUNTS, database.url)).toEqual({ rows: 3, of: USERS });
  expect(await namesDigest(ACCOUNTS, database.url, 'new')).not.toBe(digest);
});

test('failures are counted by path and operation', async () => {
  expect(await failuresOnRecord(database.url)).toEqual([]);
  await client.query(`INSERT INTO failed_requests (path, operation, error)
    VALUES ('new', 'read', 'full'), ('new', 'read', 'full'), ('old', 'rename', 'gone')`);
  expect((await failuresOnRecord(database.url)).toSorted((a, b) => b.times - a.times)).toEqual([
    { path: 'new', operation: 'read', times: 2 },
    { path: 'old', operation: 'rename', times: 1 },
  ]);
});
