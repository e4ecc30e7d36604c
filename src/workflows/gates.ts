import { type GatePolicy, policyOf } from './gate.ts';
import { isHeld, placeHold, resolution } from './holds.ts';
import { cut } from './failure.ts';
import type { Run } from './run.ts';
import { durationMs } from './duration.ts';
import type { StatusError } from '../messages/index.ts';
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
  while (stateOf(gate) !== 'approved') {
    if (!isHeld(run, gate.gate)) {
      if (gate.state !== 'open') open(run, gate, policy);
      const expiresInMs = gate.expiresAt === null ? null : gate.expiresAt - Date.now();
      await run.until(() => gate.state !== 'open', expiresInMs, `${gate.gate} expires`);
      if (stateOf(gate) === 'approved') break;
      if (stateOf(gate) === 'open') expire(run, gate);
      placeHold(run, gate.gate, gate.phase, refusalOf(gate));
    }
    // Skipping a gate is an approval by as many people as the policy asks for: it lets the run pass.
    if ((await resolution(run, gate.gate)) === 'skip') gate.state = 'approved';
  }
  return gate;
}
/** The state as it is now: it changes while the run waits, which the compiler can't know. */
const stateOf = (gate: Gate): Gate['state'] => gate.state;

function expire(run: Run, gate: Gate): void {
  gate.state = 'expired';
  run.event('gate-expired', null, { gate: gate.gate });
}

const refusalOf = (gate: Gate): StatusError => ({
  code: gate.state === 'rejected' ? 'GateRejected' : 'GateExpired',
  message: gate.state === 'rejected' ? `${gate.gate} was rejected` : `${gate.gate} was not approved in time`,
  hint: 'retry opens it again, skip lets the run pass, abort rolls back',
  step: null,
});

function open(run: Run, gate: Gate, policy: GatePolicy): void {
  gate.state = 'open';
  gate.opening += 1;
  gate.approvals = [];
  gate.expiresAt = policy.expiresAfter === null ? null : Date.now() + durationMs(policy.expiresAfter);
  const details = gate.details === null ? {} : { details: cut(gate.details) };
  run.event('gate-opened', null, { gate: gate.gate, opening: gate.opening, digest: run.checked.digest, ...details });
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
