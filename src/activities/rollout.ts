import type { Queryable } from '../adapters/postgres/database.ts';
import { SwitchbackError } from '../messages/index.ts';
import { durationMs, type StepOf } from '../plan/index.ts';
import type { Effect, EffectContext, EffectInput, EffectResult } from './effect.ts';
import { Exposure, type Target, usesStages } from './exposure.ts';
import { assertWholePercent } from './flag.ts';
import { GUARD_EVERY_MS, GuardWatch } from './guard.ts';
import { lowerTo } from './lower-exposure.ts';
import { pause } from './pause.ts';
import { errorOf, ExposureLowered, type Position, Positions, START, verdictOf } from './rollout-position.ts';
import { undoExposure } from './undo-exposure.ts';

interface Stop {
  target: Target;
  bakeMs: number;
}
/** Time between two looks that counts at most: a process that was frozen watched nothing meanwhile. */
const PROVEN_PER_LOOK_MAX_MS = 2 * GUARD_EVERY_MS;
const LOWER_EXPOSURE_TRIES = 3;

/** `rollout`: raises exposure stop by stop, each baking under guards; undone as `flag` is. */
export const rollout: Effect<'rollout'> = {
  async up(input, context) {
    const climb = new Climb(input, context, stopsOf(input.step));
    try {
      return await climb.run();
    } catch (error) {
      context.signal.throwIfAborted();
      if (error instanceof ExposureLowered) return stand(context);
      if (error instanceof SwitchbackError && STOPPING.includes(error.code)) await climb.stopped(error);
      throw error;
    }
  },

  async down(input, context) {
    return undoExposure(input, context);
  },
};
/** What lowers exposure. A lost signal does so as a breached guard does. */
const STOPPING: readonly string[] = ['GuardTripped', 'MetricsUnreachable'];

/** Exposure was lowered from outside: the run is about to say what becomes of it, by interrupting this. */
async function stand(context: EffectContext): Promise<never> {
  for (;;) {
    context.report({ progress: null, note: 'exposure was lowered; waits for what the run decides' });
    await pause(GUARD_EVERY_MS, context.signal);
  }
}

