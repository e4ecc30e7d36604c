import { execFile } from 'node:child_process';
import { appendFile, chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startPostgres } from '../../src/dev/postgres.ts';

const run = promisify(execFile);

/** A real primary with a real streaming standby, by the URLs of their maintenance databases. */
export interface ServerPair {
  primary: string;
  standby: string;
  stopStandby(): Promise<void>;
  /** After `stopStandby`, at the same address. */
  startStandby(): Promise<void>;
  /** Stops both and removes their data. */
  stop(): Promise<void>;
}

/**
 * Starts the two, the standby from a cold copy of the primary. The caller stops them.
 *
 * @param settings of both, as in postgresql.conf
 */
export async function serverPair(settings: Readonly<Record<string, string>> = {}): Promise<ServerPair> {
  const dir = await mkdtemp(join(tmpdir(), 'switchback-replica-'));
  await chmod(dir, 0o711);
  const options = (name: string) => ({
    dir: join(dir, name),
    password: 'of-a-test',
    logFile: join(dir, `${name}.log`),
  });
  const first = await startPostgres(options('primary'));
  await first.stop();
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  await appendFile(join(dir, 'primary', 'postgresql.auto.conf'), lines.join(''));
  await run('cp', ['-a', join(dir, 'primary'), join(dir, 'standby')]);
  const primary = await startPostgres(options('primary'));
  await writeFile(join(dir, 'standby', 'standby.signal'), '');
  const conninfo = `host=127.0.0.1 port=${primary.port} user=postgres password=of-a-test`;
  await appendFile(join(dir, 'standby', 'postgresql.auto.conf'), `primary_conninfo = '${conninfo}'\n`);
  let standby = await startPostgres(options('standby'));
  return {
    primary: primary.url('postgres'),
    standby: standby.url('postgres'),
    stopStandby: () => standby.stop(),
    async startStandby() {
      standby = await startPostgres({ ...options('standby'), port: standby.port });
    },
    async stop() {
      await standby.stop();
      await primary.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
