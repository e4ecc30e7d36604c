import { WorkflowExecutionAlreadyStartedError } from '@temporalio/client';
import { SwitchbackError, WORKFLOW_TYPE, workflowIdOf } from '../messages/index.ts';
import type { PlanInput } from '../plan/index.ts';
import { CALL_TIMEOUT_MS, type ClientContext } from './context.ts';
import { StatusReader } from './read-status.ts';
import { serviceError } from './service-error.ts';
import { startAttributes, startDetails, startSummary } from './start-details.ts';

export interface GivenPlan {
  /** As it was written: what the run gets and what the digest is made of. */
  plan: PlanInput;
  digest: string;
}
export interface Started {
  /** False where the very same plan was running already: nothing was started then. */
  started: boolean;
}

/**
 * Starts a run, or finds the one that runs the very same plan.
 * @throws SwitchbackError PlanChanged where another plan of this name runs; TemporalUnreachable, ConfigInvalid
 */
export async function startRun(
  context: ClientContext,
  { plan, digest }: GivenPlan,
  { requestedBy, taskQueue }: { requestedBy: string; taskQueue: string },
): Promise<Started> {
  const { client, place } = context;
  const { name, version } = plan.metadata;
  try {
    await client.withDeadline(Date.now() + CALL_TIMEOUT_MS, () =>
      client.workflow.start(WORKFLOW_TYPE, {
        workflowId: workflowIdOf(name),
        taskQueue,
        args: [{ plan, requestedBy }],
        typedSearchAttributes: startAttributes(plan),
        memo: { digest, version, requestedBy },
        staticSummary: startSummary(plan),
        staticDetails: startDetails(plan, digest, requestedBy),
      }),
    );
    return { started: true };
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw serviceError(error, place);
  }
  const running = await runningDigest(context, name);
  if (running === digest) return { started: false };
  throw new SwitchbackError(
    'PlanChanged',
    `"${name}" is running with another plan: its digest is ${running}, this one's is ${digest}`,
    {
      hint: `let it end, or \`abort\` it, before you start the changed plan${version > 1 ? '' : ' as version 2'}; \`status ${name}\` shows where it is`,
      fields: { migration: name, running, given: digest },
    },
  );
}

/** The memo has it for runs that this client started; one that was started otherwise is asked. */
async function runningDigest(context: ClientContext, name: string): Promise<string> {
  const reader = new StatusReader(context, name);
  const memo = (await reader.describe())?.memo?.['digest'];
  return typeof memo === 'string' ? memo : (await reader.read()).digest;
}
