import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { isAlive } from '../src/dev/alive.ts';
import { runDev } from '../src/dev/dev.ts';
import { type DevFile, loadDevFile } from '../src/dev/dev-file.ts';

const WITHIN = { timeout: 60_000, interval: 100 };
let home: string;
let dataDir: string;
let configFile: string;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'switchback-dev-'));
  // Postgres runs as another account where we are root, and has to get through to its data.
  await chmod(home, 0o711);
  dataDir = join(home, '.switchback');
  configFile = join(home, 'switchback.config.yaml');
  await writeFile(configFile, 'databases: {orders-db: {embedded: true}}\n');
});
afterEach(() => rm(home, { recursive: true, force: true }));

interface Running {
  dev: DevFile;
  ended: Promise<void>;
  stop(): Promise<void>;
}
async function startDev(): Promise<Running> {
  const end = new AbortController();
  const ready = Promise.withResolvers<DevFile>();
  const ended = runDev({ configFile, dataDir, signal: end.signal, onReady: ready.resolve, say: () => undefined });
  ended.catch(ready.reject);
  const dev = await ready.promise;
  return {
    dev,
    ended,
    stop: async () => {
      end.abort();
      await ended;
    },
  };
}

async function query(url: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows;
  } finally {
    await client.end();
  }
}

const alive = (dev: DevFile): number[] =>
  Object.values(dev.pids).filter((pid): pid is number => pid !== null && isAlive(pid));

describe('switchback dev', () => {
  it('runs all of it, restarts a worker that dies, ends whole, and carries on with the same data', async () => {
    const first = await startDev();
    const { dev } = first;
    expect(dev).toEqual({
      temporal: { address: expect.stringMatching(/^127\.0\.0\.1:\d+$/), ui: expect.stringMatching(/^http:/) },
      databases: {
        'orders-db': expect.stringMatching(/^postgres:/),
        switchback_ledger: expect.stringMatching(/^postgres:/),
      },
      unleash: { url: expect.any(String), adminToken: expect.any(String), clientToken: expect.any(String) },
      board: null,
      config: configFile,
      pids: {
        worker: expect.any(Number),
        temporal: expect.any(Number),
        postgres: expect.any(Number),
        unleash: expect.any(Number),
      },
    });
    expect(alive(dev)).toHaveLength(4);
    const inside = join(home, 'deep', 'inside');
    await mkdir(inside, { recursive: true });
    expect(loadDevFile(inside)).toEqual(dev);
    expect((await stat(join(dataDir, 'dev.json'))).mode & 0o077).toBe(0);
    expect((await fetch(dev.temporal.ui ?? '')).status).toBe(200);

    await expect(runDev({ configFile, dataDir, say: () => undefined })).rejects.toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringMatching(/another process \(pid \d+\) runs the servers of/),
    });
    expect(loadDevFile(inside)).toEqual(dev);

    const killed = dev.pids.worker as number;
    process.kill(killed, 'SIGKILL');
    await vi.waitFor(() => expect(loadDevFile(home)?.pids.worker).not.toBe(killed), WITHIN);

    await query(dev.databases['orders-db'] as string, 'CREATE TABLE kept AS SELECT 42 AS answer');
    const last = loadDevFile(home) as DevFile;
    await first.stop();
    expect(alive(last)).toEqual([]);
    expect(loadDevFile(home)).toBeNull();

    const second = await startDev();
    expect(second.dev.unleash?.adminToken).toBe(dev.unleash?.adminToken);
    expect(await query(second.dev.databases['orders-db'] as string, 'SELECT answer FROM kept')).toEqual([
      { answer: 42 },
    ]);
    process.kill(second.dev.pids.postgres as number, 'SIGKILL');
    await expect(second.ended).rejects.toMatchObject({ code: 'DatabaseUnreachable' });
    expect(alive(second.dev)).toEqual([]);
  }, 300_000);

  it('says what the worker says where that does not start', async () => {
    await writeFile(configFile, 'ledger: "none"\ndatabases: {orders-db: {embedded: true}}\n');
    await expect(startDev()).rejects.toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringContaining('ledger: "none" is not one of the databases: orders-db'),
    });
    expect(loadDevFile(home)).toBeNull();
  }, 180_000);
});

describe('servers whose parent is killed', () => {
  it('end by themselves, and the next start carries on', async () => {
    const script = fileURLToPath(new URL('./harness/hold-servers.ts', import.meta.url));
    const start = async (): Promise<{ parent: number; temporal: number; postgres: number; url: string }> => {
      const child = spawn(process.execPath, [script, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
      return {
        parent: child.pid as number,
        ...(JSON.parse(line) as { temporal: number; postgres: number; url: string }),
      };
    };
    const first = await start();
    await query(first.url, 'CREATE TABLE kept AS SELECT 42 AS answer');
    process.kill(first.parent, 'SIGKILL');
    // At once, while the first ones are still being stopped.
    const second = await start();
    expect(await query(second.url, 'SELECT answer FROM kept')).toEqual([{ answer: 42 }]);
    process.kill(second.parent, 'SIGKILL');
    const pids = [first.temporal, first.postgres, second.temporal, second.postgres];
    await vi.waitFor(() => expect(pids.filter(isAlive)).toEqual([]), WITHIN);
  }, 180_000);

  it('keep their credentials to themselves', async () => {
    const { secretsOf } = await import('../src/dev/secrets.ts');
    await mkdir(dataDir);
    const secrets = secretsOf(dataDir);
    expect(secretsOf(dataDir)).toEqual(secrets);
    expect((await stat(join(dataDir, 'secrets.json'))).mode & 0o077).toBe(0);
    expect(await readFile(join(dataDir, 'secrets.json'), 'utf8')).toContain(secrets.postgresPassword);
  });
});
