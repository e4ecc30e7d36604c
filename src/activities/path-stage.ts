import type { Queryable } from '../adapters/postgres/database.ts';
import type { StepLedger, StepRecord } from '../adapters/postgres/step-ledger.ts';
import { type StagePlace, type StageRow, Stages } from '../adapters/postgres/stages.ts';
import { SwitchbackError } from '../messages/index.ts';
import { areAdjacent, nextStage, type Stage } from '../plan/index.ts';
import type { EffectContext } from './effect.ts';
import type { FlagChange } from './flag-change.ts';

/**
 * The stage of a path as one step changes it: the row in the ledger, and in the step's own record the stage that it
 * found (the first capture wins) and the one that it last set. Row and record change in one transaction, under the fence
 * and the flag's lock; each change is to the next stage and no further.
 */
export class PathStage {
  readonly place: StagePlace;
  readonly #change: FlagChange;
  readonly #stages: Stages;
  readonly #ledger: StepLedger;

  constructor(change: FlagChange, context: EffectContext) {
    this.#change = change;
    this.place = { environment: change.ref.environment, flag: change.ref.flag };
    this.#stages = new Stages(context.deps.home.database);
    this.#ledger = change.ledger;
  }

  row(): Promise<StageRow | null> {
    return this.#stages.read(this.place);
  }

  /** What the step found and last set; null where it never came to set a stage. */
  async ours(): Promise<{ found: Stage; set: Stage } | null> {
    const step = await this.#ledger.read(this.#change.key);
    return step === null ? null : recorded(step);
  }

  /** The next stage on the way to `target`. Throws `StageRefused` where a step's first one isn't next to what it finds. */
  async hop(target: Stage): Promise<{ from: Stage; to: Stage }> {
    const from = (await this.row())?.stage ?? 'off';
    if ((await this.ours()) === null && !areAdjacent(from, target))
      throw this.#refused(`can't go to "${target}"`, from);
    return { from, to: nextStage(from, target) };
  }

  /** Sets the row, in the caller's transaction (see `FlagChange.locked`). Nothing where it is so already. */
  async moveIn(session: Queryable, step: StepRecord, to: Stage, state: 'intended' | 'undoing'): Promise<void> {
    const row = await this.#stages.read(this.place, session);
    const from = row?.stage ?? 'off';
    const ours = recorded(step);
    if (ours !== null && ours.set !== from) throw this.#refused(`was left at "${ours.set}" by this step`, from);
    if (!areAdjacent(from, to)) throw this.#refused(`can't go to "${to}"`, from);
    if (row !== null && from === to && ours !== null) return;
    if (row === null || from !== to) await this.#stages.set(session, this.place, to, this.#change.key.run.migration);
    await this.#ledger.record(session, this.#change.key, state, {
      detail: { stageFound: ours?.found ?? from, stageSet: to },
    });
  }

  /** One change of the row alone, in a transaction of its own. */
  async moveTo(to: Stage, state: 'intended' | 'undoing'): Promise<void> {
    await this.#change.locked((session, _ledger, step) => this.moveIn(session, step, to, state));
  }

  /** Throws `StageRefused` where someone else has changed what this step set. */
  async assertUnchanged(): Promise<void> {
    const ours = await this.ours();
    const from = ours === null ? null : ((await this.row())?.stage ?? 'off');
    if (ours !== null && from !== null && ours.set !== from)
      throw this.#refused(`was left at "${ours.set}" by this step`, from);
  }

  #refused(words: string, at: Stage): SwitchbackError {
    const { flag, environment } = this.place;
    return new SwitchbackError('StageRefused', `flag "${flag}" in ${environment} is at stage "${at}" and ${words}`, {
      hint: 'a path goes from one stage to the next; look at who changed it (switchback.stages names the migration)',
      fields: { flag, environment, stage: at, hold: true },
    });
  }
}

function recorded({ detail }: StepRecord): { found: Stage; set: Stage } | null {
  const { stageFound, stageSet } = detail as { stageFound?: Stage; stageSet?: Stage };
  return stageFound === undefined || stageSet === undefined ? null : { found: stageFound, set: stageSet };
}
