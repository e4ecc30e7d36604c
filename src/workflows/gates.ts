import { failWith, stepFailure } from './failure.ts';
import { type GatePolicy, policyOf } from './gate.ts';
import { hold } from './holds.ts';
import type { Run } from './run.ts';
import { durationMs } from './duration.ts';
import type { Gate } from './state.ts';

/**
 * A gate is opened once, waits for as many people as the policy asks for, and is held when it is rejected or expires.
 * While it waits it costs no events at all; with an expiry two (the timer).
 */
export async function passGate(
  run: Run,
  of: { gate: string; phase: string; policy?: Partial<GatePolicy>; details?: string | null },
): Promise<Gate> {
  const policy = { ...policyOf(run.checked, run.riskOf(of.phase)), ...of.policy };
  const gate = (run.state.gates[of.gate] ??= closedGate(of.gate, of.phase, policy, of.details ?? null));
  if (gate.state !== 'approved' && run.state.approvedBefore.includes(of.gate)) gate.state = 'approved';
  while (gate.state !== 'approved') {
    if (gate.state !== 'open') open(run, gate, policy);
    await run.until(() => gate.state !== 'open', gate.expiresAt === null ? null : gate.expiresAt - Date.now());
    if (stateOf(gate) === 'open') {
      gate.state = 'expired';
      run.event('gate-expired', null, { gate: gate.gate });
    }
    if (stateOf(gate) !== 'approved') await heldGate(run, gate);
  }
  return gate;
}
/** The state as it is now: it changes while the run waits, which the compiler can't know. */
const stateOf = (gate: Gate): Gate['state'] => gate.state;

async function heldGate(run: Run, gate: Gate): Promise<void> {
  const failure =
    gate.state === 'rejected'
      ? failWith('GateRejected', `${gate.gate} was rejected`, 'retry opens it again, abort rolls back')
      : failWith('GateExpired', `${gate.gate} was not approved in time`, 'retry opens it again, abort rolls back');
  const error = stepFailure(failure, null)?.error;
  if (error === undefined) return;
  // Skipping a gate is an approval by as many people as the policy asks for: it lets the run pass.
  if ((await hold(run, gate.gate, gate.phase, error)) === 'skip') gate.state = 'approved';
}

function open(run: Run, gate: Gate, policy: GatePolicy): void {
  gate.state = 'open';
  gate.opening += 1;
  gate.approvals = [];
  gate.expiresAt = policy.expiresAfter === null ? null : Date.now() + durationMs(policy.expiresAfter);
  run.event('gate-opened', null, { gate: gate.gate, opening: gate.opening, digest: run.checked.digest });
}

const closedGate = (gate: string, phase: string, policy: GatePolicy, details: string | null): Gate => ({
  gate,
  phase,
  state: 'closed',
  roles: policy.roles,
  min: policy.min,
  notRequester: policy.notRequester,
  opening: 0,
  approvals: [],
  expiresAt: null,
  details,
});
