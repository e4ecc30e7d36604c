/** What a migration tells about itself. `status --json` prints exactly this; its shape is a public promise. */

/** In order of precedence: where several are true, the first that is counts. Ends come last. */
export const RUN_STATUSES = [
  'rolling-back',
  'held',
  'paused',
  'awaiting-approval',
  'waiting',
  'running',
  'completed',
  'rolled-back',
  'failed',
] as const;
export type RunStatus = (typeof RUN_STATUSES)[number];
export const END_STATUSES = ['completed', 'rolled-back', 'failed'] as const satisfies readonly RunStatus[];
export type EndStatus = (typeof END_STATUSES)[number];
export const isEnd = (status: RunStatus): status is EndStatus => (END_STATUSES as readonly string[]).includes(status);

export type StepState =
  | 'pending'
  | 'waiting'
  | 'running'
  | 'held'
  | 'done'
  | 'skipped'
  | 'undoing'
  | 'undone'
  | 'failed';
export type PhaseState = 'pending' | 'waiting' | 'running' | 'awaiting-approval' | 'soaking' | 'done' | 'undone';
export type GateState = 'closed' | 'open' | 'approved' | 'rejected' | 'expired';

/** Progress of a long step, in rows, keys or requests; a rate per second; `etaSeconds` is null where unknown. */
export interface Progress {
  done: number;
  total: number | null;
  perSecond: number | null;
  etaSeconds: number | null;
}

export interface StepStatus {
  id: string;
  uses: string;
  state: StepState;
  progress: Progress | null;
  /** Why it waits or is throttled, or what it found, in words. */
  note: string | null;
  /** When it may go by itself, where it waits for a window. */
  nextAt?: string;
}
export interface PhaseStatus {
  name: string;
  state: PhaseState;
  steps: StepStatus[];
}
export interface GateStatus {
  gate: string;
  phase: string;
  state: GateState;
  /** Roles of which the approver must hold one; empty: anyone. */
  roles: string[];
  /** How many different people must approve, and who did. */
  min: number;
  approvedBy: string[];
  /** The `decisionId` to send with the next decision: unique to this opening of the gate. */
  decisionId: string;
  expiresAt: string | null;
  /** Nothing waits for it: approving it lets the step go outside of its windows. */
  overrides?: 'window';
}
/** Something that goes on with less than it should: slowed down, or without a source or a server that is away. */
export interface Degraded {
  /** A step, guards (`migrate/guards`), or what the run itself does (`exposure`, `turn`). */
  what: string;
  /** Null where that isn't known. */
  since: string | null;
  words: string;
}
/** A guard that tripped, and what became of the users on a new path. */
export interface BreachStatus {
  /** `<phase>/guards`, `<step>/guards`, `spec.guards`, or the step that watches its own. */
  guards: string;
  seenAt: string;
  /** Flags as they are now; `inMs`: how long after the breach was seen. */
  lowered: { flag: string; environment: string; percent: number; inMs: number }[];
  /** Flags that could not be lowered, and why. */
  left: { flag: string; why: string }[];
}
export interface StatusError {
  code: string;
  message: string;
  hint: string | null;
  step: string | null;
}
/** A message that was refused: what came, why, when. The last 20 are kept, each text cut at 200 characters. */
export interface Refusal {
  message: string;
  reason: string;
  at: string;
}
export interface Status {
  name: string;
  version: number;
  digest: string;
  status: RunStatus;
  /** One sentence: what is going on, or why it stands still. */
  reason: string;
  /** What it waits for (a gate, a claim, a window, a person), or null. */
  waitingFor: string | null;
  error: StatusError | null;
  refused: Refusal[];
  links: Record<string, string>;
  phases: PhaseStatus[];
  gates: GateStatus[];
  /** Where the answer comes from: the run itself, or the home ledger because the run didn't answer in 2 s. */
  source: 'workflow' | 'ledger';
  owner: string;
  requestedBy: string;
  services: string[];
  risk: string;
  epoch: number;
  /** What goes on with less than it should; absent where nothing does. */
  degraded?: Degraded[];
  /** The last breach of a guard, until it is over. */
  breach?: BreachStatus;
  startedAt: string;
  updatedAt: string;
}

/** Heartbeat details of every long activity; Temporal UI, the CLI and the board read them from 'Pending Activities'. */
export interface Heartbeat {
  step: string;
  progress: Progress | null;
  note: string | null;
  degraded?: Omit<Degraded, 'what'>;
}

/** What a run answers when it ends well. A run that doesn't fails with type `RolledBack` or `MigrationFailed`. */
export interface MigrationResult {
  name: string;
  version: number;
  digest: string;
  outcome: 'completed' | 'nothing-to-do';
  message: string;
}
