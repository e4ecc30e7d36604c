import { realpathSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { SwitchbackError } from '../messages/index.ts';
import { loadConfig } from './config.ts';
import { serveHealth } from './health.ts';
import { createLog, installRuntime } from './telemetry.ts';
import { startWorker } from './worker.ts';

/** What a worker starts from. */
export interface WorkerOptions {
  configFile: string | null;
  /** For the configuration and for Temporal's `TEMPORAL_*` variables; those of the process where left out. */
  env?: NodeJS.ProcessEnv;
  /** Instead of the configuration's. */
  taskQueue?: string;
}

/** Runs a worker until SIGTERM or SIGINT; answers with the exit code. */
export async function runWorker({ configFile, env = process.env, taskQueue }: WorkerOptions): Promise<number> {
  const read = loadConfig({ file: configFile, env });
  const config = taskQueue === undefined ? read : { ...read, taskQueue };
  const log = createLog(config.log.level);
  installRuntime(log);
  let state = () => 'STARTING';
  const health = await serveHealth(config.health, () => state());
  try {
    const worker = await startWorker(config, log, env);
    state = worker.state;
    const stop = (signal: NodeJS.Signals) => {
      log.info({ signal }, 'shutting down');
      if (worker.state() === 'RUNNING') worker.stop();
    };
    process.on('SIGTERM', stop).on('SIGINT', stop);
    log.info({ taskQueue: config.taskQueue, databases: Object.keys(config.databases) }, 'worker is running');
    await worker.ended;
    log.info('worker has stopped');
    return 0;
  } finally {
    health.close();
  }
}

// `import.meta.main` is not there in Node 22.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const at = process.argv.indexOf('--config');
  runWorker({ configFile: at === -1 ? null : (process.argv[at + 1] ?? null) }).then(
    (code) => process.exit(code),
    (error: unknown) => {
      const { code, message, hint } =
        error instanceof SwitchbackError ? error : { code: 'Bug', message: String(error), hint: null };
      createLog('info').fatal({ code, hint, ...(code === 'Bug' && { err: error }) }, message);
      process.exit(code === 'TemporalUnreachable' || code === 'DatabaseUnreachable' ? 3 : 2);
    },
  );
}
