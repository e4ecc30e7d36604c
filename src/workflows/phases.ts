import { stepFailure, Stop } from './failure.ts';
import { passGate } from './gates.ts';
import { SPEC_GUARDS } from './breach.ts';
import { watchGuards } from './guards.ts';
import { isHeld, placeHold, resolution } from './holds.ts';
import { awaitConditions } from './conditions.ts';
import { durationMs } from './duration.ts';
import { soak } from './soak.ts';
import { inOrderOfNeeds } from './order.ts';
import type { Run } from './run.ts';
import { runStep } from './step.ts';
import { type PhaseProgress, STATIONS, type Station } from './state.ts';
import { openPhase } from './windows.ts';
import type { Phase } from '../plan/index.ts';

/** Phases run in order; each goes from station to station and, after a restart, on from where it stands. */
export async function runPhases(run: Run): Promise<void> {
  const { spec } = run.checked.plan;
  const guards = watchGuards(run, {
    key: SPEC_GUARDS,
    phase: null,
    guards: spec.guards ?? [],
    onBreach: spec.onBreach,
    from: () => Object.values(run.state.steps).some((step) => step.state !== 'pending'),
  });
  try {
    for (const phase of spec.phases) await runPhase(run, phase);
  } finally {
    await guards.end();
  }
}

async function runPhase(run: Run, phase: Phase): Promise<void> {
  const at = run.state.phases[phase.name];
  if (at === undefined || at.station === 'done') return;
  const guards = watchGuards(run, {
    key: `${phase.name}/guards`,
    phase: phase.name,
    guards: phase.guards,
    onBreach: run.checked.plan.spec.onBreach,
  });
  try {
    while (at.station !== 'done') {
      at.state = STATE_AT[at.station];
      run.changed();
      await atStation(run, phase, at);
      at.station = STATIONS[STATIONS.indexOf(at.station) + 1] ?? 'done';
    }
    at.state = 'done';
    run.event('phase-done', null, { phase: phase.name });
  } finally {
    await guards.end();
  }
}
const STATE_AT: Record<Station, PhaseProgress['state']> = {
  preconditions: 'waiting',
  before: 'running',
  steps: 'running',
  exit: 'running',
  soak: 'soaking',
  after: 'running',
  done: 'done',
};

async function atStation(run: Run, phase: Phase, at: PhaseProgress): Promise<void> {
  switch (at.station) {
    case 'preconditions':
      await openPhase(run, phase);
      return conditionsHold(run, phase, 'preconditions');
    case 'before':
    case 'after':
      if (phase.approval !== at.station) return;
      at.state = 'awaiting-approval';
      await passGate(run, { gate: `${phase.name}/${at.station}`, phase: phase.name });
      return;
    case 'steps':
      return runSteps(run, phase);
    case 'exit':
      return conditionsHold(run, phase, 'exitCriteria');
    case 'soak':
      if (phase.soak === undefined) return;
      at.soakRemainingMs ??= durationMs(phase.soak);
      return soak(run, `${phase.name}/soak`, 'soaks', at.soakRemainingMs, (ms) => {
        at.soakRemainingMs = ms;
      });
    case 'done':
      return;
  }
}

/** How long a phase waits for its conditions by itself before it asks a person. */
const CONDITIONS_DEADLINE_MS = 10 * 60_000;

async function conditionsHold(run: Run, phase: Phase, which: 'preconditions' | 'exitCriteria'): Promise<void> {
  const conditions = phase[which];
  const key = `${phase.name}/${which === 'preconditions' ? 'preconditions' : 'exit'}`;
  while (conditions.length > 0) {
    if (!isHeld(run, key)) {
      try {
        return await awaitConditions(run, key, { phase: phase.name, conditions, deadlineMs: CONDITIONS_DEADLINE_MS });
      } catch (thrown) {
        const failure = stepFailure(thrown, null);
        if (thrown instanceof Stop || failure === null) throw thrown;
        placeHold(run, key, phase.name, failure.error);
      }
    }
    if ((await resolution(run, key)) === 'skip') return;
  }
}

/** Independent steps run side by side; one whose needs are not met by then waits for them. */
async function runSteps(run: Run, phase: Phase): Promise<void> {
  const fibers = new Map<string, Promise<void>>();
  for (const step of inOrderOfNeeds(phase.steps)) {
    const needs = step.needs.flatMap((id) => fibers.get(id) ?? []);
    fibers.set(
      step.id,
      Promise.all(needs).then(() => runStep(run, phase, step)),
    );
  }
  const ends = await Promise.allSettled(fibers.values());
  const failures = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
  // A bug of ours must be seen: it wedges the run until it is mended, rather than hiding behind a Stop.
  const bug = failures.find((reason) => !(reason instanceof Stop));
  if (bug !== undefined) throw bug;
  if (failures.length > 0) throw failures[0];
}
