import { Instances } from '../adapters/postgres/instances.ts';
import { dropRepairs } from '../adapters/postgres/switch-repairs.ts';
import {
  exposureOf,
  type FlagState,
  type OurStrategy,
  withPercent,
  withVariant,
} from '../adapters/unleash/flag-state.ts';
import type { Queryable } from '../adapters/postgres/database.ts';
import type { StepLedger } from '../adapters/postgres/step-ledger.ts';
import type { Progress } from '../messages/index.ts';
import { type Acknowledge, durationMs, type Stage, type StepOf } from '../plan/index.ts';
import { acknowledged } from './acknowledge.ts';
import type { EffectContext, EffectInput } from './effect.ts';
import { type Beside, FlagChange, namesStage } from './flag-change.ts';
import { PathStage } from './path-stage.ts';
import { repaired } from './repaired.ts';

/** Where a step brings a path: a share of the users, or a stage for all of them. */
export type Target = { percent: number } | { stage: Stage };
/** What is done on the way there. */
export interface OnTheWay {
  /** In the transaction that confirms the change of the flag. */
  record?: (session: Queryable, ledger: StepLedger) => Promise<void>;
  /** In the transaction that writes the intent. */
  beside?: Beside;
  /** At every look while instances are waited for. */
  meanwhile?: () => Promise<unknown>;
  progress?: Progress;
}

interface Waiting {
  instancesMin?: number;
  timeoutMs?: number;
  /** Nobody has to be let in: see `Awaited`. */
  noneWillDo?: boolean;
  /** They act on the stage, whatever their flag says. */
  rowAlone?: boolean;
}

/** Services re-read their row when they renew their lease; with a flag's own refresh that is what a nudge waits for. */
const NUDGE_MARGIN_MS = 2_000;
/** Where the next stage relies on every instance having made this one, that is waited for whatever the plan says. */
const STAGES_ACKNOWLEDGE: Acknowledge = { required: 'all', timeout: '5m' };

/**
 * Who sees the new path, as one step sets it: the flag, the stage's row, and the instances that act on both. The row is
 * written first (in the transaction that holds the flag's intent), then the flag, then the instances are waited for; a
 * crash in between is gone on from, since each of the three is looked at before it is changed.
 */
export class Exposure {
  readonly change: FlagChange;
  readonly path: PathStage;
  readonly #instances: Instances;
  readonly #context: EffectContext;
  readonly #acknowledge: Acknowledge | null;

  constructor(input: EffectInput<'flag'> | EffectInput<'rollout'>, context: EffectContext) {
    this.change = new FlagChange(input, context);
    this.path = new PathStage(this.change, context);
    this.#instances = new Instances(context.deps.home.database);
    this.#context = context;
    this.#acknowledge = acknowledgeOf(input.step);
  }

  /** Whether instances are waited for, rather than a time. */
  get acknowledges(): boolean {
    return this.#acknowledge !== null;
  }

  /** Sets the share of users on the new path; the row stays. */
  async expose(percent: number, on: OnTheWay = {}): Promise<void> {
    await this.change.apply((state) => atPercent(state, percent, this.change.our), on.record ?? nothing, on.beside);
  }

  /** Brings the path to `target`, through the stages in between where the step has been there before. */
  async reach(target: Target, on: OnTheWay = {}): Promise<string | null> {
    if ('percent' in target) {
      // Whom the flag lets in reads the new side: it must have all writes.
      if (target.percent > 0 && (await this.path.row()) !== null)
        await this.repaired({ lacking: 'new', ...(on.meanwhile && { meanwhile: on.meanwhile }) });
      await this.expose(target.percent, on);
      return this.acknowledged(on);
    }
    for (;;) {
      const { from, to } = await this.path.hop(target.stage);
      if (from !== to) await this.repaired(on.meanwhile && { meanwhile: on.meanwhile });
      await this.change.apply(
        (state) => atStage(state, to, this.change.our),
        on.record ?? nothing,
        async (session, ledger, step) => {
          await on.beside?.(session, ledger, step);
          await this.path.moveIn(session, step, to, 'intended');
        },
      );
      const words = await this.acknowledged({ ...on, noneWillDo: true });
      await this.dropMoot();
      if (to === target.stage || from === to) return words;
    }
  }

