import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import { SwitchbackError } from '../messages/index.ts';
import { type Condition, durationMs } from '../plan/index.ts';
import { awaitConditions } from './conditions.ts';
import type { Effect, EffectContext, EffectInput } from './effect.ts';

/**
 * `check`: waits until a condition holds. Its deadline is set once, in the ledger: neither a restart nor another
 * worker moves it. It changes nothing, so that there is nothing to undo.
 */
export const check: Effect<'check'> = {
  async up(input, context) {
    const { step } = input;
    const condition = conditionOf(input);
    const left = await timeLeft(input, context);
    if (left.done) return { note: left.note ?? `${condition.name} held`, progress: null };
    const readings = await awaitConditions(
      [condition],
      { mode: 'until', everyMs: durationMs(step.every), deadlineMs: left.ms },
      context,
    ).catch(async (error: unknown) => {
      if (!(error instanceof SwitchbackError && error.code === 'ConditionUnmet')) throw error;
      // The deadline has had its effect. Whoever says `retry` gives the condition that time once more.
      await record(input, context, 'intended', null, { deadline: null });
      throw new SwitchbackError(error.code, `${error.message} (deadline ${step.deadline})`, {
        hint: 'see to what it measures and `retry`, which sets the deadline anew, or `skip` the step',
        fields: error.fields,
      });
    });
    const note = `${condition.name}: ${readings[0]?.reason ?? 'holds'}`;
    await record(input, context, 'applied', note);
    return { note, progress: { done: 1, total: 1, perSecond: null, etaSeconds: null } };
  },

  async down(input, context) {
    await record(input, context, 'undone', null);
    return { note: 'a check changes nothing: nothing to undo', progress: null };
  },
};

const keyOf = ({ run, phase, step }: EffectInput<'check'>) => ({ run, phase, step: step.id, kind: step.uses });

type TimeLeft = { done: true; note: string | null } | { done: false; ms: number };

/** Milliseconds until the deadline that the first look set; none left where the answer of a finished check was lost. */
async function timeLeft(input: EffectInput<'check'>, { deps }: EffectContext): Promise<TimeLeft> {
  const ledger = new StepLedger(deps.home.database);
  return deps.home.database.transaction(async (session) => {
    const { state, note, detail } = await ledger.enter(session, keyOf(input));
    if (state === 'applied') return { done: true, note };
    const [row] = await session.query(
      `SELECT deadline, extract(epoch FROM deadline::timestamptz - clock_timestamp()) * 1000 AS left_ms
       FROM (SELECT coalesce($1, (clock_timestamp() + $2::double precision * interval '1 millisecond')::text) AS deadline) d`,
      [(detail['deadline'] as string | null | undefined) ?? null, durationMs(input.step.deadline)],
    );
    await ledger.record(session, keyOf(input), 'intended', { detail: { deadline: row?.['deadline'] ?? null } });
    return { done: false, ms: Number(row?.['left_ms']) };
  });
}

async function record(
  input: EffectInput<'check'>,
  { deps }: EffectContext,
  state: 'intended' | 'applied' | 'undone',
  note: string | null,
  detail: Record<string, unknown> = {},
): Promise<void> {
  const ledger = new StepLedger(deps.home.database);
  await deps.home.database.transaction(async (session) => {
    await ledger.enter(session, keyOf(input));
    await ledger.record(session, keyOf(input), state, { note, detail });
  });
}

/** A check is itself a condition: what is left of it without the fields of steps. */
function conditionOf({ step }: EffectInput<'check'>): Condition {
  const { name, sql, prometheus, http, flagUsage, compatible, catalog, replicaLag, longTransactions } = step;
  return { name, sql, prometheus, http, flagUsage, compatible, catalog, replicaLag, longTransactions };
}
