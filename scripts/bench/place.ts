import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startServers } from '../../src/dev/servers.ts';

/** The embedded servers of one run of the benchmarks, and how large its tables are. */
export interface Place {
  /** Rows of a table, where the benchmark doesn't need another number. */
  rows: number;
  temporal: string;
  /** Makes an empty database; it goes when it is disposed of. */
  database(): Promise<ScratchDatabase>;
  say(line: string): void;
}

export interface ScratchDatabase extends AsyncDisposable {
  url: string;
}

export async function withPlace<T>(
  options: { rows: number; say: (line: string) => void },
  work: (place: Place) => Promise<T>,
): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'switchback-bench-'));
  await chmod(dataDir, 0o711);
  const servers = await startServers({ config: { databases: ['bench'], unleash: false }, dataDir, say: options.say });
  const { postgres, temporal } = servers;
  if (postgres === null) throw new Error('the benchmarks need a Postgres');
  try {
    return await work({
      ...options,
      temporal: temporal.address,
      database: async () => {
        const name = `bench_${randomBytes(4).toString('hex')}`;
        const url = await postgres.createDatabase(name);
        return { url, [Symbol.asyncDispose]: () => postgres.dropDatabase(name) };
      },
    });
  } finally {
    await servers.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}
