import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { vi } from 'vitest';
import { startUnleash, type UnleashServer } from '../../src/dev/unleash.ts';
import { freshDatabase, servers } from './servers.ts';

/** The aliases of package.json for the majors beside that of the run. */
const PACKAGES = { 6: 'unleash-server-6', 8: 'unleash-server-8' } as const;

/** A real Unleash of a version. */
export interface VersionedUnleash {
  url: string;
  adminToken: string;
  /** A backend token of `development`. */
  clientToken: string;
  /** For what Unleash makes in its paid editions only and reads in all: more projects, change requests. */
  sql(statement: string): Promise<void>;
  stop(): Promise<void>;
}
/** One of a file's own. */
export interface OwnUnleash extends VersionedUnleash {
  /** Ends it as a failing machine does. */
  crash(): Promise<void>;
  /** Starts it again at the same address. */
  start(): Promise<void>;
}

/** The one of the whole run. Its database is read by others: add to it, and change nothing. */
export function unleashOfTheRun(): VersionedUnleash {
  const url = new URL(servers().postgresUrl);
  url.pathname = '/switchback_unleash';
  return { ...servers().unleash, sql: (statement) => execute(url.href, statement), stop: () => Promise.resolve() };
}

/**
 * Starts one of version 6 or 8, which takes some ten seconds: for the one file that needs it, in `beforeAll`. Version 6
 * says that it wants a Node older than 21; on 24 it was seen to do all that is asked of it here.
 */
export async function ownUnleash(major: keyof typeof PACKAGES): Promise<OwnUnleash> {
  const database = await freshDatabase(`unleash_${major}`);
  const word = (): string => randomBytes(16).toString('hex');
  const secrets = {
    postgresPassword: '',
    unleashAdminToken: `*:*.${word()}`,
    unleashClientToken: `*:development.${word()}`,
    unleashSecret: word(),
  };
  const begin = (port?: number): Promise<UnleashServer> =>
    startUnleash({
      databaseUrl: database.url,
      secrets,
      logFile: join(servers().dataDir, `unleash-${major}.log`),
      port,
      packageName: PACKAGES[major],
      // What is called a backend token since 7.
      ...(major === 6 && { env: { INIT_CLIENT_API_TOKENS: secrets.unleashClientToken } }),
    });
  let server = await begin();
  const { url } = server;
  return {
    url,
    adminToken: secrets.unleashAdminToken,
    clientToken: secrets.unleashClientToken,
    sql: (statement) => execute(database.url, statement),
    async crash() {
      process.kill(server.pid, 'SIGKILL');
      await server.ended;
    },
    async start() {
      server = await begin(Number(new URL(url).port));
      if (server.url !== url) throw new Error(`the address of ${url} was taken meanwhile`);
    },
    async stop() {
      await server.stop();
      await database.drop();
    },
  };
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

/** Asks the Admin API of a server as people's scripts do, with its admin token or another one. */
export async function adminOf(
  { url, adminToken }: Pick<VersionedUnleash, 'url' | 'adminToken'>,
  method: string,
  path: string,
  body?: unknown,
): Promise<unknown> {
  const response = await fetch(`${url}/api/admin${path}`, {
    method,
    headers: { authorization: adminToken, 'content-type': 'application/json' },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return text === '' ? null : JSON.parse(text);
}

/** A personal access token of a new person with that role. */
export async function tokenOf(server: VersionedUnleash, role: 'editor' | 'viewer'): Promise<string> {
  const name = `${role}-${randomBytes(4).toString('hex')}`;
  const password = `Aa1!${randomBytes(12).toString('hex')}`;
  const rootRole = { editor: 2, viewer: 3 }[role];
  await adminOf(server, 'POST', '/user-admin', { username: name, name, password, rootRole, sendEmail: false });
  const login = await fetch(`${server.url}/auth/simple/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: name, password }),
  });
  if (!login.ok) throw new Error(`${name} can't log in: ${login.status} ${await login.text()}`);
  const cookie = login.headers.getSetCookie().map((one) => one.split(';')[0]);
  // The session is stored after the login is answered.
  return vi.waitFor(
    async () => {
      const made = await fetch(`${server.url}/api/admin/user/tokens`, {
        method: 'POST',
        headers: { cookie: cookie.join('; '), 'content-type': 'application/json' },
        body: JSON.stringify({ description: name, expiresAt: new Date(Date.now() + 86_400_000).toISOString() }),
      });
      const { secret } = (await made.json()) as { secret?: string };
      if (secret === undefined) throw new Error(`no token for ${name}: ${made.status}`);
      return secret;
    },
    { timeout: 20_000, interval: 100 },
  );
}
