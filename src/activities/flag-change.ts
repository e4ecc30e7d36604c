import type { Queryable } from '../adapters/postgres/database.ts';
import { type FlagRow, FlagStates } from '../adapters/postgres/flag-states.ts';
import { type StepKey, StepLedger, type StepRecord } from '../adapters/postgres/step-ledger.ts';
import {
  differences,
  exposureOf,
  type FlagState,
  isBetween,
  type OurStrategy,
} from '../adapters/unleash/flag-state.ts';
import { keptOffBy } from '../adapters/unleash/prerequisites.ts';
import { type FlagRef, flagChanged, type Unleash } from '../adapters/unleash/unleash.ts';
import { SwitchbackError } from '../messages/index.ts';
import { durationMs, type FlagDefinition, isStage } from '../plan/index.ts';
import type { EffectContext, EffectInput } from './effect.ts';

/**
 * How a step changes a flag and takes the change back. Unleash knows no transactions, so each change is: write the
 * intent (with what was found, the first time), act, read back, record. Each of the two halves runs under the fence,
 * the step's row lock and the flag's lock; in between, a crash leaves an intent that the next one finishes.
 *
 * Every step restores the state that it found. Steps are undone in reverse order, so the flag ends as it was before
 * the first of them.
 */
export class FlagChange {
  readonly ref: FlagRef;
  readonly our: OurStrategy;
  readonly key: StepKey;
  readonly states: FlagStates<FlagState>;
  readonly ledger: StepLedger;
  readonly #unleash: Unleash;
  readonly #context: EffectContext;
  readonly propagationMs: number;

  constructor(input: EffectInput<'flag'> | EffectInput<'rollout'>, context: EffectContext) {
    const { run, phase, step } = input;
    const definition = input.flag ?? DEFAULT_DEFINITION;
    this.ref = flagRefOf(step.flag, input.flag, run.migration);
    this.our = {
      title: `Switchback: ${run.migration}`,
      groupId: step.flag,
      stickiness: definition.stickiness,
    };
    this.key = { run, phase, step: step.id, kind: step.uses };
    this.states = new FlagStates(context.deps.home.database);
    this.ledger = new StepLedger(context.deps.home.database);
    this.#unleash = unleashOf(context);
    this.#context = context;
    this.propagationMs = durationMs(definition.propagation);
  }

  /**
   * Makes of the flag what `change` makes of its state; nothing where it is that already. `record` runs in the
   * transaction that confirms the change, `beside` in the one that writes its intent. Throws `FlagChanged` where someone
   * else has changed it, and `FlagUnseen` before it lets anybody in whom a flag that this one depends on keeps out.
   */
  async apply(
    change: (state: FlagState) => FlagState,
    record: (session: Queryable, ledger: StepLedger) => Promise<void>,
    beside: Beside = () => Promise.resolve(),
  ): Promise<void> {
    await this.locked(async (session, ledger, step) => {
      await beside(session, ledger, step);
      const row = await this.states.read(this.key, session);
      const actual = await this.#unleash.read(this.ref, this.#context.signal);
      if (row === null) {
        const before = await this.states.readLatest(session, this.key, this.ref);
        if (before !== null) this.#assertOurs(before, actual);
        const target = change(actual);
        await this.#assertSeen(actual, target);
        await this.states.capture(session, this.key, this.ref, actual, target);
        return;
      }
      this.#assertOurs(row, actual);
      const target = change(row.confirmed ? row.ours : actual);
      await this.#assertSeen(actual, target);
      if (row.confirmed && differences(target, actual).length === 0) return;
      await this.states.intend(session, this.key, actual, target);
    });
    await this.#settle({ restored: false }, record);
  }

  /**
   * Restores the state that the step found, whole. False where the step never came to change the flag. Where a flag
   * lets nobody in, as after a breach, and an earlier step of this run is still to be undone, it stays so for that one: on
   * the way back nobody is let in again.
   */
  async restore(): Promise<boolean> {
    const next = await this.locked(async (session) => {
      const row = await this.states.read(this.key, session);
      if (row === null || row.restored) return row === null ? 'nothing' : 'done';
      const actual = await this.#unleash.read(this.ref, this.#context.signal);
      if (differences(row.captured, actual).length > 0 && !isEmergencyOff(row, actual)) this.#assertOurs(row, actual);
      if (
        exposureOf(actual) === 0 &&
        exposureOf(row.captured) > 0 &&
        (await this.states.passOn(session, this.key, this.ref, actual))
      )
        return 'done';
      await this.states.intend(session, this.key, actual, row.captured);
      return 'restore';
    });
    if (next === 'restore') await this.#settle({ restored: true }, () => Promise.resolve());
    return next !== 'nothing';
  }

  /** How long it is, in milliseconds, until every client acts on the restored state. */
  async unseenForMs(): Promise<number> {
    const row = await this.states.read(this.key);
    return row?.restoredMsAgo == null ? 0 : Math.max(0, this.propagationMs - row.restoredMsAgo);
  }

  /** Ends the undoing. Not before clients have seen the flag: a restart that finds it ended goes on at once. */
  async recordUndone(note: string): Promise<void> {
    await this.locked((session) => this.ledger.record(session, this.key, 'undone', { note }));
  }

  /** Looks whether the flag still is what the step made of it, and seen. Throws `FlagChanged` or `FlagUnseen`. */
  async assertUnchanged(): Promise<void> {
    const row = await this.states.read(this.key);
    if (row === null) return;
    const actual = await this.#unleash.read(this.ref, this.#context.signal);
    this.#assertOurs(row, actual);
    await this.#assertSeen(actual, actual);
  }

