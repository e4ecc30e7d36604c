import { dirname, join } from 'node:path';
import { requirePeers, resolvePeer, UNLEASH_PEER } from './optional-peer.ts';
import { freePort } from './ports.ts';
import type { Secrets } from './secrets.ts';
import { type ServerProcess, startProcess, startServer } from './server-process.ts';

const HOST = '127.0.0.1';
/** The first start applies some hundred schema migrations of Unleash's own. */
const READY_MAX_MS = 120_000;
const PROBE_MAX_MS = 2_000;
const STOP_GRACE_MS = 5_000;

export interface UnleashServer extends ServerProcess {
  readonly url: string;
  readonly adminToken: string;
  readonly clientToken: string;
}

/**
 * Starts a real Unleash (package `unleash-server`) on a database of its own. Its user interface is at the same URL.
 *
 * @param options.packageName another one than the optional peer, and what `env` it needs besides: tests start several
 * @throws SwitchbackError ConfigInvalid where the package is not installed
 */
export async function startUnleash(options: {
  databaseUrl: string;
  secrets: Secrets;
  logFile: string;
  port?: number | undefined;
  packageName?: string;
  env?: Readonly<Record<string, string>>;
}): Promise<UnleashServer> {
  const { databaseUrl, secrets, logFile, packageName = UNLEASH_PEER, env = {} } = options;
  const main = findUnleash(packageName);
  return startServer({ name: 'Unleash', logFile }, async (tryNumber) => {
    const port = await freePort(tryNumber === 1 ? options.port : 0);
    const url = `http://${HOST}:${port}`;
    const started = await startProcess({
      name: 'Unleash',
      command: process.execPath,
      args: [main],
      env: {
        TZ: 'UTC',
        NODE_ENV: 'production',
        HTTP_HOST: HOST,
        HTTP_PORT: String(port),
        UNLEASH_URL: url,
        UNLEASH_SECRET: secrets.unleashSecret,
        DATABASE_URL: databaseUrl,
        DATABASE_SSL: 'false',
        INIT_ADMIN_API_TOKENS: secrets.unleashAdminToken,
        INIT_BACKEND_API_TOKENS: secrets.unleashClientToken,
        CHECK_VERSION: 'false',
        SEND_TELEMETRY: 'false',
        LOG_LEVEL: 'warn',
        ...env,
      },
      logFile,
      stopSignal: 'SIGTERM',
      graceMs: STOP_GRACE_MS,
    });
    const server = { ...started, url, adminToken: secrets.unleashAdminToken, clientToken: secrets.unleashClientToken };
    return { process: started, probe: () => answers(url), timeoutMs: READY_MAX_MS, result: server };
  });
}

async function answers(url: string): Promise<void> {
  const response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(PROBE_MAX_MS) });
  await response.body?.cancel();
  if (!response.ok) throw new Error(`Unleash answered ${response.status}`);
}

/** The file that starts Unleash; it stands beside the library that the package exports. */
function findUnleash(packageName: string): string {
  requirePeers([packageName]);
  return join(dirname(resolvePeer(packageName) ?? ''), '..', 'server.js');
}
