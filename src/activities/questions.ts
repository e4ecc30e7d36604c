import type { RunRef } from '../messages/index.ts';
import type { Condition, Kind, Window } from '../plan/index.ts';
import { awaitConditions, readCondition } from './conditions.ts';
import { type Judgement, type JudgeInput, judge } from './decide.ts';
import type { Deps } from './deps.ts';
import { watchGuards } from './guard.ts';
import { hidingRun } from './masking.ts';
import { asActivity } from './run-effect.ts';
import { nextOpening } from './window.ts';

/** How often preconditions and exit criteria are looked at while they don't hold. */
const CONDITIONS_EVERY_MS = 2_000;

export interface Opening {
  open: boolean;
  /** When that changes, in milliseconds since the epoch; null: never. */
  changesAtMs: number | null;
  why: string;
}

/** What the workflow asks because time zones, people's roles and the state of the world are not its own to know. */
export function createQuestions(deps: Deps) {
  return {
    async judge(input: JudgeInput): Promise<Judgement> {
      return judge(deps.approvers, input);
    },

    async nextOpening(input: { windows: Window[]; kind: Kind; nowMs: number }): Promise<Opening> {
      const { open, changesAt, why } = nextOpening(input.windows, input.kind, new Date(input.nowMs));
      return { open, changesAtMs: changesAt === null ? null : Date.parse(changesAt), why };
    },

    awaitConditions: (input: {
      run: RunRef;
      key: string;
      phase: string;
      conditions: Condition[];
      deadlineMs: number;
    }): Promise<void> =>
      asActivity(deps, { run: input.run, phase: input.phase, step: input.key }, async (context) => {
        const { deadlineMs } = input;
        await hidingRun(deps, input.run, () =>
          awaitConditions(input.conditions, { mode: 'until', everyMs: CONDITIONS_EVERY_MS, deadlineMs }, context),
        );
      }),

    readCondition: (input: {
      run: RunRef;
      key: string;
      phase: string;
      condition: Condition;
    }): Promise<{ holds: boolean; reason: string }> =>
      asActivity(deps, { run: input.run, phase: input.phase, step: input.key }, async (context) => {
        const { holds, reason } = await hidingRun(deps, input.run, () => readCondition(input.condition, context));
        return { holds, reason };
      }),

    watchGuards: (input: { run: RunRef; key: string; phase: string; guards: Condition[] }): Promise<void> =>
      asActivity(deps, { run: input.run, phase: input.phase, step: input.key }, (context) =>
        hidingRun(deps, input.run, () => watchGuards(input.guards, context)),
      ),
  };
}
