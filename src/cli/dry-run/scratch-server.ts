import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ScratchServer {
  /** Makes an empty database and answers with its URL. */
  createDatabase(name: string): Promise<string>;
}

/** Runs `work` with a Postgres of its own in a temporary directory; nothing of it is left afterwards. */
export async function withScratchServer<T>(work: (server: ScratchServer) => Promise<T>): Promise<T> {
  // Loaded here only: the embedded Postgres is an optional peer.
  const { startPostgres } = await import('../../dev/postgres.ts');
  const root = await mkdtemp(join(tmpdir(), 'switchback-dry-run-'));
  // Where we are root, Postgres runs as another account and has to get through to its data.
  await chmod(root, 0o711);
  try {
    const server = await startPostgres({
      dir: join(root, 'postgres'),
      password: randomBytes(16).toString('hex'),
      logFile: join(root, 'postgres.log'),
    });
    try {
      return await work(server);
    } finally {
      await server.stop();
    }
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
