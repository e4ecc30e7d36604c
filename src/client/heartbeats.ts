import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import type { Heartbeat, StepState, Status, StepStatus } from '../messages/index.ts';

/**
 * The live figures of long steps. They are the heartbeat details of the activities under way: a run's own state only
 * changes at transitions, so that its history stays small however long a backfill takes.
 */
type PendingActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];
type Payloads = NonNullable<NonNullable<PendingActivity['heartbeatDetails']>['payloads']>;

/** What each activity under way last reported, by step. What can't be read is left out: it is only for show. */
export async function readHeartbeats(
  client: Client,
  description: WorkflowExecutionDescription,
): Promise<Map<string, Heartbeat>> {
  const beats = new Map<string, Heartbeat>();
  for (const activity of description.raw.pendingActivities ?? []) {
    const step = activity.activityId;
    if (!step) continue;
    const beat = await decodeHeartbeat(client, activity.heartbeatDetails?.payloads ?? []);
    const failure = activity.lastFailure?.message;
    const attempt = activity.attempt ?? 1;
    const note = beat?.note ?? (failure ? `attempt ${attempt} after: ${failure}` : null);
    if (beat !== null || note !== null) beats.set(step, { step, progress: beat?.progress ?? null, note });
  }
  return beats;
}

async function decodeHeartbeat(client: Client, payloads: Payloads): Promise<Heartbeat | null> {
  if (payloads.length === 0) return null;
  const { payloadConverter, payloadCodecs } = client.options.loadedDataConverter;
  try {
    let decoded = payloads;
    for (const codec of payloadCodecs.toReversed()) decoded = await codec.decode(decoded);
    const [first] = decoded;
    const value: unknown = first === undefined ? null : payloadConverter.fromPayload(first);
    return typeof value === 'object' && value !== null && 'step' in value ? (value as Heartbeat) : null;
  } catch {
    return null;
  }
}

/** In these states a step's activity may be under way. In any other, a heartbeat is older than what the run says. */
const LIVE: readonly StepState[] = ['running', 'waiting', 'undoing'];

/** `status` with the figures of the activities under way in place of what the run itself last knew. */
export function withHeartbeats(status: Status, beats: ReadonlyMap<string, Heartbeat>): Status {
  if (beats.size === 0) return status;
  const merge = (step: StepStatus): StepStatus => {
    const beat = beats.get(step.id);
    if (beat === undefined || !LIVE.includes(step.state)) return step;
    return { ...step, progress: beat.progress ?? step.progress, note: beat.note ?? step.note };
  };
  return { ...status, phases: status.phases.map((phase) => ({ ...phase, steps: phase.steps.map(merge) })) };
}
