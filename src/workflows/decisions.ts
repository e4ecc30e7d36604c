import type { Decision, Message, Receipt } from '../messages/index.ts';
import { local } from './activities.ts';
import { policyOf } from './gate.ts';
import { inOrderOfNeeds } from './order.ts';
import type { Run } from './run.ts';
import { openGates, openOverrides } from './run-status.ts';
import type { Gate, Hold } from './state.ts';
import { orchestrationOf, pointOfNoReturn } from './steps/index.ts';

/** Applies a well-formed decision; answers whether it counted, and why not. */
export function decide(run: Run, message: Message): Promise<Receipt> {
  const { decision } = message;
  switch (message.name) {
    case 'approve':
      return onGate(run, decision, approve);
    case 'reject':
      return onGate(run, decision, reject);
    case 'retry':
    case 'skip':
      return resolveHold(run, decision, message.name);
    case 'abort':
      return Promise.resolve(abort(run, decision));
    case 'pause':
      return Promise.resolve(pause(run, decision));
    case 'resume':
      return Promise.resolve(resume(run, decision));
    case 'renew':
      run.event('renewed', decision.by, {});
      run.renew();
      return Promise.resolve(accepted('the migration goes on with a fresh history'));
  }
}
const accepted = (reason: string): Receipt => ({ accepted: true, reason });
const refused = (reason: string): Receipt => ({ accepted: false, reason });
const listed = (names: readonly string[]) => (names.length === 0 ? 'none' : names.join(', '));

async function onGate(
  run: Run,
  decision: Decision,
  apply: (run: Run, gate: Gate, decision: Decision) => Promise<Receipt>,
): Promise<Receipt> {
  const waitedFor = openGates(run.state);
  const open = [...waitedFor, ...openOverrides(run.state)];
  // An override is never meant by an approval that names nothing.
  const gate =
    decision.gate === null
      ? waitedFor.length === 1
        ? waitedFor[0]
        : undefined
      : open.find((one) => one.gate === decision.gate);
  if (gate !== undefined) return apply(run, gate, decision);
  const which = decision.gate === null ? 'name the gate' : `gate "${decision.gate}" isn't open`;
  return refused(`${which}; open: ${listed(open.map((one) => one.gate))}`);
}

async function approve(run: Run, gate: Gate, decision: Decision): Promise<Receipt> {
  if (gate.approvals.some((approval) => approval.by === decision.by)) {
    return refused(`${decision.by} has approved ${gate.gate} already; ${gate.min - gate.approvals.length} more must`);
  }
  const judgement = await local.judge({
    by: decision.by,
    requestedBy: run.state.requestedBy,
    roles: gate.roles,
    notRequester: gate.notRequester,
  });
  if (!judgement.allowed) return refused(judgement.reason);
  // The gate may have expired, or the run turned round, while the roles were looked up.
  if (gate.state !== 'open') return refused(`gate "${gate.gate}" isn't open any more`);
  gate.approvals.push({ by: decision.by, decisionId: decision.decisionId });
  run.event('approved', decision.by, {
    gate: gate.gate,
    decisionId: decision.decisionId,
    comment: decision.comment,
    digest: run.checked.digest,
  });
  if (gate.approvals.length < gate.min)
    return accepted(`${gate.approvals.length} of ${gate.min} approvals of ${gate.gate}`);
  gate.state = 'approved';
  run.event(gate.overrides === undefined ? 'gate-approved' : 'window-overridden', decision.by, {
    gate: gate.gate,
    ...(gate.overrides !== undefined && { comment: decision.comment }),
    digest: run.checked.digest,
    by: gate.approvals.map((one) => one.by).join(', '),
  });
  if (gate.overrides !== undefined) return accepted(`${gate.gate} is approved: it goes now, until it is done`);
  return accepted(`${gate.gate} is approved`);
}

async function reject(run: Run, gate: Gate, decision: Decision): Promise<Receipt> {
  const judgement = await local.judge({
    by: decision.by,
    requestedBy: run.state.requestedBy,
    roles: gate.roles,
    notRequester: false,
  });
  if (!judgement.allowed) return refused(judgement.reason);
  if (gate.state !== 'open') return refused(`gate "${gate.gate}" isn't open any more`);
  gate.state = 'rejected';
  run.event('rejected', decision.by, { gate: gate.gate, decisionId: decision.decisionId, comment: decision.comment });
  return accepted(
    gate.overrides === undefined
      ? `${gate.gate} is rejected; the migration is held`
      : `${gate.gate} is rejected; it waits for its window`,
  );
}

