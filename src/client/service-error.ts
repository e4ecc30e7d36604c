import {
  isGrpcDeadlineError,
  isGrpcServiceError,
  NamespaceNotFoundError,
  type ServiceError,
  WorkflowNotFoundError,
} from '@temporalio/client';
import { SwitchbackError } from '../messages/index.ts';

/**
 * What Temporal's client throws, in our words. Each call to the server is bounded by a deadline, so an absent server
 * shows as either of two codes; both mean the same to people.
 */
const GRPC = {
  invalidArgument: 3,
  deadlineExceeded: 4,
  permissionDenied: 7,
  failedPrecondition: 9,
  unavailable: 14,
  unauthenticated: 16,
} as const;

export interface ServerPlace {
  address: string;
  namespace: string;
}

/** The gRPC status of an error of Temporal's client or of its cause; null where it has none. */
export function grpcStatusOf(error: unknown): { code: number; details: string } | null {
  for (let at: unknown = error; at instanceof Error; at = (at as ServiceError).cause) {
    if (isGrpcServiceError(at)) return { code: at.code, details: at.details };
  }
  return null;
}

/** True where there is no such run, or none that still runs. */
export const isNotFound = (error: unknown): boolean => error instanceof WorkflowNotFoundError;

/** True where a query found nobody to answer it: no worker, a worker that is busy, or a run that has not begun. */
export const isNoAnswer = (error: unknown): boolean => {
  if (isGrpcDeadlineError(error)) return true;
  const status = grpcStatusOf(error);
  return status?.code === GRPC.deadlineExceeded || status?.code === GRPC.failedPrecondition;
};

export function unreachable(place: ServerPlace, cause: unknown, what?: string): SwitchbackError {
  return new SwitchbackError(
    'TemporalUnreachable',
    `no Temporal server answers at ${place.address} (namespace "${place.namespace}")${what ? `: ${what}` : ''}`,
    {
      retry: true,
      hint: 'start one (`switchback dev` starts all that a machine needs) or check TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE and TLS',
      fields: { address: place.address, namespace: place.namespace },
      cause,
    },
  );
}

/** Puts any failure of a call to Temporal in our words; errors of ours pass through. */
export function serviceError(error: unknown, place: ServerPlace): Error {
  if (error instanceof SwitchbackError) return error;
  const fields = { address: place.address, namespace: place.namespace };
  if (error instanceof NamespaceNotFoundError) {
    return new SwitchbackError(
      'ConfigInvalid',
      `the Temporal server at ${place.address} has no namespace "${place.namespace}"`,
      { hint: 'set TEMPORAL_NAMESPACE to one that exists there, or create it', fields, cause: error },
    );
  }
  const status = grpcStatusOf(error);
  if (status === null) return error instanceof Error ? error : new Error(String(error));
  switch (status.code) {
    case GRPC.unavailable:
    case GRPC.deadlineExceeded:
      return unreachable(place, error);
    case GRPC.unauthenticated:
    case GRPC.permissionDenied:
      return new SwitchbackError(
        'TemporalUnreachable',
        `the Temporal server at ${place.address} refuses the credentials`,
        {
          hint: `check TEMPORAL_API_KEY or the client certificate, and that they may use namespace "${place.namespace}"`,
          fields,
          cause: error,
        },
      );
    case GRPC.invalidArgument:
      if (!/search attribute/i.test(status.details)) break;
      return new SwitchbackError(
        'ConfigInvalid',
        `the Temporal server at ${place.address} lacks a search attribute: ${status.details}`,
        {
          hint: 'register those of docs/client.md with `temporal operator search-attribute create`',
          fields,
          cause: error,
        },
      );
  }
  return error instanceof Error ? error : new Error(String(error));
}
