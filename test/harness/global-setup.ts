import { chmod, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { startServers } from '../../src/dev/servers.ts';
import { KEPT_MARKER } from './servers.ts';

/** Starts one real Temporal, Postgres and Unleash for the run, in a directory that goes with them. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'switchback-test-'));
  // Postgres runs as another account where we are root, and has to get through to its data.
  await chmod(dataDir, 0o711);
  const servers = await startServers({ config: { databases: ['admin'], unleash: true }, dataDir });
  const { temporal, postgres, unleash } = servers;
  if (postgres === null || unleash === null) throw new Error('the servers of the tests are not complete');
  project.provide('servers', {
    temporal: { address: temporal.address, ui: temporal.ui },
    postgresUrl: postgres.url('admin'),
    unleash: { url: unleash.url, adminToken: unleash.adminToken, clientToken: unleash.clientToken },
    dataDir,
  });
  return async () => {
    await servers.stop();
    const kept = await stat(join(dataDir, KEPT_MARKER)).catch(() => null);
    if (kept === null) await rm(dataDir, { recursive: true, force: true });
  };
}
