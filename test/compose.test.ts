import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { findTemporal } from '../src/dev/temporal-binary.ts';
import { SEARCH_ATTRIBUTES } from '../src/messages/index.ts';
import { type Config, loadConfig } from '../src/worker/config.ts';
import { servers } from './harness/servers.ts';

/** No Docker engine is at hand: what can be known of the set-up without one is asserted here. */
const ROOT = join(import.meta.dirname, '..');
const run = promisify(execFile);

/** The part of the Compose specification that the file uses; what is not in it is refused, so typing errors show. */
const duration = z.string().regex(/^\d+(ms|s|m)$/);
const service = z.strictObject({
  image: z.string().regex(/^[\w./-]+:\d+\.\d+[\w.-]*$/, 'an image with a pinned version'),
  build: z.string().optional(),
  restart: z.string().regex(/^(unless-stopped|on-failure:\d+)$/),
  init: z.boolean().optional(),
  stop_grace_period: duration.optional(),
  entrypoint: z.array(z.string()).optional(),
  command: z.array(z.string()).optional(),
  environment: z.record(z.string(), z.string()).default({}),
  volumes: z.array(z.string()).default([]),
  ports: z.array(z.string().regex(/^127\.0\.0\.1:\d+:\d+$/)).default([]),
  depends_on: z
    .record(z.string(), z.strictObject({ condition: z.enum(['service_healthy', 'service_completed_successfully']) }))
    .default({}),
  healthcheck: z
    .strictObject({
      test: z.tuple([z.literal('CMD')], z.string()),
      interval: duration,
      timeout: duration,
      retries: z.int().positive(),
      start_period: duration.optional(),
    })
    .optional(),
});
const composeSchema = z.strictObject({
  name: z.string(),
  'x-postgres': z.unknown(),
  services: z.record(z.string(), service),
  volumes: z.record(z.string(), z.null()),
});

const VARIABLES: Record<string, string> = {
  POSTGRES_PASSWORD: 'p4ssword',
  UNLEASH_ADMIN_TOKEN: '*:*.secret',
  UNLEASH_CLIENT_TOKEN: '*:development.secret',
};
const WANTED = /\$\{(\w+):\?set it in \.env\}/g;

let compose: z.output<typeof composeSchema>;
let dockerfile: string;
let text: string;
beforeAll(async () => {
  text = await readFile(join(ROOT, 'docker-compose.yml'), 'utf8');
  compose = composeSchema.parse(parse(text, { merge: true }));
  dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8');
});

