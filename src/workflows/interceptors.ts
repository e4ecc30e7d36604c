import { defaultPayloadConverter, type Payload } from '@temporalio/common';
import type { WorkflowInterceptorsFactory } from '@temporalio/workflow';

/**
 * What people send can never fail a workflow task. Without this, JSON that isn't, `json/protobuf`, binary or a missing
 * encoding does so before any handler runs. Only signals and the start argument are made readable; what activities
 * answer stays strict.
 */
const RESERVED_PREFIX = '__temporal_';
/** What stands before the name of a refused signal, so that Temporal doesn't take it for one of its own. */
export const REFUSED_PREFIX = 'refused:';
const WHY_LENGTH_MAX = 200;

function readable(payload: Payload): Payload {
  try {
    if (!payload.metadata?.['encoding']?.length) throw new Error('it has no encoding');
    const value = defaultPayloadConverter.fromPayload(payload) ?? null;
    if (ArrayBuffer.isView(value)) throw new Error('it is binary');
    return defaultPayloadConverter.toPayload(value);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return defaultPayloadConverter.toPayload({
      $unreadable: why.slice(0, WHY_LENGTH_MAX),
      bytes: payload.data?.length ?? 0,
    });
  }
}
/** Handlers and the workflow take one argument; what comes after the first is left out. */
const firstReadable = (payloads: Payload[] | null | undefined): Payload[] => (payloads ?? []).slice(0, 1).map(readable);

export const interceptors: WorkflowInterceptorsFactory = () => ({
  internals: [
    {
      activate(input, next) {
        for (const job of input.activation.jobs ?? []) {
          if (job.signalWorkflow) {
            job.signalWorkflow.input = firstReadable(job.signalWorkflow.input);
            if (job.signalWorkflow.signalName?.startsWith(RESERVED_PREFIX)) {
              job.signalWorkflow.signalName = `${REFUSED_PREFIX}${job.signalWorkflow.signalName}`;
            }
          }
          if (job.initializeWorkflow) {
            job.initializeWorkflow.arguments = firstReadable(job.initializeWorkflow.arguments);
          }
        }
        next(input);
      },
    },
  ],
});
