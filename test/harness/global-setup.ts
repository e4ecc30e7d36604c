import { chmod, mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { isHeld } from '../../src/dev/lock.ts';
import { startServers } from '../../src/dev/servers.ts';
import { findPrometheus } from './prometheus.ts';
import { KEPT_MARKER } from './servers.ts';

const PREFIX = 'switchback-test-';
const KEPT_MAX_MS = 3_600_000;
const PROMETHEUS_TEST = 'prometheus.test.ts';

/** Directories that were kept for a look after a failure, or left by a run that was killed, go after an hour. */
async function removeOld(): Promise<void> {
  const names = (await readdir(tmpdir())).filter((name) => name.startsWith(PREFIX));
  for (const dir of names.map((name) => join(tmpdir(), name))) {
    const lock = join(dir, 'lock');
    const changed = await stat(dir).catch(() => null);
    if (changed === null || Date.now() - changed.mtimeMs < KEPT_MAX_MS || isHeld(lock)) continue;
    await rm(dir, { recursive: true, force: true });
  }
}

/** Starts one real Temporal, Postgres and Unleash for the run, in a directory that goes with them. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  await removeOld();
  const dataDir = await mkdtemp(join(tmpdir(), PREFIX));
  // Postgres runs as another account where we are root, and has to get through to its data.
  await chmod(dataDir, 0o711);
  const servers = await startServers({ config: { databases: ['admin'], unleash: true }, dataDir });
  const { temporal, postgres, unleash } = servers;
  if (postgres === null || unleash === null) throw new Error('the servers of the tests are not complete');
  // Beside the tests, at the lowest priority: its test waits for it.
  if (project.vitest.state.getPaths().some((file) => basename(file) === PROMETHEUS_TEST))
    void findPrometheus(() => undefined);
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
