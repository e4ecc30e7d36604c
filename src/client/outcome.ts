import {
  ActivityFailure,
  ApplicationFailure,
  CancelledFailure,
  TerminatedFailure,
  TimeoutFailure,
  type WorkflowExecutionDescription,
  WorkflowFailedError,
} from '@temporalio/client';
import { type ErrorCode, ERROR_CODES, type FailureDetails, type Status, SwitchbackError } from '../messages/index.ts';

const isCode = (text: string | null | undefined): text is ErrorCode => text != null && Object.hasOwn(ERROR_CODES, text);

/** Why a run ended otherwise than completed, with the code that it failed with; null where `error` says no such thing. */
export function outcomeError(error: unknown, name: string): SwitchbackError | null {
  if (!(error instanceof WorkflowFailedError)) return null;
  // A short run, such as that of `check`, ends with what its one activity failed with.
  const cause = error.cause instanceof ActivityFailure ? error.cause.cause : error.cause;
  if (cause instanceof ApplicationFailure) {
    const details = (cause.details?.[0] ?? {}) as Partial<FailureDetails>;
    return new SwitchbackError(isCode(cause.type) ? cause.type : 'MigrationFailed', cause.message, {
      ...(details.hint != null && { hint: details.hint }),
      fields: { ...details.fields, migration: name },
      cause: error,
    });
  }
  if (cause instanceof CancelledFailure) {
    return new SwitchbackError('RolledBack', `"${name}" was cancelled in Temporal and has rolled back`, {
      fields: { migration: name },
      cause: error,
    });
  }
  const how =
    cause instanceof TerminatedFailure
      ? 'was terminated in Temporal'
      : cause instanceof TimeoutFailure
        ? 'ran out of time'
        : 'failed';
  return new SwitchbackError('MigrationFailed', `"${name}" ${how}: ${cause?.message ?? error.message}`, {
    hint: 'start it again: it finds what was done in the ledger and goes on in the same direction',
    fields: { migration: name },
    cause: error,
  });
}

/** Makes `status` say how the run ended, where it was read before the end or the run had no chance to tell. */
export function endedStatus(status: Status, error: SwitchbackError | null, closedAt: Date): Status {
  const end = error === null ? 'completed' : error.code === 'RolledBack' ? 'rolled-back' : 'failed';
  return {
    ...status,
    status: end,
    reason: error?.message ?? 'completed',
    waitingFor: null,
    error: error === null ? null : { code: error.code, message: error.message, hint: error.hint, step: null },
    updatedAt: closedAt.toISOString(),
  };
}

/** A status made of what Temporal itself keeps of a run, for one that ended and that nobody else can tell about. */
export function bareStatus(name: string, description: WorkflowExecutionDescription): Status {
  const attribute = (key: string): unknown => description.searchAttributes[key]?.[0];
  const text = (value: unknown): string => (typeof value === 'string' ? value : '');
  return {
    name,
    version: Number(description.memo?.['version'] ?? 0),
    digest: text(description.memo?.['digest']),
    status: 'running',
    reason: '',
    waitingFor: null,
    error: null,
    refused: [],
    links: {},
    phases: [],
    gates: [],
    source: 'workflow',
    owner: text(attribute('SwitchbackOwner')),
    requestedBy: text(description.memo?.['requestedBy']),
    services: (description.searchAttributes['SwitchbackServices'] ?? []).map(String),
    risk: text(attribute('SwitchbackRisk')),
    epoch: 0,
    startedAt: description.startTime.toISOString(),
    updatedAt: (description.closeTime ?? description.startTime).toISOString(),
  };
}
