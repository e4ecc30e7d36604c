import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { type DevFile, EMBEDDED_LEDGER, type ServersWanted } from '../dev/dev-file.ts';
import { defaultName, type WebhookConfig } from '../adapters/notify/webhook.ts';
import { nearest } from '../plan/nearest.ts';
import { type ConfigFile, configInvalid, type Environment, LOG_LEVELS, parseConfig } from './config-file.ts';

export const CONFIG_FILE = 'switchback.config.yaml';
/** Set by `switchback dev` for its worker: the servers as JSON, because dev.json is written only when all is ready. */
export const DEV_SERVERS_VARIABLE = 'SWITCHBACK_DEV_SERVERS';
export const HEALTH_PORT_VARIABLE = 'SWITCHBACK_HEALTH_PORT';
export const LOG_LEVEL_VARIABLE = 'SWITCHBACK_LOG_LEVEL';
const UI_VARIABLE = 'TEMPORAL_UI_ADDRESS';

export interface DatabaseConfig {
  url: string;
  /** Past a pooler, for DDL and CALL. */
  directUrl?: string;
  replicas: readonly string[];
  /** How large the database may grow on its disk, in bytes. */
  room?: number;
  /** What all long steps in it may do together. */
  throttle?: { maxRowsPerSecond?: number | undefined };
  /** Labels of its tables, by `table` or `schema.table`. */
  labels?: Readonly<Record<string, readonly string[]>>;
}

/** The configuration, complete: every server has its URL. It holds secrets: never log it whole. */
export interface Config {
  taskQueue: string;
  /** The name, in `databases`, of the home ledger's database. */
  ledger: string;
  databases: Readonly<Record<string, DatabaseConfig>>;
  unleash: { url: string; adminToken: string; clientToken: string | null } | null;
  prometheus: { url: string } | null;
  approvers: Readonly<Record<string, readonly string[]>>;
  notifications: readonly WebhookConfig[];
  /** How long before a sunset it is told again, as durations. */
  deprecationNotice: readonly string[];
  /** Where the worker answers `GET /health`. Port 0 is any free one. */
  health: { host: string; port: number };
  log: { level: (typeof LOG_LEVELS)[number] };
  /** The address of `switchback dev`'s Temporal; null where the standard `TEMPORAL_*` configuration counts. */
  temporal: { address: string } | null;
  /** The address of Temporal's UI, for links; null where nobody has said. */
  temporalUi: string | null;
}

/** What `loadConfig` and `readConfig` start from. */
export interface ConfigSource {
  /** The file; null takes `switchback.config.yaml` of the working directory where there is one, else defaults. */
  file: string | null;
  env: Environment;
}

/** Reads and checks the file alone. Throws ConfigInvalid; see `parseConfig`. */
export function readConfig({ file, env }: ConfigSource): ConfigFile {
  const path = file ?? CONFIG_FILE;
  if (file === null && !existsSync(path)) return parseConfig('', path, env);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EISDIR'
          ? 'it is a directory'
          : `it can't be read (${code})`;
    throw configInvalid([`${resolve(path)}: ${why}`], '--config takes the path of a configuration file');
  }
  return parseConfig(text, path, env);
}

/**
 * Reads the configuration and looks up what is embedded.
 *
 * @param dev the running `switchback dev`; where it is left out, the one in SWITCHBACK_DEV_SERVERS
 * @throws SwitchbackError ConfigInvalid
 */
export function loadConfig(source: ConfigSource & { dev?: DevFile | null }): Config {
  const { env } = source;
  return resolveConfig(readConfig(source), source.file ?? CONFIG_FILE, env, source.dev ?? devOf(env));
}

/** The servers that `switchback dev` has to start for this configuration. */
export function serversWanted(config: ConfigFile): ServersWanted {
  const databases = Object.keys(config.databases).filter((name) => config.databases[name]?.embedded === true);
  return {
    databases: config.ledger === undefined ? [...databases, EMBEDDED_LEDGER] : databases,
    unleash: config.unleash?.url === undefined,
  };
}

function devOf(env: Environment): DevFile | null {
  const text = env[DEV_SERVERS_VARIABLE];
  return text === undefined ? null : (JSON.parse(text) as DevFile);
}

