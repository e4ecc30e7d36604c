import {
  type FlagState,
  type OurStrategy,
  withEnabled,
  withPercent,
  withVariant,
} from '../adapters/unleash/flag-state.ts';
import { SwitchbackError } from '../messages/index.ts';
import type { Stage, StepOf } from '../plan/index.ts';
import type { Effect, EffectContext, EffectInput, EffectResult } from './effect.ts';
import { Exposure } from './exposure.ts';
import { undoExposure } from './undo-exposure.ts';

/** `flag`: sets a flag's state, or a path's stage; undone by restoring the whole state that the step found. */
export const flag: Effect<'flag'> = {
  async up(input, context) {
    const { step } = input;
    return step.stage === undefined ? set(input, context, changeOf(step)) : bring(input, context, step.stage);
  },

  async down(input, context) {
    return undoExposure(input, context);
  },
};

async function set(input: EffectInput<'flag'>, context: EffectContext, change: Change): Promise<EffectResult> {
  const exposure = new Exposure(input, context);
  const { our, ref } = exposure.change;
  const note = `flag ${ref.flag} in ${ref.environment}: ${change.says}`;
  context.report({ progress: null, note });
  await exposure.change.apply(
    (state) => change.make(state, our),
    () => Promise.resolve(),
  );
  const acted = await exposure.acknowledged();
  return applied(exposure, acted === null ? note : `${note}; ${acted}`);
}

async function bring(input: EffectInput<'flag'>, context: EffectContext, stage: Stage): Promise<EffectResult> {
  const exposure = new Exposure(input, context);
  const { flag: name, environment } = exposure.path.place;
  context.report({ progress: null, note: `brings the path of flag ${name} in ${environment} to stage ${stage}` });
  const acted = await exposure.reach({ stage });
  return applied(exposure, `the path of flag ${name} in ${environment} is at stage ${stage}; ${acted}`);
}

/** Recorded when it is seen, not when it is set: a run that goes on from the record relies on it. */
async function applied({ change }: Exposure, note: string): Promise<EffectResult> {
  await change.locked((session, ledger) => ledger.record(session, change.key, 'applied', { note }));
  return { note, progress: { done: 1, total: 1, perSecond: null, etaSeconds: null } };
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
  throw new Error(`step "${step.id}" sets nothing`);
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
