import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { SwitchbackError } from '../messages/index.ts';
import type { ServersWanted } from './dev-file.ts';
import { tryLock } from './lock.ts';
import { POSTGRES_PEER, requirePeers, UNLEASH_PEER } from './optional-peer.ts';
import { type PostgresServer, startPostgres } from './postgres.ts';
import { secretsOf } from './secrets.ts';
import { startTemporal, type TemporalServer } from './temporal.ts';
import type { Say } from './temporal-binary.ts';
import { startUnleash, type UnleashServer } from './unleash.ts';

const UNLEASH_DATABASE = 'switchback_unleash';

const CODES = {
  Temporal: 'TemporalUnreachable',
  Postgres: 'DatabaseUnreachable',
  Unleash: 'UnleashUnreachable',
} as const;

export interface Ports {
  temporal?: number;
  temporalUi?: number;
  postgres?: number;
  unleash?: number;
}
export interface Servers {
  readonly temporal: TemporalServer;
  readonly postgres: PostgresServer | null;
  readonly unleash: UnleashServer | null;
  /** Database name → URL. */
  readonly databases: Readonly<Record<string, string>>;
  /** Resolves when one of them has ended without being asked to. */
  readonly failed: Promise<SwitchbackError>;
  stop(): Promise<void>;
}

/**
 * Starts the embedded servers side by side, with their data under `dataDir`, where a later start finds it again.
 *
 * @param options.ports ports that are taken where they are free, else others
 */
export async function startServers(options: {
  config: ServersWanted;
  dataDir: string;
  ports?: Ports;
  say?: Say;
}): Promise<Servers> {
  const { config, ports = {}, say } = options;
  const dataDir = resolve(options.dataDir);
  const hasPostgres = config.databases.length > 0 || config.unleash;
  requirePeers([...(hasPostgres ? [POSTGRES_PEER] : []), ...(config.unleash ? [UNLEASH_PEER] : [])]);
  mkdirSync(dataDir, { recursive: true });
  const release = lockDirectory(dataDir);
  const secrets = secretsOf(dataDir);
  const logFile = (name: string): string => join(dataDir, `${name}.log`);

  const startedPostgres = hasPostgres
    ? startPostgres({
        dir: join(dataDir, 'postgres'),
        password: secrets.postgresPassword,
        logFile: logFile('postgres'),
        port: ports.postgres,
      })
    : Promise.resolve(null);
  const startedDatabases = startedPostgres.then((postgres) => createDatabases(postgres, config.databases));
  const startedUnleash = startedPostgres.then(async (postgres) => {
    if (postgres === null || !config.unleash) return null;
    const databaseUrl = await postgres.createDatabase(UNLEASH_DATABASE);
    return startUnleash({ databaseUrl, secrets, logFile: logFile('unleash'), port: ports.unleash });
  });
  const startedTemporal = startTemporal({
    dir: dataDir,
    logFile: logFile('temporal'),
    port: ports.temporal,
    uiPort: ports.temporalUi,
    ...(say ? { say } : {}),
  });

  const all = [startedTemporal, startedPostgres, startedDatabases, startedUnleash] as const;
  const outcome = await Promise.allSettled(all);
  // Those that came up first are stopped last: Unleash needs Postgres to end well.
  const stop = async (): Promise<void> => {
    const [temporal, postgres, , unleash] = outcome;
    const stopped = (of: PromiseSettledResult<{ stop(): Promise<void> } | null>): Promise<void> | undefined =>
      of.status === 'fulfilled' ? of.value?.stop() : undefined;
    await Promise.all([stopped(temporal), stopped(unleash)]);
    await stopped(postgres);
    release();
  };
  const failure = outcome.find((one) => one.status === 'rejected');
  if (failure) {
    await stop();
    throw failure.reason;
  }
  const [temporal, postgres, databases, unleash] = await Promise.all(all);
  const stopping = new AbortController();
  const failureOf = async (
    name: keyof typeof CODES,
    server: { ended: Promise<string> } | null,
  ): Promise<SwitchbackError> => {
    const how = await server?.ended;
    if (how === undefined || stopping.signal.aborted) return new Promise(() => undefined);
    return new SwitchbackError(CODES[name], `the embedded ${name} ended by itself (${how})`, {
      hint: `see ${logFile(name.toLowerCase())}; the next start carries on with the same data`,
    });
  };
  return {
    temporal,
    postgres,
    unleash,
    databases,
    failed: Promise.race([
      failureOf('Temporal', temporal),
      failureOf('Postgres', postgres),
      failureOf('Unleash', unleash),
    ]),
    stop: () => {
      stopping.abort();
      return stop();
    },
  };
}

function lockDirectory(dataDir: string): () => void {
  const lock = tryLock(join(dataDir, 'lock'));
  if (lock.held) return lock.release;
  const owner = lock.ownerPid === null ? 'another process' : `another process (pid ${lock.ownerPid})`;
  throw new SwitchbackError('ConfigInvalid', `${owner} runs the servers of ${dataDir}`, {
    hint: 'stop it first (Ctrl-C where `switchback dev` runs), or start these in another directory',
    fields: { dataDir, pid: lock.ownerPid },
  });
}

async function createDatabases(
  postgres: PostgresServer | null,
  names: readonly string[],
): Promise<Record<string, string>> {
  if (postgres === null) return {};
  return Object.fromEntries(await Promise.all(names.map(async (name) => [name, await postgres.createDatabase(name)])));
}