class Climb {
  readonly #exposure: Exposure;
  readonly #positions: Positions;
  readonly #input: EffectInput<'rollout'>;
  readonly #context: EffectContext;
  readonly #stops: readonly Stop[];
  readonly #guards: GuardWatch;
  #position: Position = START;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(input: EffectInput<'rollout'>, context: EffectContext, stops: readonly Stop[]) {
    this.#exposure = new Exposure(input, context);
    this.#positions = new Positions(this.#exposure.change);
    this.#input = input;
    this.#context = context;
    this.#stops = stops;
    this.#guards = new GuardWatch(context.deps.conditions, input.step.guards);
  }

  async run(): Promise<EffectResult> {
    this.#position = await this.#positions.read();
    await this.#heedVerdict();
    for (let stop = this.#stops[this.#position.stop]; stop !== undefined; stop = this.#stops[this.#position.stop]) {
      await this.#expose(stop);
      await this.#bake(stop);
      await this.#save({ ...this.#position, stop: this.#position.stop + 1, bakedMs: 0, acted: null });
    }
    // The last stop again: whoever comes back after a crash here finds all as it should be, or someone else's change.
    const last = this.#stops.at(-1);
    if (last !== undefined) await this.#expose(last);
    const { change, path } = this.#exposure;
    const at = last === undefined ? '' : ` is at ${targetWords(last.target)}`;
    const note = `flag ${path.place.flag} in ${path.place.environment}${at}`;
    await change.locked((session, ledger) => ledger.record(session, change.key, 'applied', { note }));
    return { note, progress: this.progress() };
  }

  /** What stopped the step for good is said again until a person has let it try again. */
  async #heedVerdict(): Promise<void> {
    const { verdict } = this.#position;
    if (verdict == null) return;
    const retried = this.#input.retried ?? 0;
    if (retried > verdict.retried) return this.#save({ ...this.#position, bakedMs: 0, verdict: null });
    // A run that was started anew counts from the beginning.
    this.#position = { ...this.#position, verdict: { ...verdict, retried } };
    await this.#lower();
    throw errorOf(verdict);
  }

  /** Sets the stop and waits until instances act on it; the position is kept in the transaction that confirms it. */
  async #expose({ target }: Stop): Promise<void> {
    const { flag } = this.#exposure.path.place;
    this.#context.report({ progress: this.progress(), note: `sets ${flag} to ${targetWords(target)}` });
    const acted = await this.#exposure.reach(target, {
      beside: (session) => this.#positions.assertSeen(session, this.#position),
      record: (session) => this.#positions.save(session, this.#position),
      meanwhile: () => this.#lookNowAndThen(),
      progress: this.progress(),
    });
    if (acted !== null && this.#position.acted == null) await this.#save({ ...this.#position, acted });
  }

  /** Guards are looked at while instances are waited for, too, in their own rhythm. */
  async #lookNowAndThen(): Promise<void> {
    if (performance.now() - this.#lookedAt >= GUARD_EVERY_MS) await this.#look();
  }

  async #look(): Promise<{ seen: boolean; note: string }> {
    this.#lookedAt = performance.now();
    const look = await this.#guards.look(this.#context.signal);
    await this.#exposure.assertUnchanged();
    return look;
  }

  /** Looks at least once, also where there is nothing to bake; ends when looks have proven the whole bake time. */
  async #bake(stop: Stop): Promise<void> {
    let last = performance.now();
    for (;;) {
      const look = await this.#look();
      const now = performance.now();
      if (look.seen) {
        const proven = Math.min(now - last, PROVEN_PER_LOOK_MAX_MS);
        await this.#save({ ...this.#position, bakedMs: this.#position.bakedMs + proven });
      }
      last = now;
      const leftMs = stop.bakeMs - this.#position.bakedMs;
      if (look.seen && leftMs <= 0) return;
      this.#context.report({ progress: this.progress(), note: this.#noteOf(stop, leftMs, look.note) });
      await pause(look.seen ? Math.min(leftMs, GUARD_EVERY_MS) : GUARD_EVERY_MS, this.#context.signal);
    }
  }

  async #save(position: Position): Promise<void> {
    await this.#exposure.change.locked((session) => this.#positions.save(session, position));
    this.#position = position;
  }

  /**
   * Lowers exposure, where the plan says so, before anybody decides anything, and keeps why: both stand until a person lets
   * the step try again, and then the stop bakes anew. What can't be lowered now is left to the rollback: the failure that
   * led here is what people must see.
   */
  async stopped(error: SwitchbackError): Promise<void> {
    if (this.#position.verdict != null) return;
    this.#position = {
      ...this.#position,
      bakedMs: 0,
      acted: null,
      verdict: verdictOf(error, this.#input.retried ?? 0),
    };
    await this.#lower();
  }

  async #lower(): Promise<void> {
    const percent = this.#input.step.exposureOnFailure?.percent;
    const keep = (session: Queryable): Promise<void> => this.#positions.save(session, this.#position);
    for (let attempt = 1; attempt <= LOWER_EXPOSURE_TRIES; attempt++) {
      try {
        return await (percent === undefined
          ? this.#exposure.change.locked(keep)
          : lowerTo(this.#exposure, percent, keep));
      } catch (failure) {
        this.#context.log.error({ err: failure, percent, attempt }, 'exposure could not be lowered');
        if (!(failure instanceof SwitchbackError && failure.retry)) return;
        await pause(GUARD_EVERY_MS, this.#context.signal);
      }
    }
  }

  #noteOf({ target }: Stop, leftMs: number, guards: string): string {
    const { acted } = this.#position;
    const at = `at ${targetWords(target)}${acted == null ? '' : ` (${acted})`}`;
    const waits = leftMs > 0 ? `${at}, bakes ${Math.ceil(leftMs / 1000)} s more` : `${at}, waits for its guards`;
    return [waits, guards].filter((part) => part !== '').join('; ');
  }

  /** In percents of the ramp: what users see, and what they will see at its end. In stops, where some are stages. */
  progress(): { done: number; total: number; perSecond: null; etaSeconds: number } {
    const left = this.#stops.slice(this.#position.stop).reduce((sum, stop) => sum + stop.bakeMs, 0);
    const at = Math.min(this.#position.stop, this.#stops.length - 1);
    const staged = usesStages(this.#input.step);
    return {
      done: staged ? this.#position.stop : percentOf(this.#stops[at]),
      total: staged ? this.#stops.length : percentOf(this.#stops.at(-1)),
      perSecond: null,
      etaSeconds: Math.max(0, Math.round((left - this.#position.bakedMs) / 1000)),
    };
  }
}

const percentOf = (stop: Stop | undefined): number =>
  stop !== undefined && 'percent' in stop.target ? stop.target.percent : 0;

const targetWords = (target: Target): string => ('percent' in target ? `${target.percent} %` : `stage ${target.stage}`);

/** The ramp with its times in milliseconds; what this version has no engine for is refused by name. */
function stopsOf(step: StepOf<'rollout'>): Stop[] {
  if (step.analysis !== undefined) {
    throw new SwitchbackError('Unsupported', `step "${step.id}": \`analysis\` has no engine in this version`, {
      hint: 'use `guards`',
    });
  }
  return step.ramp.map(({ percent, stage, bake }) => {
    const bakeMs = durationMs(bake);
    if (stage !== undefined) return { target: { stage }, bakeMs };
    assertWholePercent(percent ?? 0, step.id);
    return { target: { percent: percent ?? 0 }, bakeMs };
  });
}
