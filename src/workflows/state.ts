import type {
  Direction,
  EndStatus,
  GateState,
  Heartbeat,
  PhaseState,
  Progress,
  Refusal,
  RunRef,
  StatusError,
  StepState,
} from '../messages/index.ts';
import type { CheckedPlan } from '../activities/lifecycle.ts';
import type { AcceptedDrift, ThrottleOverride } from '../activities/effect.ts';
import type { ExposureStopped } from '../activities/stop-exposure.ts';
import type { Phase, Step } from '../plan/index.ts';

/**
 * All that a run knows: explicit, serializable, bounded. The workflow is a thin shell round it; continue-as-new carries
 * it over as it is. What changes data is in the ledgers; this only has to say where to go on.
 */
export interface StepProgress {
  state: StepState;
  note: string | null;
  progress: Progress | null;
  /** Whether it may have had an effect: then it is undone on the way down. */
  touched: boolean;
  /** Milliseconds of its `timeout` that are left; counted down while it runs. */
  remainingMs: number | null;
  /** How often a person has let it try again. */
  retried?: number;
}
/** The stations of a phase, in order; a phase goes on at the one it stands at. */
export const STATIONS = ['preconditions', 'before', 'steps', 'exit', 'soak', 'after', 'done'] as const;
export type Station = (typeof STATIONS)[number];
export interface PhaseProgress {
  station: Station;
  state: PhaseState;
  soakRemainingMs: number | null;
}
export interface Approval {
  by: string;
  decisionId: string;
  /** A vote for retry that accepts what others have changed: its digest. */
  accept?: string;
}
export interface Gate {
  gate: string;
  phase: string;
  state: GateState;
  roles: string[];
  min: number;
  notRequester: boolean;
  /** How often it was opened; part of the decisionId, so that an old approval doesn't count for a new opening. */
  opening: number;
  approvals: Approval[];
  /** Milliseconds since the epoch, or null where the approval doesn't expire. */
  expiresAt: number | null;
  details: string | null;
  /** Approving it lets a step go outside of its windows: nothing waits for that. */
  overrides?: 'window';
}
/** Something that failed for good and waits for a person. `id` is a step's or a gate's. */
export interface Hold {
  id: string;
  phase: string;
  error: StatusError;
  /** The digest of what a person may accept: what others have changed in the run's tables, or a case that a step shows. */
  drift?: string;
  /** Votes for retry and for skip; as many are needed as the policy of the phase's risk asks for. */
  votes: { retry: Approval[]; skip: Approval[] };
  resolution: 'retry' | 'skip' | null;
  /** Nothing goes on while it is held, not only what is held itself. */
  stops?: boolean;
}
/** A guard that tripped, and what became of the users who were on a new path. */
export interface Breach {
  /** The guards, or the step that watches its own. */
  key: string;
  seenAtMs: number;
  lowered: ExposureStopped['lowered'];
  left: ExposureStopped['left'];
  /** Where the run goes on when a person says so: steps that then expose users again, before anything else goes on. */
  raising?: string[];
}
export interface MigrationState {
  requestedBy: string;
  startedAt: number;
  run: RunRef | null;
  direction: Direction;
  steps: Record<string, StepProgress>;
  phases: Record<string, PhaseProgress>;
  gates: Record<string, Gate>;
  holds: Record<string, Hold>;
  paused: string | null;
  /** Why the run turns round, once that is decided. `recorded`: the ledgers say so; an earlier run has turned. */
  turning: { reason: string; by: string | null; error: StatusError | null; recorded?: true } | null;
  /** Set when Temporal's own Cancel asked for it: the run then ends as Canceled. */
  canceled: boolean;
  /** What keeps the run or a part of it waiting, in words, by what waits. */
  waiting: Record<string, string>;
  /** When what waits for a window may go next, in milliseconds since the epoch; null: never by itself. */
  nextAt?: Record<string, number | null>;
  throttles: Record<string, ThrottleOverride>;
  /** Changes by others that were accepted with a retry, by step. A state of 0.1.0 has none. */
  accepted?: Record<string, AcceptedDrift>;
  /** Decisions that have counted, the newest last. */
  decisions: { name: string; decisionId: string; by: string }[];
  refused: Refusal[];
  error: StatusError | null;
  ended: EndStatus | null;
  /** Compensations that a person skipped: the run then ends as failed, not as rolled back. */
  notUndone: string[];
  /** Gates that an earlier run of this epoch got approved. */
  approvedBefore: string[];
  /** Guards that a person said to go on without, after the point of no return. */
  unwatched?: string[];
  /** What goes on with less than it should, by what is under way. */
  degraded?: Record<string, NonNullable<Heartbeat['degraded']>>;
  /** The last breach, until it is over. */
  breach?: Breach;
  /** Numbers the audit events. */
  events: number;
}

export const REFUSED_KEPT_MAX = 20;
export const REFUSED_LENGTH_MAX = 200;
export const DECISIONS_KEPT_MAX = 1_000;
export const NOTE_LENGTH_MAX = 500;

export const initialState = (requestedBy: string, startedAt: number): MigrationState => ({
  requestedBy,
  startedAt,
  run: null,
  direction: 'up',
  steps: {},
  phases: {},
  gates: {},
  holds: {},
  paused: null,
  turning: null,
  canceled: false,
  waiting: {},
  throttles: {},
  decisions: [],
  refused: [],
  error: null,
  ended: null,
  notUndone: [],
  approvedBefore: [],
  events: 0,
});

/** Gives every phase and step of the plan its place. */
export function layOut(state: MigrationState, { plan }: CheckedPlan): void {
  for (const phase of plan.spec.phases) {
    state.phases[phase.name] ??= { station: 'preconditions', state: 'pending', soakRemainingMs: null };
    for (const step of phase.steps) {
      state.steps[step.id] ??= { state: 'pending', note: null, progress: null, touched: false, remainingMs: null };
    }
  }
}

export function stepOf(checked: CheckedPlan, id: string): { step: Step; phase: Phase } | null {
  for (const phase of checked.plan.spec.phases) {
    const step = phase.steps.find((candidate) => candidate.id === id);
    if (step !== undefined) return { step, phase };
  }
  return null;
}

/** Databases that a plan's steps act on, sorted: fences are raised there. */
export function databasesOf({ plan, claims }: Pick<CheckedPlan, 'plan' | 'claims'>): string[] {
  const named = plan.spec.phases.flatMap((phase) =>
    phase.steps.flatMap((step) => ('database' in step && step.database ? [step.database] : [])),
  );
  return [...new Set([...named, ...claims.map((claim) => claim.database)])].sort();
}

/** Forgets how far the run was, not what was decided about it: everything is done again in a new epoch. */
export function startOver(state: MigrationState, checked: CheckedPlan): void {
  Object.assign(state, {
    direction: 'up',
    steps: {},
    phases: {},
    gates: {},
    holds: {},
    accepted: {},
    turning: null,
    waiting: {},
    error: null,
    notUndone: [],
  } satisfies Partial<MigrationState>);
  delete state.breach;
  layOut(state, checked);
}