  /**
   * Makes Unleash serve the flag anew, after a change that some clients don't come to see (see `Unleash.nudge`). It
   * changes nothing and may be done any number of times. False where there is no change of this step, or no flag. Throws
   * `FlagChanged` where someone else has changed what the step made of it; what was restored is no longer the step's.
   */
  async nudge(): Promise<boolean> {
    return this.locked(async (session) => {
      const row = await this.states.read(this.key, session);
      if (row === null || !row.confirmed) return false;
      const actual = await this.#unleash.read(this.ref, this.#context.signal);
      if (!row.restored) this.#assertOurs(row, actual);
      return actual.exists && this.#unleash.nudge(this.ref, this.#context.signal);
    });
  }

  /** Writes to the ledger under the fence, for steps that keep a position. */
  async fenced(work: (session: Queryable) => Promise<void>): Promise<void> {
    await this.#context.deps.home.database.transaction(async (session) => {
      await this.ledger.fence(session, this.key.run);
      await work(session);
    });
  }

  async #settle(
    { restored }: { restored: boolean },
    record: (session: Queryable, ledger: StepLedger) => Promise<void>,
  ): Promise<void> {
    await this.locked(async (session) => {
      const row = await this.states.read(this.key, session);
      // Another worker was quicker with the same undoing.
      if (row?.restored === true && restored) return;
      if (row === null || row.restored) throw new Error(`the flag state of step ${this.key.step} is gone`);
      if (!row.confirmed) {
        this.#assertOurs(row, await this.#unleash.read(this.ref, this.#context.signal));
        const seen = await this.#unleash.write(this.ref, row.ours, this.#context.signal);
        await this.states.confirm(session, this.key, seen, { restored });
      }
      await record(session, this.ledger);
    });
  }

  #assertOurs(row: FlagRow<FlagState>, actual: FlagState): void {
    if (row.confirmed) {
      const different = differences(row.ours, actual);
      if (different.length > 0) throw flagChanged(this.ref, different);
    } else if (!isBetween(row.previous, row.ours, actual)) {
      throw flagChanged(this.ref, differences(row.ours, actual));
    } else if (!row.previous.exists && row.ours.exists && !isCreatedBy(this.ref, actual)) {
      throw flagChanged(this.ref, ['somebody else created it at this moment']);
    }
  }

  /**
   * A flag that nobody can see would bake and be found well: a person says whether that is meant. Not asked of a change
   * that takes exposure away, which nothing may hold up, nor of a stage, where the row decides and the flag only says it.
   */
  async #assertSeen(actual: FlagState, target: FlagState): Promise<void> {
    const exposure = exposureOf(target);
    if (exposure === 0 || exposure < exposureOf(actual) || carriesStage(target)) return;
    const { flag, environment } = this.ref;
    const prerequisites = await this.#unleash.prerequisites(this.ref, actual, this.#context.signal);
    const reasons = keptOffBy(flag, environment, prerequisites);
    if (reasons.length === 0) return;
    throw new SwitchbackError('FlagUnseen', `${reasons.join('; ')}: nobody would see it`, {
      hint: 'set that flag, or take the dependency away in Unleash, and `retry`',
      fields: { flag, environment, hold: true },
    });
  }

  /** Under the fence, with the step's record and the flag locked until the transaction ends. */
  locked<T>(work: (session: Queryable, ledger: StepLedger, step: StepRecord) => Promise<T>): Promise<T> {
    return this.#context.deps.home.database.transaction(async (session) => {
      const step = await this.ledger.enter(session, this.key);
      await this.states.lock(session, this.ref);
      return work(session, this.ledger, step);
    });
  }
}

/** What commits together with the intent of a change. */
export type Beside = (session: Queryable, ledger: StepLedger, step: StepRecord) => Promise<void>;

const DEFAULT_DEFINITION: FlagDefinition = {
  environment: 'development',
  project: 'default',
  stickiness: 'default',
  type: 'release',
  propagation: '15s',
};

/** The flag of that name as the plan defines it, or by default. */
export const flagRefOf = (flag: string, defined: FlagDefinition | null | undefined, migration: string): FlagRef => {
  const { project, environment, type, description } = defined ?? DEFAULT_DEFINITION;
  return {
    project,
    environment,
    flag,
    type,
    description: description ?? `Created by Switchback for migration ${migration}`,
  };
};

/** A flag that appears while we create it is ours where it has our description: a crash may have cut us short there. */
const isCreatedBy = (ref: FlagRef, { description }: FlagState): boolean =>
  description === undefined || description.trim() === ref.description.trim();

const carriesStage = (state: FlagState): boolean =>
  state.strategies
    .filter((strategy) => !strategy.disabled)
    .flatMap(({ variants }) => variants)
    .some(namesStage);

/** Whether a variant is there to carry a stage. */
export const namesStage = (variant: unknown): boolean => isStage(String((variant as { name?: unknown } | null)?.name));

/** Somebody switched the flag off and touched nothing else, and off is where restoring ends too: no reason to stop. */
const isEmergencyOff = (row: FlagRow<FlagState>, actual: FlagState): boolean =>
  row.confirmed &&
  row.ours.enabled &&
  !actual.enabled &&
  !row.captured.enabled &&
  differences({ ...row.ours, enabled: false }, actual).length === 0;

function unleashOf({ deps }: EffectContext): Unleash {
  if (deps.unleash !== null) return deps.unleash;
  throw new SwitchbackError('ConfigInvalid', 'the plan has a flag, but the configuration has no `unleash:`', {
    hint: 'add unleash.url and unleash.adminToken to the configuration of the worker',
  });
}
