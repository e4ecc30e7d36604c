import type { Queryable } from '../adapters/postgres/database.ts';
import { type AuditEvent, SwitchbackError } from '../messages/index.ts';
import { answersNew, durationMs, type StepOf } from '../plan/index.ts';
import type { Effect, EffectContext, EffectInput, EffectResult } from './effect.ts';
import { Exposure, type Target, usesStages } from './exposure.ts';
import { assertWholePercent } from './flag.ts';
import { GUARD_EVERY_MS, GuardWatch } from './guard.ts';
import { lowerTo } from './lower-exposure.ts';
import { pause } from './pause.ts';
import { Gate, gateFailed, gateInconclusive, type GateStop, type Proven } from './rollout-gate.ts';
import { errorOf, Overtaken, type Position, Positions, START, type Verdict, verdictOf } from './rollout-position.ts';
import { undoExposure } from './undo-exposure.ts';

interface Stop {
  target: Target;
  bakeMs: number;
  index: number;
  words: string;
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
      if (error instanceof Overtaken) return stand(error, context);
      if (error instanceof SwitchbackError) await climb.stopped(error);
      throw error;
    }
  },

  async down(input, context) {
    return undoExposure(input, context);
  },
};
/** What lowers exposure. A lost signal does so as a breached guard does. */
const LOWERING: readonly string[] = ['GuardTripped', 'MetricsUnreachable', 'GateFailed', 'GateNoData'];

