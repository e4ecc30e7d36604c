import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';

/** The servers that global-setup.ts has started for this run. */
export interface TestServers {
  temporal: { address: string; ui: string | null };
  /** The URL of a maintenance database of the embedded Postgres. */
  postgresUrl: string;
  unleash: { url: string; adminToken: string; clientToken: string };
  dataDir: string;
}
declare module 'vitest' {
  interface ProvidedContext {
    servers: TestServers;
  }
}

/** In the data directory when a database in it was kept for a look after a failure. */
export const KEPT_MARKER = 'kept';

export const servers = (): TestServers => inject('servers');

export interface FreshDatabase {
  name: string;
  url: string;
  drop(): Promise<void>;
}

/**
 * Makes an empty database of its own for the test that calls it. It is dropped when the test has passed; when it has
 * failed it is kept, with its data directory, and its name is printed. Outside a test (`beforeAll`) the caller drops it.
 *
 * @param postgresUrl a maintenance database of another server than that of the run
 */
export async function freshDatabase(
  prefix = 'test',
  postgresUrl: string = servers().postgresUrl,
): Promise<FreshDatabase> {
  const name = `${prefix}_${randomBytes(6).toString('hex')}`;
  const { dataDir } = servers();
  await execute(postgresUrl, `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
  const url = new URL(postgresUrl);
  url.pathname = `/${name}`;
  const drop = (): Promise<void> =>
    execute(postgresUrl, `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`);
  atEndOfTest(async (failed) => {
    if (!failed) return drop();
    writeFileSync(join(dataDir, KEPT_MARKER), '');
    console.error(`kept for a look: database ${name}; its Postgres's data is ${join(dataDir, 'postgres')}`);
  });
  return { name, url: url.href, drop };
}

/** In a test: when it has finished. In `beforeAll` never: there is no test to wait for, and the caller ends what it made. */
export function atEndOfTest(work: (failed: boolean, testName: string) => void | Promise<void>): void {
  try {
    onTestFinished(({ task }) => work(task.result?.state === 'fail', task.name));
  } catch {
    // Not in a test.
  }
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