/** Retry and skip count as approvals of the phase's risk: as many people as its policy asks for. */
async function resolveHold(run: Run, decision: Decision, name: 'retry' | 'skip'): Promise<Receipt> {
  const all = Object.values(run.state.holds);
  const hold: Hold | undefined =
    decision.step === null ? (all.length === 1 ? all[0] : undefined) : run.state.holds[decision.step];
  if (hold === undefined) {
    const which = decision.step === null ? 'name the step' : `"${decision.step}" isn't held`;
    return refused(`${which}; held: ${listed(Object.keys(run.state.holds))}`);
  }
  if (hold.resolution !== null) return refused(`${hold.resolution} of "${hold.id}" is decided already`);
  const policy = policyOf(run.checked, run.riskOf(hold.phase));
  const votes = hold.votes[name];
  const unfit = unfitToAccept(hold, decision, name);
  if (unfit !== null) return refused(unfit);
  if (votes.some((vote) => vote.by === decision.by)) return refused(`${decision.by} has said ${name} already`);
  const judgement = await local.judge({
    by: decision.by,
    requestedBy: run.state.requestedBy,
    roles: policy.roles,
    notRequester: policy.notRequester,
  });
  if (!judgement.allowed) return refused(judgement.reason);
  // One that came meanwhile may have decided, and the run may have turned round.
  if (run.state.holds[hold.id] !== hold) return refused(`"${hold.id}" isn't held any more`);
  const { accept } = decision;
  votes.push({ by: decision.by, decisionId: decision.decisionId, ...(accept !== null && { accept }) });
  run.event(name === 'retry' ? 'retried' : 'skipped', decision.by, {
    what: hold.id,
    decisionId: decision.decisionId,
    comment: decision.comment,
    ...(accept !== null && { accept }),
  });
  if (votes.length < policy.min) return accepted(`${votes.length} of ${policy.min} needed to ${name} ${hold.id}`);
  hold.resolution = name;
  const others = Object.entries(run.state.accepted ?? {}).filter(([id]) => id !== hold.id);
  const by = votes.map((vote) => vote.by).join(', ');
  const mine = accept === null ? [] : [[hold.id, { digest: accept, by }] as const];
  run.state.accepted = Object.fromEntries([...others, ...mine]);
  return accepted(name === 'retry' ? `${hold.id} is tried again` : `${hold.id} is left out`);
}

/** Why a vote can't count as it is given; what the changes are by now is the step's own to find out. */
function unfitToAccept(hold: Hold, { accept }: Decision, name: 'retry' | 'skip'): string | null {
  if (accept !== null && hold.drift === undefined)
    return `"${hold.id}" isn't held for something that can be accepted: there is nothing to accept, say retry without it`;
  const other = name === 'retry' ? hold.votes.retry.find((vote) => (vote.accept ?? null) !== accept) : undefined;
  if (other === undefined) return null;
  return `${other.by} has said retry ${other.accept === undefined ? 'without accepting anything' : `and accepts ${other.accept}`}: all must say the same`;
}

function abort(run: Run, decision: Decision): Receipt {
  const { state } = run;
  if (state.direction === 'down' || state.turning !== null) return accepted('the migration is rolling back already');
  const passed = pointOfNoReturn(run);
  if (passed !== null) {
    return refused(
      `the point of no return (${passed}) is passed: nothing rolls back; what came after it and can still be undone by hand: ${listed(undoableAfter(run, passed))}`,
    );
  }
  run.event('aborted', decision.by, { comment: decision.comment });
  run.turn({
    reason: `aborted by ${decision.by}${decision.comment === null ? '' : `: ${decision.comment}`}`,
    by: decision.by,
    error: null,
  });
  return accepted('the migration stops and rolls back');
}

/** Steps after the one that took the way back which have had an effect and could be undone. */
function undoableAfter({ checked, state }: Run, passed: string): string[] {
  const steps = checked.plan.spec.phases.flatMap((phase) => inOrderOfNeeds(phase.steps));
  const after = steps.slice(steps.findIndex(({ id }) => id === passed) + 1);
  return after
    .filter(({ id, uses }) => {
      const at = state.steps[id];
      const { down, pointOfNoReturn: final } = orchestrationOf(uses);
      return at !== undefined && at.touched && at.state !== 'undone' && down !== null && !final;
    })
    .map(({ id }) => id);
}

function pause(run: Run, decision: Decision): Receipt {
  if (run.state.paused !== null) return accepted('the migration is paused already');
  run.state.paused = `paused by ${decision.by}${decision.comment === null ? '' : `: ${decision.comment}`}`;
  run.event('paused', decision.by, { comment: decision.comment });
  run.interrupt();
  return accepted('the migration is paused');
}

function resume(run: Run, decision: Decision): Receipt {
  if (run.state.paused === null) return accepted('the migration is not paused');
  run.state.paused = null;
  run.event('resumed', decision.by, { comment: decision.comment });
  return accepted('the migration goes on');
}