function resolveConfig(config: ConfigFile, file: string, env: Environment, dev: DevFile | null): Config {
  const problems: string[] = [];
  const needsDev = (key: string): void => {
    problems.push(`${file}  ${key}: is embedded, and no \`switchback dev\` runs that has it`);
  };
  const databases: Record<string, DatabaseConfig> = {};
  for (const [name, of] of Object.entries(config.databases)) {
    const url = of.url ?? dev?.databases[name];
    if (url === undefined) needsDev(`databases.${name}`);
    else
      databases[name] = {
        url,
        ...(of.directUrl !== undefined && { directUrl: of.directUrl }),
        replicas: of.replicas,
        ...(of.room !== undefined && { room: of.room }),
        ...(of.throttle !== undefined && { throttle: of.throttle }),
        ...(of.labels !== undefined && { labels: of.labels }),
      };
  }
  const ownLedger = dev?.databases[EMBEDDED_LEDGER];
  if (config.ledger === undefined && ownLedger !== undefined)
    databases[EMBEDDED_LEDGER] = { url: ownLedger, replicas: [] };
  problems.push(...ledgerProblems(config, file, ownLedger !== undefined));

  const unleash = unleashOf(config, dev);
  if (unleash === null && config.unleash?.embedded === true) needsDev('unleash');
  const { port, level } = overrides(env, problems);
  if (problems.length > 0) throw configInvalid(problems);
  return {
    taskQueue: config.taskQueue,
    ledger: config.ledger ?? EMBEDDED_LEDGER,
    databases,
    unleash,
    prometheus: config.prometheus ?? null,
    approvers: config.approvers,
    notifications: config.notifications.map(webhookOf),
    deprecationNotice: config.deprecationNotice,
    health: { ...config.health, ...(port !== null && { port }) },
    log: { level: level ?? config.log.level },
    temporal: dev !== null && !env['TEMPORAL_ADDRESS'] ? { address: dev.temporal.address } : null,
    temporalUi: env[UI_VARIABLE] ?? dev?.temporal.ui ?? null,
  };
}

function ledgerProblems(config: ConfigFile, file: string, hasOwn: boolean): string[] {
  const names = Object.keys(config.databases);
  const allowed = `one of the databases: ${names.join(', ') || '(none is configured)'}`;
  if (config.ledger === undefined) return hasOwn ? [] : [`${file}  ledger: is missing; name ${allowed}`];
  if (names.includes(config.ledger)) return [];
  const meant = nearest(config.ledger, names);
  return [
    `${file}  ledger: "${config.ledger}" is not ${allowed}${meant === undefined ? '' : `; did you mean "${meant}"?`}`,
  ];
}

function unleashOf(config: ConfigFile, dev: DevFile | null): Config['unleash'] {
  const { url, adminToken, clientToken } = config.unleash ?? {};
  if (url !== undefined && adminToken !== undefined) return { url, adminToken, clientToken: clientToken ?? null };
  return dev?.unleash ?? null;
}

/** What is left out has its default; one secret or several are the same to who signs. */
const webhookOf = (of: ConfigFile['notifications'][number]): WebhookConfig => ({
  name: of.name ?? defaultName(of.webhook),
  webhook: of.webhook,
  events: of.events,
  secrets: of.secrets ?? (of.secret === undefined ? [] : [of.secret]),
  services: of.services ?? null,
});

/** What the environment sets for one process rather than for all workers of a configuration. */
function overrides(
  env: Environment,
  problems: string[],
): { port: number | null; level: Config['log']['level'] | null } {
  const portText = env[HEALTH_PORT_VARIABLE];
  const port = portText === undefined ? null : Number(portText);
  if (port !== null && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
    problems.push(`environment  ${HEALTH_PORT_VARIABLE}: expected a port, 0 to 65535`);
  }
  const level = LOG_LEVELS.find((one) => one === env[LOG_LEVEL_VARIABLE]) ?? null;
  if (level === null && env[LOG_LEVEL_VARIABLE] !== undefined) {
    problems.push(`environment  ${LOG_LEVEL_VARIABLE}: expected one of ${LOG_LEVELS.join(', ')}`);
  }
  return { port, level };
}