/** The run is about to say what becomes of it by interrupting this; a worker that was taken for dead is told so. */
async function stand({ message }: Overtaken, context: EffectContext): Promise<never> {
  for (;;) {
    context.report({ progress: null, note: `${message}; waits for what the run decides` });
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
  #gate: Gate | null = null;
  #gateNote = '';
  /** What the gate has found, as of its last look. */
  #gateFound: string | null = null;
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
    const { analysis } = this.#input.step;
    if (analysis !== undefined)
      this.#gate = new Gate(analysis, this.#exposure.change, this.#context, this.#position.series ?? 0);
    for (let stop = this.#stops[this.#position.stop]; stop !== undefined; stop = this.#stops[this.#position.stop]) {
      await this.#expose(stop);
      await this.#bake(stop);
      await this.#pass(stop);
    }
    // The last stop again: whoever comes back after a crash here finds all as it should be, or someone else's change.
    const last = this.#stops.at(-1);
    if (last !== undefined) await this.#expose(last);
    const { change, path } = this.#exposure;
    const at = last === undefined ? '' : ` is at ${last.words}`;
    const note = `flag ${path.place.flag} in ${path.place.environment}${at}`;
    await change.locked((session, ledger) => ledger.record(session, change.key, 'applied', { note }));
    return { note, progress: this.progress() };
  }

  /** What stopped the step for good is said again until a person has let it try again. */
  async #heedVerdict(): Promise<void> {
    const { verdict, series = 0 } = this.#position;
    if (verdict == null) return;
    const { retried = 0, accept = null, run, step } = this.#input;
    if (retried > verdict.retried) {
      const goesOn = { ...this.#position, waitedMs: 0, verdict: null };
      if (verdict.code !== 'GateInconclusive') return this.#save({ ...goesOn, bakedMs: 0, series: series + 1 });
      if (accept === null) return this.#save(goesOn);
      if (accept.digest === verdict.fields['accept']) {
        const data = { step: step.id, case: verdict.message, accepted: accept.digest };
        const event = { key: `gate-accepted/${step.id}/${accept.digest}`, type: 'gate-accepted', by: accept.by, data };
        await this.#context.deps.home.record(run, [event], null);
        return this.#save({ ...nextStop(goesOn), verdict: null });
      }
    }
    // A run that was started anew counts retries from the beginning.
    this.#position = { ...this.#position, verdict: { ...verdict, retried } };
    await this.#keepVerdict();
    throw errorOf(verdict);
  }

  /** Sets the stop and waits until instances act on it; the position is kept in the transaction that confirms it. */
  async #expose({ target, words }: Stop): Promise<void> {
    const { flag } = this.#exposure.path.place;
    this.#context.report({ progress: this.progress(), note: `sets ${flag} to ${words}` });
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
    this.#context.degraded?.(look.seen ? null : look.note);
    await this.#exposure.assertUnchanged();
    return look;
  }

  /**
   * Looks at least once, also where there is nothing to bake; ends when looks have proven the whole bake time, and where
   * there is a gate, when that passes. With a gate, time counts as proven when its next look has had an answer.
   */
  async #bake(stop: Stop): Promise<void> {
    const gateStop = await this.#gateStop(stop);
    await this.#gate?.begin(gateStop);
    let last = performance.now();
    let pendingMs = 0;
    for (;;) {
      const guards = await this.#look();
      const now = performance.now();
      if (guards.seen) pendingMs += Math.min(now - last, PROVEN_PER_LOOK_MAX_MS);
      last = now;
      const uncountedMs = stop.bakeMs - this.#position.bakedMs;
      const dueInMs = this.#gate?.dueInMs(gateStop, uncountedMs, pendingMs) ?? 0;
      let passed = this.#gate === null;
      if (dueInMs === 0) {
        if (this.#gate !== null) passed = await this.#judged(this.#gate, gateStop, pendingMs);
        else if (pendingMs > 0) await this.#save({ ...this.#position, bakedMs: this.#position.bakedMs + pendingMs });
        pendingMs = 0;
      }
      const leftMs = stop.bakeMs - this.#position.bakedMs - pendingMs;
      if (passed && guards.seen && leftMs <= 0) return;
      this.#context.report({ progress: this.progress(), note: this.#noteOf(stop, leftMs, guards.note) });
      await pause(this.#restMs(gateStop, { leftMs, pendingMs, seen: guards.seen }), this.#context.signal);
    }
  }

  /** Until the next look: at the guards, at the gate, or at the end of the bake, whatever comes first. */
  #restMs(stop: GateStop, of: { leftMs: number; pendingMs: number; seen: boolean }): number {
    if (this.#gate === null) return of.seen ? Math.min(of.leftMs, GUARD_EVERY_MS) : GUARD_EVERY_MS;
    const dueInMs = this.#gate.dueInMs(stop, stop.bakeMs - this.#position.bakedMs, of.pendingMs);
    return Math.min(GUARD_EVERY_MS, Math.max(dueInMs, of.seen ? 1 : GUARD_EVERY_MS));
  }

  /** One look of the gate; whether it passes. Throws what stops the rollout. */
  async #judged(gate: Gate, stop: GateStop, pendingMs: number): Promise<boolean> {
    const { bakedMs, waitedMs = 0 } = this.#position;
    const { flag } = this.#exposure.path.place;
    const prove = (seen: boolean, openMs: number): Proven => ({
      bakedMs: seen ? bakedMs + pendingMs : bakedMs,
      waitedMs: seen && bakedMs >= stop.bakeMs ? waitedMs + Math.min(openMs, gate.intervalMs) : waitedMs,
    });
    const before = this.#position;
    const judged = await gate.look(stop, prove, async (session, proven) => {
      await this.#positions.save(session, { ...before, ...proven });
    });
    // Where another worker has counted this window, what it has proven of the stop is what counts.
    this.#position = judged.kept
      ? { ...before, ...judged.proven }
      : { ...(await this.#positions.read()), stop: before.stop, lowered: before.lowered ?? 0 };
    this.#gateNote = judged.note;
    const { verdict } = judged;
    if (verdict.verdict === 'roll-back') throw gateFailed(flag, stop, verdict);
    if (verdict.verdict === 'inconclusive') {
      const { run, step } = this.#input;
      throw gateInconclusive({ flag, migration: run.migration, step: step.id }, stop, verdict);
    }
    this.#gateFound = verdict.reason;
    return judged.kept && verdict.verdict === 'pass';
  }

  async #gateStop(stop: Stop): Promise<GateStop> {
    const { index, words, bakeMs, target } = stop;
    const percent = 'percent' in target ? target.percent : 0;
    const stage = (await this.#exposure.path.row())?.stage ?? 'off';
    return {
      index,
      words,
      bakeMs,
      exposed: percent > 0 || !['off', 'dual-write'].includes(stage),
      oldUnused: percent === 100 || answersNew(stage),
    };
  }

  /** On to the next stop, with what was found at this one on record. */
  async #pass({ index, words }: Stop): Promise<void> {
    const next = nextStop(this.#position);
    const { acted = null } = this.#position;
    const { id } = this.#input.step;
    const data = { step: id, stop: words, acted, found: this.#gateFound };
    await this.#exposure.change.locked(async (session) => {
      await this.#positions.save(session, next);
      await this.#record(session, { key: `stop-passed/${id}/${index}`, type: 'stop-passed', data });
    });
    this.#position = next;
  }

  #record(session: Queryable, event: Omit<AuditEvent, 'by'>): Promise<void> {
    return this.#context.deps.home.record(this.#input.run, [{ ...event, by: null }], null, { session });
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
    const verdict = verdictOf(error, this.#input.retried ?? 0);
    if (LOWERING.includes(error.code)) this.#position = { ...this.#position, bakedMs: 0, acted: null, verdict };
    else if (error.code === 'GateInconclusive') this.#position = { ...this.#position, verdict };
    else return;
    await this.#keepVerdict();
  }

  async #keepVerdict(): Promise<void> {
    const { verdict } = this.#position;
    const lowers = LOWERING.includes(verdict?.code ?? '');
    const percent = lowers ? this.#input.step.exposureOnFailure?.percent : undefined;
    const keep = async (session: Queryable): Promise<void> => {
      await this.#positions.save(session, this.#position);
      if (verdict != null) await this.#recordVerdict(session, verdict);
    };
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

  /** That a gate failed, with what was found: in the transaction that makes it stand. */
  async #recordVerdict(session: Queryable, { code, message }: Verdict): Promise<void> {
    const type = { GateFailed: 'gate-failed', GateNoData: 'gate-no-data' }[code as string];
    if (type === undefined) return;
    const { stop, series = 0 } = this.#position;
    const { id } = this.#input.step;
    const data = { step: id, stop: this.#stops[stop]?.words ?? null, reason: message };
    await this.#record(session, { key: `${type}/${id}/${stop}/${series}`, type, data });
  }

  #noteOf({ words }: Stop, leftMs: number, guards: string): string {
    const { acted } = this.#position;
    const at = `at ${words}${acted == null ? '' : ` (${acted})`}`;
    const waitsFor = this.#gate === null ? 'waits for its guards' : 'looks for the evidence that passes it';
    const waits = leftMs > 0 ? `${at}, bakes ${Math.ceil(leftMs / 1000)} s more` : `${at}, ${waitsFor}`;
    return [waits, this.#gateNote, guards].filter((part) => part !== '').join('; ');
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

const nextStop = (position: Position): Position => ({
  ...position,
  stop: position.stop + 1,
  bakedMs: 0,
  waitedMs: 0,
  acted: null,
});

/** The ramp with its times in milliseconds. */
function stopsOf(step: StepOf<'rollout'>): Stop[] {
  return step.ramp.map(({ percent = 0, stage, bake }, index) => {
    if (stage === undefined) assertWholePercent(percent, step.id);
    const target: Target = stage === undefined ? { percent } : { stage };
    return { target, bakeMs: durationMs(bake), index, words: targetWords(target) };
  });
}
