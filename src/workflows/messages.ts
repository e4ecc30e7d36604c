import {
  ApplicationFailure,
  CancellationScope,
  condition,
  defineSignal,
  defineUpdate,
  setDefaultSignalHandler,
  setHandler,
} from '@temporalio/workflow';
import {
  examplePayload,
  type Message,
  MESSAGE_NAMES,
  type MessageName,
  type Receipt,
  readMessage,
  readThrottle,
  STEP_BLOCKED_SIGNAL,
  type StepBlocked,
  type StepState,
  type Throttle,
} from '../messages/index.ts';
import type { Kind } from '../plan/index.ts';
import { decide } from './decisions.ts';
import { REFUSED_PREFIX } from './interceptors.ts';
import { logEvent } from './log.ts';
import type { Run } from './run.ts';
import {
  DECISIONS_KEPT_MAX,
  type MigrationState,
  NOTE_LENGTH_MAX,
  REFUSED_KEPT_MAX,
  REFUSED_LENGTH_MAX,
  stepOf,
} from './state.ts';

/** Known once the plan is checked; messages that come earlier wait for it. */
export interface RunSlot {
  run: Run | null;
}
type Reading = { ok: true; apply: (run: Run) => Promise<Receipt> } | { ok: false; reason: string };

const DESCRIPTIONS: Record<MessageName, string> = {
  approve: 'Approves an open gate.',
  reject: 'Rejects an open gate: the migration is then held.',
  abort: 'Stops the migration and rolls back everything it did.',
  pause: 'Stops what runs until resume; exposure stays as it is.',
  resume: 'Goes on after pause.',
  retry: 'Tries a held step, gate or compensation again.',
  skip: 'Leaves out a held step, gate or compensation.',
  throttle: 'Changes the speed of a long step; in force by its next chunk.',
  renew: 'Continues on a fresh history; changes nothing else.',
};

/**
 * Registers signals and updates of the same names. What people send can never fail the workflow task: it is read, and
 * counts or is refused, on record. Messages are handled one after the other, in the order in which they came.
 */
export function listen(state: MigrationState, slot: RunSlot): void {
  let last: Promise<unknown> = Promise.resolve();
  const inTurn = (name: string, payload: unknown, reading: Reading): Promise<Receipt> => {
    const receipt = last.then(() =>
      // After Temporal's Cancel the root scope is cancelled; decisions about the rollback still count.
      CancellationScope.nonCancellable(async () => {
        if (!reading.ok) return refuse(state, slot, name, payload, reading.reason);
        await condition(() => slot.run !== null || state.ended !== null);
        if (slot.run === null || state.ended !== null)
          return refuse(state, slot, name, payload, 'the migration has ended');
        const answer = await reading.apply(slot.run);
        return answer.accepted ? answer : refuse(state, slot, name, payload, answer.reason);
      }),
    );
    last = receipt.catch(() => undefined);
    return receipt;
  };

  for (const name of MESSAGE_NAMES) {
    const description = `${DESCRIPTIONS[name]} Payload: ${examplePayload(name)}`;
    setHandler(
      defineSignal<[unknown]>(name),
      async (payload) => void (await inTurn(name, payload, read(name, payload))),
      {
        description,
      },
    );
    setHandler(defineUpdate<Receipt, [unknown]>(name), (payload) => inTurn(name, payload, read(name, payload)), {
      description,
      validator: (payload) => {
        const reading = read(name, payload);
        if (!reading.ok) throw ApplicationFailure.nonRetryable(reading.reason, 'MessageRefused');
      },
    });
  }
  setDefaultSignalHandler((name, payload) => {
    if (name === STEP_BLOCKED_SIGNAL) return showBlocked(slot.run, payload);
    const reserved = name.startsWith(REFUSED_PREFIX);
    const why = reserved ? 'that name is reserved by Temporal' : 'there is no signal of that name';
    const given = reserved ? name.slice(REFUSED_PREFIX.length) : name;
    refuse(state, slot, given, payload, `${why}; there are: ${MESSAGE_NAMES.join(', ')}`);
  });
}

/** A note by an activity of ours: it counts while its step is under way, and changes nothing else. */
function showBlocked(run: Run | null, payload: unknown): void {
  const { step, note, generation } = (payload ?? {}) as Partial<StepBlocked>;
  const at = run?.state.steps[String(step)];
  if (run == null || at == null || generation !== run.ref.generation || typeof note !== 'string') return;
  if (at.state !== 'running' && at.state !== 'undoing') return;
  at.note = note.slice(0, NOTE_LENGTH_MAX);
  run.changed();
}

