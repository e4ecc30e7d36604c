import { withPercent } from '../adapters/unleash/flag-state.ts';
import { SwitchbackError } from '../messages/index.ts';
import { durationMs, type StepOf } from '../plan/index.ts';
import type { Effect, EffectContext, EffectInput } from './effect.ts';
import { assertWholePercent, undoFlag } from './flag.ts';
import { FlagChange } from './flag-change.ts';
import { GUARD_EVERY_MS, GuardWatch } from './guard.ts';
import { pause } from './pause.ts';

/**
 * How far a rollout is, kept in the home ledger at every look. Bake time is what looks have proven, not a deadline:
 * while the run is paused, or its worker is dead, nothing bakes.
 */
interface Position {
  /** Index in the ramp. */
  stop: number;
  bakedMs: number;
}
interface Stop {
  percent: number;
  bakeMs: number;
}
/** Time between two looks that counts at most: a process that was frozen watched nothing meanwhile. */
const PROVEN_PER_LOOK_MAX_MS = 2 * GUARD_EVERY_MS;
const LOWER_EXPOSURE_TRIES = 3;

/** `rollout`: raises exposure stop by stop, each baking under guards; undone as `flag` is. */
export const rollout: Effect<'rollout'> = {
  async up(input, context) {
    const stops = stopsOf(input.step);
    const climb = new Climb(input, context, stops);
    try {
      return await climb.run();
    } catch (error) {
      context.signal.throwIfAborted();
      const failed = error instanceof SwitchbackError && LOWERING.includes(error.code);
      if (failed && input.step.exposureOnFailure) await climb.lower(input.step.exposureOnFailure.percent);
      throw error;
    }
  },

  async down(input, context) {
    return undoFlag(new FlagChange(input, context), context);
  },
};
/** A lost signal lowers exposure as a breached guard does. */
const LOWERING: readonly string[] = ['GuardTripped', 'MetricsUnreachable'];

class Climb {
  readonly #change: FlagChange;
  readonly #context: EffectContext;
  readonly #stops: readonly Stop[];
  readonly #guards: GuardWatch;
  #position: Position = { stop: 0, bakedMs: 0 };

  constructor(input: EffectInput<'rollout'>, context: EffectContext, stops: readonly Stop[]) {
    this.#change = new FlagChange(input, context);
    this.#context = context;
    this.#stops = stops;
    this.#guards = new GuardWatch(context.deps.conditions, input.step.guards);
  }

  async run(): Promise<{ note: string; progress: ReturnType<Climb['progress']> }> {
    this.#position = ((await this.#change.states.readPosition(this.#change.key)) as Position | null) ?? this.#position;
    for (let stop = this.#stops[this.#position.stop]; stop !== undefined; stop = this.#stops[this.#position.stop]) {
      await this.#expose(stop.percent);
      await this.#bake(stop);
      await this.#save({ stop: this.#position.stop + 1, bakedMs: 0 });
    }
    const last = this.#stops.at(-1)?.percent ?? 0;
    const note = `flag ${this.#change.ref.flag} in ${this.#change.ref.environment} is at ${last} %`;
    // The last stop again: whoever comes back after a crash here finds the flag as it should be, or someone else's change.
    await this.#change.apply(
      (state) => withPercent(state, last, this.#change.our),
      (session, ledger) => ledger.record(session, this.#change.key, 'applied', { note }),
    );
    return { note, progress: this.progress() };
  }

  /** Sets the percentage; the position is kept in the transaction that confirms it. */
  async #expose(percent: number): Promise<void> {
    this.#context.report({ progress: this.progress(), note: `sets ${this.#change.ref.flag} to ${percent} %` });
    await this.#change.apply(
      (state) => withPercent(state, percent, this.#change.our),
      (session) => this.#change.states.savePosition(session, this.#change.key, this.#position),
    );
  }

  /** Looks at least once, also where there is nothing to bake; ends when looks have proven the whole bake time. */
  async #bake(stop: Stop): Promise<void> {
    let last = performance.now();
    for (;;) {
      const look = await this.#guards.look(this.#context.signal);
      await this.#change.assertUnchanged();
      const now = performance.now();
      if (look.seen) {
        const proven = Math.min(now - last, PROVEN_PER_LOOK_MAX_MS);
        await this.#save({ ...this.#position, bakedMs: this.#position.bakedMs + proven });
      }
      last = now;
      const leftMs = stop.bakeMs - this.#position.bakedMs;
      if (look.seen && leftMs <= 0) return;
      this.#context.report({ progress: this.progress(), note: noteOf(stop.percent, leftMs, look.note) });
      await pause(look.seen ? Math.min(leftMs, GUARD_EVERY_MS) : GUARD_EVERY_MS, this.#context.signal);
    }
  }

  async #save(position: Position): Promise<void> {
    await this.#change.fenced((session) => this.#change.states.savePosition(session, this.#change.key, position));
    this.#position = position;
  }

  /**
   * Lowers exposure after a failure, before anybody decides anything. The stop will bake anew should a person retry.
   * What can't be lowered now is left to the rollback: the failure that led here is what people must see.
   */
  async lower(percent: number): Promise<void> {
    this.#position = { ...this.#position, bakedMs: 0 };
    for (let attempt = 1; attempt <= LOWER_EXPOSURE_TRIES; attempt++) {
      try {
        return await this.#expose(percent);
      } catch (error) {
        this.#context.log.error({ err: error, percent, attempt }, 'exposure could not be lowered');
        if (!(error instanceof SwitchbackError && error.retry)) return;
        await pause(GUARD_EVERY_MS, this.#context.signal);
      }
    }
  }

  /** `done` and `total` are percents of the ramp: what users see, and what they will see at its end. */
  progress(): { done: number; total: number; perSecond: null; etaSeconds: number } {
    const left = this.#stops.slice(this.#position.stop).reduce((sum, stop) => sum + stop.bakeMs, 0);
    const at = Math.min(this.#position.stop, this.#stops.length - 1);
    return {
      done: this.#stops[at]?.percent ?? 0,
      total: this.#stops.at(-1)?.percent ?? 0,
      perSecond: null,
      etaSeconds: Math.max(0, Math.round((left - this.#position.bakedMs) / 1000)),
    };
  }
}

const noteOf = (percent: number, leftMs: number, guards: string): string =>
  [
    leftMs > 0 ? `at ${percent} %, bakes ${Math.ceil(leftMs / 1000)} s more` : `at ${percent} %, waits for its guards`,
    guards,
  ]
    .filter((part) => part !== '')
    .join('; ');

/** The ramp with its times in milliseconds; what this version has no engine for is refused by name. */
function stopsOf(step: StepOf<'rollout'>): Stop[] {
  for (const field of ['analysis', 'acknowledge'] as const) {
    if (step[field] !== undefined) throw unsupported(step.id, field);
  }
  return step.ramp.map(({ percent, bake }) => {
    if (percent === undefined) throw unsupported(step.id, 'stage');
    assertWholePercent(percent, step.id);
    return { percent, bakeMs: durationMs(bake) };
  });
}

const unsupported = (step: string, field: string): SwitchbackError =>
  new SwitchbackError('Unsupported', `step "${step}": \`${field}\` has no engine in this version`, {
    hint: 'use `guards` and a ramp of percents',
  });
