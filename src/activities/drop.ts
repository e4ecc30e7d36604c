import { latestSunset } from '../adapters/postgres/deprecations.ts';
import { notDueYet, retirementOf } from '../adapters/postgres/drop-retirement.ts';
import { dropRetired, refuseUndrop } from '../adapters/postgres/drop-retired.ts';
import type { RunRef } from '../messages/index.ts';
import { durationMs, type StepOf } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import type { Effect } from './effect.ts';
import { retireTarget, retireWork } from './retire.ts';
import { asFailure } from './run-effect.ts';

/** Drops what was retired, after its retention and the sunset of what it served. Can't be undone. */
export const drop: Effect<'drop'> = {
  async up(input, context) {
    const work = retireWork(input, context);
    const sunset = await latestSunset(context.deps.home.database, input.run);
    const before = await work.ledger.read(work.key);
    if (before?.state !== 'applied' && sunset !== null && sunset.inMs > 0)
      throw notDueYet(work.target, sunset.sunset, sunsetWords(sunset));
    const note = await dropRetired({
      ...work,
      retentionMs: durationMs(input.step.retention),
      acceptedLoss: input.step.acceptedLoss,
      requestedBy: input.requestedBy,
    });
    return { note, progress: null };
  },
  async down(input, context) {
    return { note: await refuseUndrop(retireWork(input, context)), progress: null };
  },
};
const sunsetWords = ({ interface: name, version }: { interface: string; version: string }): string =>
  `${name} ${version} is promised until its sunset`;

/** How long a drop has to wait yet, and for what. */
export interface DropDue {
  /** Milliseconds by the clocks of the databases; 0: it may be dropped now. */
  inMs: number;
  /** The instant, in UTC. */
  at: string;
  why: string;
}

export function createDropDue(deps: Deps) {
  return {
    /** When a drop may take place: after its retention and after the last sunset that the run has announced. */
    async dropDue({ run, step }: { run: RunRef; step: StepOf<'drop'> }): Promise<DropDue> {
      try {
        const database = deps.databases.get(step.database);
        const retired = await retirementOf(database, run, retireTarget(step), durationMs(step.retention));
        const sunset = await latestSunset(deps.home.database, run);
        const retention = { inMs: retired.dueInMs, at: retired.dueAt, why: `retired for ${step.retention}` };
        const last =
          sunset !== null && sunset.inMs > retention.inMs
            ? { inMs: sunset.inMs, at: sunset.sunset, why: sunsetWords(sunset) }
            : retention;
        return { ...last, inMs: Math.max(0, last.inMs) };
      } catch (error) {
        throw asFailure(error);
      }
    },
  };
}
