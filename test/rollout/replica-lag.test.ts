import { execFile } from 'node:child_process';
import { appendFile, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { createConditions } from '../../src/activities/conditions.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { startPostgres } from '../../src/dev/postgres.ts';
import { closedPort } from './room.ts';

const signal = new AbortController().signal;
const run = promisify(execFile);

/** A real primary with a real streaming standby, made from a cold copy. */
async function pair(): Promise<{ primary: string; standby: string; stopStandby(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'switchback-replica-'));
  await chmod(dir, 0o711);
  const options = (name: string) => ({
    dir: join(dir, name),
    password: 'of-a-test',
    logFile: join(dir, `${name}.log`),
  });
  const first = await startPostgres(options('primary'));
  await first.stop();
  await run('cp', ['-a', join(dir, 'primary'), join(dir, 'standby')]);
  const primary = await startPostgres(options('primary'));
  await writeFile(join(dir, 'standby', 'standby.signal'), '');
  const conninfo = `host=127.0.0.1 port=${primary.port} user=postgres password=of-a-test`;
  await appendFile(join(dir, 'standby', 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
  const standby = await startPostgres(options('standby'));
  onTestFinished(async () => {
    await standby.stop();
    await primary.stop();
    await rm(dir, { recursive: true, force: true });
  });
  return { primary: primary.url('postgres'), standby: standby.url('postgres'), stopStandby: () => standby.stop() };
}

test('replicaLag: a standby that keeps up, one that has stopped replaying, one that is away, one that is none', async () => {
  const { primary, standby, stopStandby } = await pair();
  const databases = new Databases({
    app: { url: primary, replicas: [standby] },
    wrong: { url: primary, replicas: [primary] },
    away: { url: primary, replicas: [`postgres://postgres@127.0.0.1:${await closedPort()}/postgres`] },
    standby: { url: standby },
  });
  const conditions = createConditions({ databases, prometheusUrl: null });
  onTestFinished(async () => {
    await conditions.close();
    await databases.close();
  });
  const read = (database: string, max = '1s') =>
    conditions.read({ name: 'lag', replicaLag: { database, max } }, signal);
  const write = () => databases.get('app').query("SELECT pg_logical_emit_message(true, 'test', 'written')");

  await write();
  expect(await read('app', '10s')).toMatchObject({ holds: true });
  await databases.get('standby').query('SELECT pg_wal_replay_pause()');
  await write();
  const behind = await read('app');
  expect(behind).toMatchObject({
    holds: false,
    reason: expect.stringMatching(/^the slowest replica is \d+ ms behind/),
  });
  // It was level a moment ago: the age of what it replayed last, on an idle primary, would be far too much.
  expect(Number(behind.observed)).toBeLessThan(10_000);
  await databases.get('standby').query('SELECT pg_wal_replay_resume()');
  expect(await read('app', '10s')).toMatchObject({ holds: true });

  await expect(read('wrong')).rejects.toMatchObject({
    code: 'ConfigInvalid',
    message: expect.stringContaining('no replica'),
  });
  await expect(read('away')).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
  await stopStandby();
  await expect(read('app')).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
});