function read(name: MessageName, payload: unknown): Reading {
  if (name === 'throttle') {
    const reading = readThrottle(payload);
    return reading.ok ? { ok: true, apply: (run) => Promise.resolve(applyThrottle(run, reading.throttle)) } : reading;
  }
  const reading = readMessage(name, payload);
  return reading.ok ? { ok: true, apply: (run) => once(run, reading.message) } : reading;
}

/**
 * A decision counts once, however often it is delivered. Another person's under the same id is another decision: it is
 * refused rather than taken for the first one's, because its sender would believe that it counted.
 */
async function once(run: Run, { name, decision }: Message): Promise<Receipt> {
  const { decisionId, by } = decision;
  const before = run.state.decisions.find((one) => one.name === name && one.decisionId === decisionId);
  if (decisionId !== '' && before !== undefined) {
    return before.by === by
      ? { accepted: true, reason: `decision ${decisionId} has counted already` }
      : { accepted: false, reason: `decisionId ${decisionId} is that of a decision by ${before.by}: send another one` };
  }
  const receipt = await decide(run, { name, decision });
  if (receipt.accepted && decisionId !== '') {
    run.state.decisions = [...run.state.decisions, { name, decisionId, by }].slice(-DECISIONS_KEPT_MAX);
  }
  return receipt;
}

function applyThrottle(run: Run, throttle: Throttle): Receipt {
  const step = run.state.steps[throttle.step];
  if (step === undefined) {
    return {
      accepted: false,
      reason: `there is no step "${throttle.step}"; there are: ${Object.keys(run.state.steps).join(', ')}`,
    };
  }
  const { rowsPerSecond, parallelism, gentle, full, by } = throttle;
  const refusal = noPace(run, throttle);
  if (refusal !== null) return { accepted: false, reason: refusal };
  if (full) delete run.state.throttles[throttle.step];
  else {
    const before = run.state.throttles[throttle.step];
    run.state.throttles[throttle.step] = {
      rowsPerSecond: rowsPerSecond ?? before?.rowsPerSecond ?? null,
      parallelism: parallelism ?? before?.parallelism ?? null,
      gentle: gentle || (before?.gentle ?? null),
    };
  }
  run.event('throttled', by, { step: throttle.step, rowsPerSecond, parallelism, gentle, full });
  if (step.state === 'running') run.interrupt(throttle.step);
  return { accepted: true, reason: `${throttle.step} ${paceWords(step.state)}` };
}

/** What becomes of a new setting. */
function paceWords(state: StepState): string {
  if (state === 'pending' || state === 'waiting') return 'will begin with the new setting';
  return state === 'running' || state === 'held'
    ? 'goes on with the new setting'
    : `is ${state}: the new setting changes nothing`;
}

/** Kinds that go at a pace; the others have none that could be changed. */
const PACED: readonly Kind[] = ['backfill', 'verify', 'move'];

/** Why a step can't be given this pace; null where it can. */
function noPace({ checked }: Run, { step: id, parallelism }: Throttle): string | null {
  const step = stepOf(checked, id)?.step;
  if (step === undefined) return null;
  if (!PACED.includes(step.uses)) {
    return `${id} is a ${step.uses} step, which has no pace; throttle goes with ${PACED.slice(0, -1).join(', ')} and ${PACED.at(-1)} steps`;
  }
  if (parallelism !== null && !('parallelism' in step))
    return `${id} is a ${step.uses} step, which goes through its rows one after the other: it has no parallelism`;
  return null;
}

/** What can't be read is told by its length alone. */
function shownOf(payload: unknown): string {
  const unreadable = typeof payload === 'object' && payload !== null && '$unreadable' in payload && 'bytes' in payload;
  return unreadable
    ? `(${String(payload.bytes)} ${payload.bytes === 1 ? 'byte' : 'bytes'})`
    : (JSON.stringify(payload) ?? '');
}

/** Notes what was refused, bounded, so that status and current details can show it. */
export function refuse(state: MigrationState, slot: RunSlot, name: string, payload: unknown, reason: string): Receipt {
  const shown = `${name} ${shownOf(payload)}`.trim();
  state.refused.push({
    message: shown.slice(0, REFUSED_LENGTH_MAX),
    reason: reason.slice(0, REFUSED_LENGTH_MAX),
    at: new Date(Date.now()).toISOString(),
  });
  logEvent('refused', {});
  state.refused = state.refused.slice(-REFUSED_KEPT_MAX);
  slot.run?.changed();
  return { accepted: false, reason };
}
