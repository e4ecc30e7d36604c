import type { BreachStatus, GateStatus, RunStatus, Status } from '../messages/index.ts';
import type { CheckedPlan } from '../activities/lifecycle.ts';
import { decisionIdOf } from './gate.ts';
import { type Breach, type MigrationState, STATIONS } from './state.ts';

/** Which status may follow which; a test pins it. Ends have no successor. */
export const TRANSITIONS: Record<RunStatus, readonly RunStatus[]> = {
  running: ['waiting', 'awaiting-approval', 'paused', 'held', 'rolling-back', 'completed', 'failed'],
  waiting: ['running', 'awaiting-approval', 'paused', 'held', 'rolling-back', 'completed', 'failed'],
  'awaiting-approval': ['running', 'waiting', 'paused', 'held', 'rolling-back', 'completed'],
  paused: ['running', 'waiting', 'awaiting-approval', 'held', 'rolling-back'],
  held: ['running', 'waiting', 'awaiting-approval', 'paused', 'rolling-back', 'completed'],
  'rolling-back': ['rolled-back', 'failed'],
  completed: [],
  'rolled-back': [],
  failed: [],
};

/** The status that counts: the first that is true, in the order of `RUN_STATUSES`. */
export function runStatusOf(state: MigrationState): RunStatus {
  if (state.ended !== null) return state.ended;
  if (state.direction === 'down' || state.turning !== null) return 'rolling-back';
  if (Object.keys(state.holds).length > 0) return 'held';
  if (state.paused !== null) return 'paused';
  if (openGates(state).length > 0) return 'awaiting-approval';
  if (Object.keys(state.waiting).length > 0 && !anyStepWorks(state)) return 'waiting';
  return 'running';
}
/** One that waits, for its window, its time or a person, doesn't work. */
export const anyStepWorks = ({ steps, waiting }: MigrationState): boolean =>
  Object.entries(steps).some(
    ([id, { state }]) => (state === 'running' || state === 'undoing') && waiting[id] === undefined,
  );
/** Gates that the run waits at. */
export const openGates = (state: MigrationState) =>
  Object.values(state.gates).filter((gate) => gate.state === 'open' && gate.overrides === undefined);
/** Gates by which people may let a step go before its window. */
export const openOverrides = (state: MigrationState) =>
  Object.values(state.gates).filter((gate) => gate.state === 'open' && gate.overrides !== undefined);

const iso = (ms: number) => new Date(ms).toISOString();

export function statusOf(state: MigrationState, checked: CheckedPlan | null, now: number): Status {
  const plan = checked?.plan;
  const status = runStatusOf(state);
  return {
    name: plan?.metadata.name ?? '',
    version: plan?.metadata.version ?? 0,
    digest: checked?.digest ?? '',
    status,
    reason: reasonOf(state, status),
    waitingFor: waitingFor(state, status),
    error: state.error ?? Object.values(state.holds)[0]?.error ?? null,
    refused: state.refused,
    links: {},
    phases: (plan?.spec.phases ?? []).map((phase) => ({
      name: phase.name,
      state: state.phases[phase.name]?.state ?? 'pending',
      steps: phase.steps.map((step) => {
        const at = state.steps[step.id];
        const nextAt = state.nextAt?.[step.id];
        return {
          id: step.id,
          uses: step.uses,
          state: at?.state === 'running' && state.waiting[step.id] !== undefined ? 'waiting' : (at?.state ?? 'pending'),
          progress: at?.progress ?? null,
          note: state.waiting[step.id] ?? at?.note ?? null,
          ...(nextAt != null && { nextAt: iso(nextAt) }),
        };
      }),
    })),
    gates: Object.values(state.gates).map(gateStatus),
    source: 'workflow',
    owner: plan?.metadata.owner ?? '',
    requestedBy: state.requestedBy,
    services: Object.keys(plan?.spec.services ?? {}),
    risk: plan?.spec.risk ?? '',
    epoch: state.run?.epoch ?? 0,
    ...degradedOf(state),
    ...(state.breach !== undefined && { breach: breachStatus(state.breach) }),
    startedAt: iso(state.startedAt),
    updatedAt: iso(now),
  };
}

function degradedOf({ degraded = {} }: MigrationState): Pick<Status, 'degraded'> {
  const list = Object.entries(degraded).map(([what, of]) => ({ what, ...of }));
  return list.length === 0 ? {} : { degraded: list };
}

const breachStatus = ({ key, seenAtMs, lowered, left }: Breach): BreachStatus => ({
  guards: key,
  seenAt: iso(seenAtMs),
  lowered: lowered.map(({ flag, environment, percent, inMs }) => ({ flag, environment, percent, inMs })),
  left: left.map(({ flag, why }) => ({ flag, why })),
});

