import { DefaultLogger, type LogEntry, Runtime } from '@temporalio/worker';
import pino, { type Logger } from 'pino';

/**
 * One JSON log for the worker, the workflows and Temporal's core. Every line of a run has migration, workflowId,
 * runId and attempt, and the phase and step that it is about; secrets and rows never get here.
 */
export function createLog(level: string): Logger {
  return pino({ level, base: { service: 'switchback-worker' }, timestamp: pino.stdTimeFunctions.isoTime });
}

const LEVELS = { TRACE: 'trace', DEBUG: 'debug', INFO: 'info', WARN: 'warn', ERROR: 'error' } as const;

/** Once per process, before anything of Temporal's worker is used. */
export function installRuntime(log: Logger): void {
  const level = log.level === 'trace' ? 'TRACE' : log.level === 'debug' ? 'DEBUG' : 'INFO';
  Runtime.install({
    // The worker shuts down by our own signal handling, so that health and log end in order.
    shutdownSignals: [],
    logger: new DefaultLogger(level, (entry) => writeEntry(log, entry)),
    telemetryOptions: { logging: { forward: {}, filter: { core: 'WARN', other: 'ERROR' } } },
  });
}

function writeEntry(log: Logger, { level, message, meta }: LogEntry): void {
  const {
    workflowId,
    workflowRunId,
    taskToken: _,
    sdkComponent,
    error,
    ...rest
  } = (meta ?? {}) as Record<string, unknown>;
  const migration =
    typeof workflowId === 'string' && workflowId.startsWith('migration/')
      ? workflowId.slice('migration/'.length)
      : undefined;
  const step = rest['step'] ?? rest['activityId'];
  const runId = rest['runId'] ?? workflowRunId;
  log[LEVELS[level]](
    { ...plain(rest), workflowId, runId, component: sdkComponent, migration, step, err: error },
    message,
  );
}

/** Core's fields hold bigints, which JSON has not. */
const plain = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(fields).map(([key, value]) => [key, typeof value === 'bigint' ? String(value) : value]),
  );
