import {
  ApplicationFailure,
  isGrpcDeadlineError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { type MessageName, type Receipt, workflowIdOf } from '../messages/index.ts';
import { CALL_TIMEOUT_MS, type ClientContext } from './context.ts';
import { StatusReader, unknownMigration } from './read-status.ts';
import { isNotFound, serviceError } from './service-error.ts';

/** The answer to a message, and how it went out. */
export interface Delivery extends Receipt {
  /**
   * `update`: the run itself answered. `signal`: no worker answered in time, so the message was left with Temporal,
   * which keeps it; the run decides on it once a worker is back. It counts once, however it arrives.
   */
  via: 'update' | 'signal';
  decisionId: string | null;
}
export type Payload = Record<string, string | number | boolean | undefined>;

const UPDATE_TIMEOUT_MS = 10_000;

/**
 * Sends a message as an update, which is answered; where nobody answers within ten seconds, the very same as a signal.
 * A refusal is an answer (`accepted: false`), not an error.
 * @throws SwitchbackError UnknownMigration, TemporalUnreachable
 */
export async function deliver(
  context: ClientContext,
  migration: string,
  name: MessageName,
  payload: Payload,
): Promise<Delivery> {
  const decisionId = typeof payload['decisionId'] === 'string' ? payload['decisionId'] : null;
  const handle = context.client.workflow.getHandle(workflowIdOf(migration));
  const until = Date.now() + UPDATE_TIMEOUT_MS;
  try {
    const receipt = await context.client.withDeadline(until, () =>
      handle.executeUpdate<Receipt, [Payload]>(name, { args: [payload] }),
    );
    return { accepted: receipt.accepted, reason: receipt.reason, via: 'update', decisionId };
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError) return { ...readRefusal(error), via: 'update', decisionId };
    if (isNotFound(error)) return notRunning(context, migration, decisionId);
    if (!(error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || isGrpcDeadlineError(error))) {
      throw serviceError(error, context.place);
    }
  }
  try {
    await context.client.withDeadline(Date.now() + CALL_TIMEOUT_MS, () => handle.signal(name, payload));
  } catch (error) {
    if (isNotFound(error)) return notRunning(context, migration, decisionId);
    throw serviceError(error, context.place);
  }
  const waited = `no worker answered within ${UPDATE_TIMEOUT_MS / 1000} s`;
  return {
    accepted: true,
    reason: `${waited}; left with Temporal as a signal, decided when a worker is back`,
    via: 'signal',
    decisionId,
  };
}

/** A refused update carries its reason; one whose run ended before it could answer was taken. */
function readRefusal({ cause, message }: WorkflowUpdateFailedError): Receipt {
  if (cause instanceof ApplicationFailure && cause.type === 'AcceptedUpdateCompletedWorkflow') {
    return { accepted: true, reason: 'taken; the run ended with it' };
  }
  return { accepted: false, reason: cause?.message ?? message };
}

async function notRunning(context: ClientContext, migration: string, decisionId: string | null): Promise<Delivery> {
  const description = await new StatusReader(context, migration).describe();
  if (description === null) throw await unknownMigration(context, migration);
  const how = description.status.name.toLowerCase().replaceAll('_', ' ');
  return {
    accepted: false,
    reason: `"${migration}" is over (${how}): there is nothing to decide`,
    via: 'update',
    decisionId,
  };
}
