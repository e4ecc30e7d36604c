import { listDeprecations, recordDeprecation, withdrawDeprecation } from '../adapters/postgres/deprecations.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import { recordedPlan, remind, withdrawNotices } from '../adapters/postgres/notifications.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import type { AuditEvent, RecordedDeprecation } from '../messages/index.ts';
import { plannedDeprecations, type PlannedDeprecation } from '../plan/deprecations.ts';
import type { Plan } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import type { NoticeContext } from './notice-data.ts';
import { contextOfPlan } from './notices.ts';
import type { Effect, EffectContext, EffectInput } from './effect.ts';
import { asFailure } from './run-effect.ts';

/** Puts the deprecation of an interface's version on record in the home ledger. Undone by taking it off again. */
export const deprecate: Effect<'deprecate'> = {
  async up(input, context) {
    const { step } = input;
    const { database, ledger, key } = homeOf(input, context);
    const note = `${step.interface} ${step.version} is deprecated from ${step.at}, and may go away from ${step.sunset}`;
    await database.transaction(async (session) => {
      const record = await ledger.enter(session, key);
      if (record.state !== 'intended') return;
      await recordDeprecation(session, input.run, {
        step: step.id,
        interface: step.interface,
        version: step.version,
        at: instant(step.at),
        sunset: instant(step.sunset),
        link: step.link ?? null,
      });
      await announce(input, context, session);
      await ledger.record(session, key, 'applied', { note });
    });
    context.deps.notices?.wake();
    return { note, progress: null };
  },

  async down(input, context) {
    const { database, ledger, key } = homeOf(input, context);
    const result = await database.transaction(async (session) => {
      const record = await ledger.enter(session, key);
      const withdrawn = await withdrawDeprecation(session, input.run, input.step.id);
      if (withdrawn) await takeBack(input, context, session);
      const note = withdrawn ? 'withdrawn' : 'nothing to withdraw';
      if (record.state !== 'undone') await ledger.record(session, key, 'undone', { note });
      return { note, progress: null };
    });
    context.deps.notices?.wake();
    return result;
  },
};

/** Puts it on record as an event, tells who wants to know, and has them reminded before the sunset. */
async function announce(input: EffectInput<'deprecate'>, { deps }: EffectContext, session: Queryable): Promise<void> {
  const { run } = input;
  const { planned, context } = await concerned(input, session);
  const event = eventOf('deprecated', planned);
  const notices = deps.notices?.of(run, [event], context) ?? [];
  await deps.home.record(run, [event], null, { notices, session });
  await remind(session, run, deps.notices?.reminders(run, planned, context) ?? []);
}

/** What was not told yet is told no more; that it is taken back is told to all. */
async function takeBack(input: EffectInput<'deprecate'>, { deps }: EffectContext, session: Queryable): Promise<void> {
  const { run, step } = input;
  const { planned, context } = await concerned(input, session);
  await withdrawNotices(session, run, step.id);
  const event = eventOf('deprecation-withdrawn', planned);
  const notices = deps.notices?.of(run, [event], context) ?? [];
  await deps.home.record(run, [event], null, { notices, session });
}

const eventOf = (type: string, planned: PlannedDeprecation): AuditEvent => ({
  key: `${type}/${planned.step}`,
  type,
  by: null,
  data: { ...planned },
});

/** Whom the deprecation concerns, by the plan on record; the step alone speaks where there is none. */
async function concerned({ run, step, risk, requestedBy }: EffectInput<'deprecate'>, session: Queryable) {
  const plan = (await recordedPlan(session, run)) as Plan | null;
  const found = plan === null ? undefined : plannedDeprecations(plan).find((one) => one.step === step.id);
  const { interface: name, version, link = null } = step;
  const planned: PlannedDeprecation = {
    ...(found ?? { step: step.id, interface: name, version, link, providers: [], consumers: [] }),
    at: instant(step.at),
    sunset: instant(step.sunset),
  };
  const context: NoticeContext =
    plan === null ? { owner: '', requestedBy, risk, services: [], status: null } : contextOfPlan(plan, requestedBy);
  return { planned, context };
}

/** A day begins at midnight UTC. */
const instant = (dateOrInstant: string): string =>
  dateOrInstant.includes('T') ? dateOrInstant : `${dateOrInstant}T00:00:00Z`;

function homeOf({ run, phase, step }: EffectInput<'deprecate'>, { deps }: EffectContext) {
  const { database } = deps.home;
  return { database, ledger: new StepLedger(database), key: { run, phase, step: step.id, kind: step.uses } };
}

export function createDeprecations(deps: Deps) {
  return {
    /** What is deprecated now, by any migration, for services to tell their clients. */
    async listDeprecations(): Promise<RecordedDeprecation[]> {
      try {
        return await listDeprecations(deps.home.database);
      } catch (error) {
        throw asFailure(error);
      }
    },
  };
}