const serviceOf = (name: string): z.output<typeof service> => {
  const found = compose.services[name];
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`);
  return found;
};
/** The environment of a service's process, as Compose makes it from a `.env`. */
const environmentOf = (name: string): Record<string, string> =>
  Object.fromEntries(
    Object.entries(serviceOf(name).environment).map(([key, value]) => [
      key,
      value.replaceAll(WANTED, (_, variable: string) => VARIABLES[variable] ?? ''),
    ]),
  );
const workerConfig = (env = environmentOf('worker')): Config =>
  loadConfig({ file: join(ROOT, 'docker', 'switchback.config.yaml'), env });
const portsOf = (name: string): string[] => serviceOf(name).ports.map((port) => port.replace('127.0.0.1:', ''));

describe('docker-compose.yml', () => {
  it('asks for exactly the variables that docs/configuration.md says to put into .env', async () => {
    const asked = new Set([...text.matchAll(/\$\{(\w+)/g)].map((match) => match[1]));
    expect([...asked].toSorted()).toEqual(Object.keys(VARIABLES).toSorted());
    expect([...text.matchAll(WANTED)]).toHaveLength([...text.matchAll(/\$\{/g)].length);
    const documented = await readFile(join(ROOT, 'docs', 'configuration.md'), 'utf8');
    for (const name of asked) expect(documented).toContain(`${name}=`);
  });

  it('waits only for services that there are, and that say when they are ready', () => {
    for (const { depends_on } of Object.values(compose.services)) {
      for (const [name, { condition }] of Object.entries(depends_on)) {
        const waitedFor = serviceOf(name);
        if (condition === 'service_healthy') expect(waitedFor.healthcheck, name).toBeDefined();
        else expect(waitedFor.restart, name).toMatch(/^on-failure/);
      }
    }
  });

  it('keeps all data in named volumes, each used once', async () => {
    const mounts = Object.values(compose.services).flatMap(({ volumes }) => volumes.map((volume) => volume.split(':')));
    const named = mounts.filter(([source = '']) => !source.startsWith('.')).map(([source]) => source);
    expect(named.toSorted()).toEqual(Object.keys(compose.volumes).toSorted());
    for (const [source = ''] of mounts.filter(([from = '']) => from.startsWith('.'))) {
      await expect(readFile(join(ROOT, source), 'utf8')).resolves.not.toBe('');
    }
    // The images of Postgres 18 and later keep their data one level below this.
    const postgres = Object.values(compose.services).filter(({ image }) => image.startsWith('postgres:'));
    expect(postgres).toHaveLength(3);
    for (const { volumes } of postgres) expect(volumes[0]).toMatch(/:\/var\/lib\/postgresql$/);
  });
});

describe('its worker', () => {
  it('gets a configuration that is complete, from variables that are all read', () => {
    const env = environmentOf('worker');
    expect(Object.keys(workerConfig().databases)).toEqual(['ledger-db', 'accounts-db', 'billing-db', 'search-db']);
    const { TEMPORAL_ADDRESS, ...ours } = env;
    expect(TEMPORAL_ADDRESS).toBe('temporal:7233');
    for (const name of Object.keys(ours)) {
      const { [name]: _, ...others } = env;
      expect(() => workerConfig(others), name).toThrow(`the environment variable ${name} is not set`);
    }
  });

  it('reaches every other service by its name, at the port it has there', async () => {
    const { databases, unleash } = workerConfig();
    const created = await readFile(join(ROOT, 'docker', 'databases.sql'), 'utf8');
    for (const { url } of Object.values(databases)) {
      const { hostname, port, password, username, pathname } = new URL(url);
      expect({ hostname, port, username, password }).toEqual({
        hostname: 'postgres',
        port: '5432',
        username: 'postgres',
        password: VARIABLES['POSTGRES_PASSWORD'],
      });
      expect(created).toContain(`CREATE DATABASE ${pathname.slice(1)};`);
    }
    expect(unleash).toEqual({
      url: 'http://unleash:4242',
      adminToken: environmentOf('unleash')['INIT_ADMIN_API_TOKENS'],
      clientToken: environmentOf('unleash')['INIT_BACKEND_API_TOKENS'],
    });
    expect(portsOf('unleash')).toEqual(['4242:4242']);
    expect(portsOf('postgres')).toEqual(['5432:5432']);
    expect(portsOf('temporal')).toEqual(['7233:7233']);
    expect(Object.keys(serviceOf('worker').depends_on).toSorted()).toEqual(
      ['postgres', 'temporal', 'temporal-search-attributes', 'unleash'].toSorted(),
    );
  });

  it('has its health where the image, Compose and the configuration say', () => {
    const { host, port } = workerConfig().health;
    expect(host).toBe('0.0.0.0');
    expect(portsOf('worker')).toEqual([`${port}:${port}`]);
    expect(dockerfile).toContain(`EXPOSE ${port}\n`);
    expect(dockerfile).toContain(`http://127.0.0.1:${port}/health`);
  });

  it('is built from files that there are, on the Node of package.json, and runs a command that there is', async () => {
    const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
      version: string;
      bin: { switchback: string };
      scripts: Record<string, string>;
    };
    expect(serviceOf('worker').image).toBe(`switchback-worker:${manifest.version}`);
    for (const from of dockerfile.match(/^FROM \S+/gm) ?? [])
      expect(from).toBe(`FROM node:${process.versions.node}-slim`);
    expect(dockerfile).toContain(`RUN ${manifest.scripts['build']} `);
    expect(dockerfile).toContain(`ENTRYPOINT ["node", "${manifest.bin.switchback}"]`);
    const command = JSON.parse(/^CMD (\[.*\])$/m.exec(dockerfile)?.[1] ?? '') as string[];
    expect(serviceOf('worker').volumes).toEqual([`./docker/switchback.config.yaml:${command.at(-1)}:ro`]);
    const { stdout } = await run(process.execPath, [
      join(ROOT, 'src', 'cli', 'main.ts'),
      ...command.slice(0, 1),
      '--help',
    ]);
    expect(stdout).toMatch(/^Usage: switchback worker/);
  });
});

describe('its Temporal', () => {
  it('is the version that is embedded, with its own database', async () => {
    const { stdout } = await run(await findTemporal(() => undefined), ['--version']);
    const [, server, ui] = /Server ([\d.]+), UI ([\d.]+)/.exec(stdout) ?? [];
    expect(serviceOf('temporal').image).toBe(`temporalio/auto-setup:${server}`);
    expect(serviceOf('temporal-search-attributes').image).toContain(`:${server}-`);
    expect(serviceOf('temporal-ui').image).toBe(`temporalio/ui:${ui}`);
    const { DB_PORT, POSTGRES_SEEDS, POSTGRES_PWD } = environmentOf('temporal');
    expect({ DB_PORT, POSTGRES_SEEDS, POSTGRES_PWD }).toEqual({
      DB_PORT: '5432',
      POSTGRES_SEEDS: 'temporal-postgres',
      POSTGRES_PWD: environmentOf('temporal-postgres')['POSTGRES_PASSWORD'],
    });
    for (const name of ['temporal-ui', 'temporal-search-attributes']) {
      expect(environmentOf(name)['TEMPORAL_ADDRESS']).toBe('temporal:7233');
    }
  });

  it('gets the search attributes by a command that the real one takes, also twice', async () => {
    const command = serviceOf('temporal-search-attributes').command ?? [];
    const pairs = Object.entries(SEARCH_ATTRIBUTES).flatMap(([name, type]) => [`--name=${name}`, `--type=${type}`]);
    expect(command).toEqual(['operator', 'search-attribute', 'create', '--namespace=default', ...pairs]);
    const temporal = await findTemporal(() => undefined);
    const address = ['--address', servers().temporal.address];
    await run(temporal, [...command, ...address]);
    const health = serviceOf('temporal')
      .healthcheck?.test.slice(1)
      .map((word) => word.replace(/^temporal:7233$/, servers().temporal.address));
    expect(health?.[0]).toBe('temporal');
    const { stdout } = await run(temporal, health?.slice(1) ?? []);
    expect(stdout).toContain('default');
  });
});