  /** Waits until all live instances act on what was set last; null where the step doesn't ask for that. */
  async acknowledged(on: OnTheWay & Waiting = {}): Promise<string | null> {
    if (this.#acknowledge === null) return null;
    const { required, timeout } = this.#acknowledge;
    const flag = await this.change.states.read(this.change.key);
    const row = await this.path.row();
    return acknowledged(
      this.#instances,
      {
        place: this.path.place,
        generation: row?.generation ?? 0,
        noneWillDo: on.noneWillDo ?? false,
        exposure: on.rowAlone === true ? null : flag === null ? 0 : exposureOf(flag.ours),
        instancesMin: on.instancesMin ?? (required === 'all' ? 1 : required),
        timeoutMs: on.timeoutMs ?? durationMs(timeout),
        since: latest(flag?.changedAt ?? null, row?.changedAt ?? null),
        nudgeAfterMs: this.change.propagationMs + NUDGE_MARGIN_MS,
        nudge: () => this.change.nudge(),
        ...(on.meanwhile && { meanwhile: on.meanwhile }),
        ...(on.progress && { progress: on.progress }),
      },
      this.#context,
    );
  }

  /** Waits until a side that is about to answer (or either) has all writes. Throws `RepairsOpen`, held. */
  repaired(of: Parameters<typeof repaired>[2]): Promise<void> {
    return repaired(this.#context, this.path.place, of);
  }

  /** What a side lacks that nobody writes any more is nothing to wait for, now or when another run begins. */
  async dropMoot(): Promise<void> {
    const stage = (await this.path.row())?.stage;
    const unused = stage === 'off' ? 'new' : stage === 'complete' ? 'old' : null;
    if (unused !== null) await dropRepairs(this.#context.deps.home.database, this.path.place, unused);
  }

  /** How many instances say now that they act on this flag. */
  async liveCount(): Promise<number> {
    return (await this.#instances.live(this.path.place)).length;
  }

  /** Throws `FlagChanged` or `StageRefused` where someone else has changed what the step made of it. */
  async assertUnchanged(): Promise<void> {
    await this.change.assertUnchanged();
    await this.path.assertUnchanged();
  }
}

const nothing = (): Promise<void> => Promise.resolve();

/** Both are texts of one database in one format, so that they sort as the instants do. */
const latest = (one: string | null, other: string | null): string | null =>
  one === null || (other !== null && other > one) ? other : one;

export const usesStages = (step: StepOf<'flag'> | StepOf<'rollout'>): boolean =>
  step.uses === 'flag' ? step.stage !== undefined : step.ramp.some(({ stage }) => stage !== undefined);

const acknowledgeOf = (step: StepOf<'flag'> | StepOf<'rollout'>): Acknowledge | null =>
  step.acknowledge ?? (usesStages(step) ? STAGES_ACKNOWLEDGE : null);

/** Everybody at `stage`: the variant tells it to services that don't read the row. */
const atStage = (state: FlagState, stage: Stage, our: OurStrategy): FlagState =>
  withVariant(state, { name: stage, percent: 100 }, our);

/** A share of the users on the new path; the others stay on the row's stage, so that the flag no longer names one. */
function atPercent(state: FlagState, percent: number, our: OurStrategy): FlagState {
  const target = withPercent(state, percent, our);
  return {
    ...target,
    strategies: target.strategies.map((strategy) =>
      strategy.disabled || !strategy.variants.every(namesStage) ? strategy : { ...strategy, variants: [] },
    ),
  };
}
