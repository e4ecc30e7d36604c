import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import type { Heartbeat, StepState, Status, StepStatus } from '../messages/index.ts';

/**
 * The live figures of long steps. They are the heartbeat details of the activities under way: a run's own state only
 * changes at transitions, so that its history stays small however long a backfill takes.
 */
type PendingActivity = NonNullable<WorkflowExecutionDescription['raw']['pendingActivities']>[number];
type Payloads = NonNullable<NonNullable<PendingActivity['heartbeatDetails']>['payloads']>;

/** `PENDING_ACTIVITY_STATE_SCHEDULED` of Temporal's API. */
const SCHEDULED = 1;

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
    const tried = failure ? `attempt ${attempt} after: ${failure}` : null;
    const note = beat?.note ?? tried;
    // Between two tries nobody is at work: what the last one failed with is what keeps it from going on.
    const waits = tried !== null && Number(activity.state) === SCHEDULED;
    const degraded = waits ? { since: null, words: tried } : beat?.degraded;
    if (beat === null && note === null) continue;
    // Short ones have a number: their kind says more.
    const what = /^\d+$/.test(step) ? (activity.activityType?.name ?? step) : step;
    beats.set(what, { step: what, progress: beat?.progress ?? null, note, ...(degraded && { degraded }) });
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

/** What is under way knows better than the run, which looks once in a while. */
function degradedOf({ degraded = [] }: Status, beats: ReadonlyMap<string, Heartbeat>): Pick<Status, 'degraded'> {
  const known = degraded.filter(({ what }) => !beats.has(what));
  const live = [...beats.values()].flatMap((beat) => (beat.degraded ? [{ what: beat.step, ...beat.degraded }] : []));
  const all = [...known, ...live];
  return all.length === 0 ? {} : { degraded: all };
}

/** `status` with the figures of the activities under way in place of what the run itself last knew. */
export function withHeartbeats(status: Status, beats: ReadonlyMap<string, Heartbeat>): Status {
  if (beats.size === 0) return status;
  const merge = (step: StepStatus): StepStatus => {
    const beat = beats.get(step.id);
    if (beat === undefined || !LIVE.includes(step.state)) return step;
    return { ...step, progress: beat.progress ?? step.progress, note: beat.note ?? step.note };
  };
  const { degraded: _, ...rest } = status;
  return {
    ...rest,
    ...degradedOf(status, beats),
    phases: status.phases.map((phase) => ({ ...phase, steps: phase.steps.map(merge) })),
  };
}
