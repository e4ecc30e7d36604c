import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PostgresServer, startPostgres } from '../../src/dev/postgres.ts';

/** A real Postgres of a file's own, which may crash. */
export interface ScratchServer {
  /** The URL of its maintenance database; the same after a restart. */
  url: string;
  /** Ends it at once, as `pg_ctl stop -m immediate` and a failing machine do: what wasn't flushed is gone. */
  crash(): Promise<void>;
  /** Starts it again; it recovers from its log. */
  start(): Promise<void>;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
}

/** Starts one. The caller stops it. */
export async function scratchServer(): Promise<ScratchServer> {
  // As global-setup.ts: left-overs of killed runs go by this prefix.
  const dir = await mkdtemp(join(tmpdir(), 'switchback-test-scratch-'));
  await chmod(dir, 0o711);
  const options = { dir: join(dir, 'postgres'), password: 'of-a-test', logFile: join(dir, 'postgres.log') };
  let server: PostgresServer = await startPostgres(options);
  const { port } = server;
  return {
    url: server.url('postgres'),
    async crash() {
      process.kill(server.pid, 'SIGQUIT');
      await server.ended;
    },
    async start() {
      server = await startPostgres({ ...options, port });
      if (server.port !== port) throw new Error(`port ${port} was taken meanwhile`);
    },
    async stop() {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
