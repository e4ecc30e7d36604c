import type { FlagAnswer } from './flag-source.ts';
import type { NextFooting } from './footing.ts';
import type { StageRow } from './ledger.ts';
import type { Settings } from './options.ts';
import { higherOf, isStage, rankOf, type Stage } from './stage.ts';

/** What is known now, of the ledger and of the flags. */
export interface Known {
  /** Whether there is a ledger: then the row says the stage, and a variant doesn't. */
  ledger: boolean;
  /** Whether who says the stage has answered since the start: the ledger, or without one the flags' server. */
  answered: boolean;
  row: StageRow | null;
  exposure: number;
}
type StageSettings = Pick<Settings, 'minimumStage' | 'bootstrap' | 'on'>;

/** What new calls act on; null where nobody has said yet, and acting on `off` could lose what was written to new alone. */
export function footingOf({ minimumStage, bootstrap, on }: StageSettings, known: Known): NextFooting | null {
  const { ledger, answered, row, exposure } = known;
  if (ledger && !answered && bootstrap === null && minimumStage === null) return null;
  const said: Stage = answered ? (row?.stage ?? 'off') : (bootstrap ?? 'off');
  const stage = minimumStage === null ? said : higherOf(said, minimumStage);
  return {
    stage,
    generation: row?.generation ?? 0,
    asAsked: row === null || stage === row.stage,
    exposure,
    // Where nobody is let in, or whoever is would not act otherwise, the flag isn't asked.
    asksFlag: exposure > 0 && rankOf(stage) < rankOf(ledger ? on : 'complete'),
  };
}

/** The stage of one call: the footing's, or above it for a caller whom the flag lets in. */
export function stageOf(floor: Stage, answer: FlagAnswer, { on, ledger }: { on: Stage; ledger: boolean }): Stage {
  if (!answer.on) return floor;
  if (!isStage(answer.variant)) return higherOf(floor, on);
  return ledger ? floor : higherOf(floor, answer.variant);
}
