import { listDeprecations, recordDeprecation, withdrawDeprecation } from '../adapters/postgres/deprecations.ts';
import { StepLedger } from '../adapters/postgres/step-ledger.ts';
import type { RecordedDeprecation } from '../messages/index.ts';
import type { Deps } from './deps.ts';
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
      await ledger.record(session, key, 'applied', { note });
    });
    return { note, progress: null };
  },

  async down(input, context) {
    const { database, ledger, key } = homeOf(input, context);
    return database.transaction(async (session) => {
      const record = await ledger.enter(session, key);
      const withdrawn = await withdrawDeprecation(session, input.run, input.step.id);
      const note = withdrawn ? 'withdrawn' : 'nothing to withdraw';
      if (record.state !== 'undone') await ledger.record(session, key, 'undone', { note });
      return { note, progress: null };
    });
  },
};

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
