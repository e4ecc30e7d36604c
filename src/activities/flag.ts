import {
  type FlagState,
  type OurStrategy,
  withEnabled,
  withPercent,
  withVariant,
} from '../adapters/unleash/flag-state.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { StepOf } from '../plan/index.ts';
import type { Effect, EffectContext } from './effect.ts';
import { FlagChange } from './flag-change.ts';
import { pause } from './pause.ts';

/** `flag`: sets a flag's state; undone by restoring the whole state that the step found. */
export const flag: Effect<'flag'> = {
  async up(input, context) {
    const change = changeOf(input.step);
    const flagChange = new FlagChange(input, context);
    const note = `flag ${input.step.flag} in ${flagChange.ref.environment}: ${change.says}`;
    context.report({ progress: null, note });
    await flagChange.apply(
      (state) => change.make(state, flagChange.our),
      (session, ledger) => ledger.record(session, flagChange.key, 'applied', { note }),
    );
    return { note, progress: { done: 1, total: 1, perSecond: null, etaSeconds: null } };
  },

  async down(input, context) {
    return undoFlag(new FlagChange(input, context), context);
  },
};

/**
 * How `flag` and `rollout` are undone. It ends only when clients have seen it: what comes next takes away the columns
 * and triggers that the new path needs.
 */
export async function undoFlag(
  flagChange: FlagChange,
  context: EffectContext,
): Promise<{ note: string; progress: null }> {
  const { flag: name, environment } = flagChange.ref;
  if (!(await flagChange.restore())) {
    const note = `flag ${name} was not changed: nothing to undo`;
    await flagChange.recordUndone(note);
    return { note, progress: null };
  }
  const leftMs = await flagChange.unseenForMs();
  const seconds = Math.ceil(leftMs / 1000);
  context.report({ progress: null, note: `flag ${name} is as it was; clients see it within ${seconds} s` });
  await pause(leftMs, context.signal);
  const note = `flag ${name} in ${environment} is as it was`;
  await flagChange.recordUndone(note);
  return { note, progress: null };
}

interface Change {
  says: string;
  make(state: FlagState, our: OurStrategy): FlagState;
}
function changeOf(step: StepOf<'flag'>): Change {
  const { enabled, percent, variant } = step;
  if (enabled !== undefined) {
    return { says: enabled ? 'on' : 'off', make: (state, our) => withEnabled(state, enabled, our) };
  }
  if (percent !== undefined) {
    assertWholePercent(percent, step.id);
    return { says: `${percent} %`, make: (state, our) => withPercent(state, percent, our) };
  }
  if (variant !== undefined) {
    assertWholePercent(variant.percent, step.id);
    return {
      says: `variant ${variant.name} for ${variant.percent} %`,
      make: (state, our) => withVariant(state, variant, our),
    };
  }
  throw new SwitchbackError('Unsupported', `step "${step.id}": \`stage\` has no engine in this version`, {
    hint: 'use `percent`, `enabled` or `variant`',
  });
}

/** Unleash hashes users into 100 buckets: a fraction of a percent would silently be rounded down. */
export function assertWholePercent(percent: number, step: string): void {
  if (Number.isInteger(percent)) return;
  throw new SwitchbackError(
    'FlagRefused',
    `step "${step}": ${percent} % can't be set: Unleash counts in whole percents`,
    {
      hint: `write ${Math.floor(percent)} or ${Math.ceil(percent)}`,
    },
  );
}
