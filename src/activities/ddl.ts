import { type Blocker, describeBlockers } from '../adapters/postgres/blockers.ts';
import { applyStatements } from '../adapters/postgres/ddl-apply.ts';
import {
  type DdlSlot,
  type DdlWork,
  type DoneStatement,
  isComplete,
  type PlannedStatement,
  readDetail,
} from '../adapters/postgres/ddl-record.ts';
import { endUnfinishedBuild, undoRecorded } from '../adapters/postgres/ddl-undo.ts';
import { LADDER } from '../adapters/postgres/lock-ladder.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import { durationMs } from '../plan/index.ts';
import { plannedStatements } from './ddl-statements.ts';
import { decideUnits } from './ddl-units.ts';
import type { Deps } from './deps.ts';
import type { Effect, EffectContext, EffectInput } from './effect.ts';

/**
 * Applies a step's statements one by one, each in a transaction with the record of what it changed in the catalog;
 * undoes them from that record, or by the step's own `down`.
 */
export const ddl: Effect<'ddl'> = {
  async up(input, context) {
    const work = workOf(input, context, 'up');
    const record = await work.ledger.read(work.key);
    if (record?.state === 'applied') return { note: 'was applied before', progress: null };
    const statements = statementsFor(work, input, 'up');
    await applyStatements(work, statements);
    return { note: `applied ${counted(statements)}`, progress: null };
  },

  async down(input, context) {
    const work = workOf(input, context, 'down');
    const record = await work.ledger.read(work.key);
    if (record?.state === 'undone') return { note: 'was undone before', progress: null };
    const up = record === null ? null : readDetail(record, 'up');
    const complete = up !== null && isComplete(up, statementsFor(work, input, 'up').length);
    const needsDown = up?.done.some((done) => done.irreversible.length > 0) ?? false;
    const begunDown = record !== null && readDetail(record, 'down').done.length > 0;
    // A `down` is written for the whole of `up`; half of it is better undone from what is recorded.
    if (input.step.down !== undefined && (complete || needsDown || begunDown)) {
      const statements = statementsFor(work, input, 'down');
      await endUnfinishedBuild(work);
      await applyStatements(work, statements);
      return { note: `undone by ${counted(statements)} of \`down\``, progress: null };
    }
    const { rescued } = await undoRecorded(work);
    const kept = rescued === 0 ? '' : `; ${rescued.toLocaleString('en-US')} values kept in switchback.rescued`;
    return {
      note:
        up === null || up.done.length === 0
          ? 'nothing had been applied'
          : `undid ${statementsIn(up.done)} of its statements${kept}`,
      progress: null,
    };
  },
};

const statementsFor = (work: DdlWork, { step }: EffectInput<'ddl'>, direction: 'up' | 'down'): PlannedStatement[] =>
  plannedStatements(step[direction] ?? '', step.schema, (statement, number) =>
    decideUnits(work, step, { statement, number }),
  );

function workOf(
  { run, phase, step, requestedBy }: EffectInput<'ddl'>,
  { deps, signal, report }: EffectContext,
  slot: DdlSlot,
): DdlWork {
  const database = deps.databases.get(step.database);
  const lockTimeoutMaxMs = durationMs(step.lockTimeout);
  return {
    database,
    ledger: new StepLedger(database),
    key: { run, phase, step: step.id, kind: step.uses },
    slot,
    requestedBy,
    schema: step.schema,
    statementTimeoutMs: step.statementTimeout === undefined ? null : durationMs(step.statementTimeout),
    limits: { ...LADDER, lockTimeoutMaxMs, lockTimeoutFirstMs: Math.min(LADDER.lockTimeoutFirstMs, lockTimeoutMaxMs) },
    killBlockers: step.killBlockers ? (clients) => recordKill(deps, { run, step, slot, requestedBy }, clients) : null,
    mustBeReversible: slot === 'up' && step.down === undefined,
    signal,
    onWait: (note, progress) =>
      report({
        note,
        progress: progress == null ? null : { perSecond: null, etaSeconds: null, ...progress },
        blocked: progress === undefined,
      }),
  };
}

/** Ending someone's session is the plan's decision: on record before it happens, once for each session. */
async function recordKill(
  deps: Deps,
  { run, step, slot, requestedBy }: Pick<EffectInput<'ddl'>, 'run' | 'step' | 'requestedBy'> & { slot: DdlSlot },
  clients: readonly Blocker[],
): Promise<void> {
  const events = clients.map((client) => ({
    key: `blocker-ended/${step.id}/${slot}/${client.pid}/${client.backendStart}`,
    type: 'blocker-ended',
    by: requestedBy,
    data: { step: step.id, database: step.database, session: describeBlockers([client]) },
  }));
  await deps.home.record(run, events, null);
}

const counted = (statements: readonly PlannedStatement[]): string =>
  statements.length === 1 ? '1 statement' : `${statements.length} statements`;

/** A statement in its safe form is several records; those of 0.1.0 have one each and no number. */
const statementsIn = (done: readonly DoneStatement[]): number =>
  new Set(done.map(({ statement }, at) => statement ?? at + 1)).size;
