import type { ConditionReading, Conditions } from '../adapters/metrics/conditions.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { Condition } from '../plan/index.ts';
import type { EffectContext } from './effect.ts';
import { pause } from './pause.ts';

/** A source may miss a scrape; three times in a row means that nobody is watching, and that counts as bad. */
const SILENT_LOOKS_MAX = 3;
export const GUARD_EVERY_MS = 2_000;

/**
 * Guards being watched: conditions that must hold all the while. Owns the count of looks at which a source didn't
 * answer; the caller owns the rhythm.
 */
export class GuardWatch {
  readonly #conditions: Conditions;
  readonly #guards: readonly Condition[];
  readonly #silentLooks = new Map<string, number>();

  constructor(conditions: Conditions, guards: readonly Condition[]) {
    this.#conditions = conditions;
    this.#guards = guards;
  }

  /**
   * Looks at each guard once. Throws `GuardTripped` when one doesn't hold, and `MetricsUnreachable` when a source has
   * been silent too often in a row. `seen` is false where a source was silent: such a look proves nothing.
   */
  async look(signal: AbortSignal): Promise<{ seen: boolean; note: string }> {
    const looks = await Promise.all(this.#guards.map((guard) => this.#lookAt(guard, signal)));
    return {
      seen: looks.every((look) => look.seen),
      note: looks.map((look) => look.note).join('; '),
    };
  }

  async #lookAt(guard: Condition, signal: AbortSignal): Promise<{ seen: boolean; note: string }> {
    let reading: ConditionReading;
    try {
      reading = await this.#conditions.read(guard, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof SwitchbackError)) throw error;
      return this.#silent(guard, error);
    }
    this.#silentLooks.set(guard.name, 0);
    if (reading.holds) return { seen: true, note: `${guard.name} ok (${reading.reason})` };
    throw new SwitchbackError('GuardTripped', `guard "${guard.name}" was breached: ${reading.reason}`, {
      hint: 'the step was stopped; look at what the guard measures before you try again',
      fields: { guard: guard.name, observed: reading.observed, seenAtMs: Date.now() },
    });
  }

  #silent(guard: Condition, error: SwitchbackError): { seen: boolean; note: string } {
    const looks = (this.#silentLooks.get(guard.name) ?? 0) + 1;
    this.#silentLooks.set(guard.name, looks);
    // What can't be read at all, such as a query with a mistake, will not be read at the third try either.
    if (error.retry && looks < SILENT_LOOKS_MAX)
      return { seen: false, note: `${guard.name}: no answer (${looks} of ${SILENT_LOOKS_MAX})` };
    throw new SwitchbackError(
      'MetricsUnreachable',
      `guard "${guard.name}" can't be read${error.retry ? `, ${looks} times in a row` : ''}: ${error.message}`,
      {
        hint: error.hint ?? 'a guard that nobody can read counts as breached; bring its source back and `retry`',
        fields: { guard: guard.name, seenAtMs: Date.now() },
        cause: error,
      },
    );
  }
}

/**
 * Watches guards beside other work, for as long as it takes: ends only by throwing `GuardTripped` or
 * `MetricsUnreachable`, or the signal's reason when the work is over.
 */
export async function watchGuards(
  guards: readonly Condition[],
  context: EffectContext,
  everyMs: number = GUARD_EVERY_MS,
): Promise<never> {
  const watch = new GuardWatch(context.deps.conditions, guards);
  for (;;) {
    const { seen, note } = await watch.look(context.signal);
    context.degraded?.(seen ? null : note);
    context.report({ progress: null, note });
    await pause(everyMs, context.signal);
  }
}
