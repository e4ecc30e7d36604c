import { ActivityFailure, ApplicationFailure, isCancellation, TimeoutFailure } from '@temporalio/workflow';
import type { FailureDetails, StatusError } from '../messages/index.ts';

/** Ends a fiber of the run without an effect: the run turns round or continues as new. Never leaves the workflow. */
export class Stop extends Error {
  override readonly name = 'Stop';
}

/** State and history are bounded: what servers and other teams say is cut. */
const MESSAGE_LENGTH_MAX = 2_000;
export const cut = (text: string): string =>
  text.length <= MESSAGE_LENGTH_MAX ? text : `${text.slice(0, MESSAGE_LENGTH_MAX - 1)}…`;

/** A failure that an activity raised on purpose, as people see it; null for anything else, which is a bug of ours. */
export interface StepFailure {
  error: StatusError;
  fields: FailureDetails['fields'];
}
export function stepFailure(thrown: unknown, step: string | null): StepFailure | null {
  const cause = thrown instanceof ActivityFailure ? thrown.cause : thrown;
  if (!(cause instanceof ApplicationFailure) || isCancellation(thrown)) return null;
  const details = cause.details?.[0] as FailureDetails | undefined;
  return {
    error: { code: cause.type ?? 'MigrationFailed', message: cut(cause.message), hint: details?.hint ?? null, step },
    fields: details?.fields ?? {},
  };
}

/** Raises a failure inside the workflow in the same form as activities do. */
export const failWith = (
  code: string,
  message: string,
  hint: string,
  fields: FailureDetails['fields'] = {},
): ApplicationFailure =>
  ApplicationFailure.create({
    message,
    type: code,
    nonRetryable: true,
    details: [{ hint, fields } satisfies FailureDetails],
  });

/** Another run is registered in the ledger, or a reset brought this one back: it must register anew. */
export const isFenced = (thrown: unknown): boolean => stepFailure(thrown, null)?.error.code === 'Fenced';

/**
 * The worker died while its activity was being interrupted: Temporal doesn't try such a one again, and tells of its
 * missing heartbeat instead. It counts as interrupted; what it may have done is in the ledgers.
 */
export const isLost = (thrown: unknown): boolean =>
  thrown instanceof ActivityFailure &&
  thrown.cause instanceof TimeoutFailure &&
  thrown.cause.timeoutType === 'HEARTBEAT';
