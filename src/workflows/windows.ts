import { patched } from '@temporalio/workflow';
import type { Opening } from '../activities/questions.ts';
import type { Kind, Phase } from '../plan/index.ts';
import { local } from './activities.ts';
import { overridePolicyOf } from './gate.ts';
import type { Limit, Run } from './run.ts';
import { type Gate, stepOf } from './state.ts';

/**
 * Waiting for windows. Whoever waits says when it may go next, and meanwhile a gate `<step>/window` is open: approving
 * it is the emergency override, on record, and lets the step go until it is done. The gate is no reason to wait: it
 * closes by itself when a window opens.
 */

/** Kinds that move data stop while no window of theirs is open; the others look at it before they start. */
export const MOVES_DATA: readonly Kind[] = ['backfill', 'verify', 'move'];

export const windowGate = (id: string): string => `${id}/window`;

/** Waits for a window of a step's kind to be open, or for its override; answers with when the window closes. */
export async function openWindow(run: Run, step: string, kind: Kind): Promise<Limit | null> {
  const phase = stepOf(run.checked, step)?.phase.name ?? '';
  return waitFor(run, { key: step, id: step, phase, kinds: [kind] });
}

/**
 * A phase with preconditions waits until one of its first steps may go: what holds at noon says nothing of the night.
 * Its override, `<phase>/window`, is one of all its steps.
 */
export async function openPhase(run: Run, phase: Phase): Promise<void> {
  if (phase.preconditions.length === 0 || run.checked.plan.spec.policies.windows.length === 0) return;
  if (!patched('phase-window')) return;
  const first = phase.steps.filter(({ needs }) => needs.length === 0).map(({ uses }) => uses);
  await waitFor(run, { key: windowGate(phase.name), id: phase.name, phase: phase.name, kinds: [...new Set(first)] });
}

interface Waiting {
  /** What `state.waiting` calls it; a step may be called like its phase. */
  key: string;
  /** The step, or the phase. */
  id: string;
  phase: string;
  kinds: readonly Kind[];
}

async function waitFor(run: Run, of: Waiting): Promise<Limit | null> {
  const { windows } = run.checked.plan.spec.policies;
  if (windows.length === 0 || isOverridden(run, of)) return null;
  for (;;) {
    const now = Date.now();
    const { open, changesAtMs, why } = await nextOpening(run, of.kinds, now);
    const changesInMs = changesAtMs === null ? null : Math.max(1, changesAtMs - now);
    if (open) {
      closeGate(run, of.id);
      return changesInMs === null
        ? null
        : { ms: changesInMs, words: 'until its window closes', reached: () => undefined };
    }
    const gate = openGate(run, of, { why, changesAtMs });
    const { state } = gate;
    const words = `${why}; ${state === 'rejected' ? 'going before that was rejected' : `to go now: approve ${gate.gate}`}`;
    run.state.nextAt = { ...run.state.nextAt, [of.key]: changesAtMs };
    try {
      await run.waitSaying(of.key, words, () => gate.state !== state, changesInMs);
    } finally {
      delete run.state.nextAt[of.key];
    }
    if (isOverridden(run, of)) return null;
  }
}

/** Of several kinds: open where one of them is, else as the one that may go first. */
async function nextOpening(run: Run, kinds: readonly Kind[], nowMs: number): Promise<Opening> {
  const { windows } = run.checked.plan.spec.policies;
  let first: Opening | null = null;
  for (const kind of kinds) {
    const opening: Opening = await local.nextOpening({ windows, kind, nowMs });
    if (opening.open) return opening;
    if (first === null || (opening.changesAtMs ?? Infinity) < (first.changesAtMs ?? Infinity)) first = opening;
  }
  return first ?? { open: true, changesAtMs: null, why: 'no window closes it' };
}

const isOverridden = ({ state }: Run, { id, phase }: Waiting): boolean =>
  [id, phase].map(windowGate).some((name) => {
    const gate = state.gates[name];
    return gate === undefined ? state.approvedBefore.includes(name) : gate.state === 'approved';
  });

/** The gate of this wait; rejected, it stays so until a window has been open. */
function openGate(run: Run, of: Waiting, next: { why: string; changesAtMs: number | null }): Gate {
  const name = windowGate(of.id);
  const gate = (run.state.gates[name] ??= {
    gate: name,
    phase: of.phase,
    state: 'closed',
    ...overridePolicyOf(run.checked, run.riskOf(of.phase)),
    opening: 0,
    approvals: [],
    expiresAt: null,
    details: null,
    overrides: 'window',
  });
  if (gate.state === 'closed') {
    Object.assign(gate, { state: 'open', opening: gate.opening + 1, approvals: [] } satisfies Partial<Gate>);
    const nextAt = next.changesAtMs === null ? null : new Date(next.changesAtMs).toISOString();
    const what = of.key === of.id ? { step: of.id } : { phase: of.phase };
    run.event('window-closed', null, { ...what, gate: name, why: next.why, nextAt });
  }
  return gate;
}

function closeGate(run: Run, id: string): void {
  const gate = run.state.gates[windowGate(id)];
  if (gate !== undefined && gate.state !== 'approved') gate.state = 'closed';
}