const gateStatus = (gate: MigrationState['gates'][string]): GateStatus => ({
  gate: gate.gate,
  phase: gate.phase,
  state: gate.state,
  roles: gate.roles,
  min: gate.min,
  approvedBy: gate.approvals.map((approval) => approval.by),
  decisionId: decisionIdOf(gate),
  expiresAt: gate.expiresAt === null ? null : iso(gate.expiresAt),
  ...(gate.overrides !== undefined && { overrides: gate.overrides }),
});

function waitingFor(state: MigrationState, status: RunStatus): string | null {
  const [gate] = openGates(state);
  switch (status) {
    case 'held':
      return `retry, skip or abort of ${Object.keys(state.holds).join(', ')}`;
    case 'paused':
      return 'resume';
    case 'awaiting-approval':
      return gate === undefined ? null : `approval of ${gate.gate}`;
    case 'rolling-back':
      if (Object.keys(state.holds).length > 0) return `retry or skip of ${Object.keys(state.holds).join(', ')}`;
      return state.paused === null ? (Object.values(state.waiting)[0] ?? null) : 'resume';
    default:
      return Object.values(state.waiting)[0] ?? null;
  }
}

/** One sentence that says what is going on, or why it stands still. */
function reasonOf(state: MigrationState, status: RunStatus): string {
  const holds = Object.values(state.holds);
  const running = Object.entries(state.steps).filter(
    ([, step]) => step.state === 'running' || step.state === 'undoing',
  );
  const steps = running.map(([id]) => id).join(', ');
  switch (status) {
    case 'rolling-back': {
      const [hold] = holds;
      const why = state.turning?.reason ?? state.error?.message ?? 'an earlier run decided so';
      if (hold !== undefined) return `undoing ${hold.id} failed: ${hold.error.message}`;
      return `${steps === '' ? 'rolling back' : `undoing ${steps}`}: ${why}${breachWords(state)}`;
    }
    case 'held':
      return `${holds.map((hold) => `${hold.id} is held: ${hold.error.message}`).join('; ')}${breachWords(state)}`;
    case 'paused':
      return state.paused ?? 'paused';
    case 'awaiting-approval':
      return openGates(state)
        .map(
          (gate) =>
            `${gate.gate} has ${gate.approvals.length} of ${gate.min} approvals${gate.roles.length > 0 ? ` (${gate.roles.join(' or ')})` : ''}`,
        )
        .join('; ');
    case 'waiting':
      return Object.values(state.waiting).join('; ');
    case 'running': {
      const waits = Object.values(state.waiting);
      if (steps !== '')
        return `${steps} ${running.length === 1 ? 'runs' : 'run'}${waits.length > 0 ? `; ${waits.join('; ')}` : ''}`;
      const phase = Object.entries(state.phases).find(([, at]) => at.state !== 'pending' && at.state !== 'done');
      return phase === undefined ? 'starting' : `${phase[0]}: ${STATION_WORDS[phase[1].station]}`;
    }
    case 'completed':
      return 'every phase is done';
    case 'rolled-back':
      return `rolled back: ${state.turning?.reason ?? state.error?.message ?? 'an earlier run decided so'}`;
    case 'failed':
      return state.notUndone.length === 0 || stoppedForGood(state)
        ? (state.error?.message ?? 'failed')
        : `not undone, because a person skipped it: ${state.notUndone.join(', ')}; start it again to try once more`;
  }
}
/** What became of the users whom a breach concerns. */
function breachWords({ breach }: MigrationState): string {
  if (breach === undefined) return '';
  const { lowered, left } = breach;
  if (lowered.length + left.length === 0) return '; users are being taken off the new path';
  const seconds = (Math.max(0, ...lowered.map(({ inMs }) => inMs)) / 1000).toFixed(1);
  const flags = lowered.map(({ flag, percent }) => `${flag} at ${percent} %`).join(', ');
  return [
    ...(lowered.length === 0 ? [] : [`; exposure was lowered ${seconds} s after the breach: ${flags}`]),
    ...left.map(
      ({ flag, why, again }) => `; flag ${flag} was not lowered: ${why}${again ? ' (it is tried again)' : ''}`,
    ),
  ].join('');
}
/** The rollback came to a step that can't be undone. */
const stoppedForGood = ({ error, notUndone }: MigrationState): boolean =>
  error?.code === 'NotReversible' && error.step !== null && notUndone.includes(error.step);

const STATION_WORDS: Record<(typeof STATIONS)[number], string> = {
  preconditions: 'checks its preconditions',
  before: 'asks for approval',
  steps: 'starts its steps',
  exit: 'checks its exit criteria',
  soak: 'soaks',
  after: 'asks for approval',
  done: 'done',
};
