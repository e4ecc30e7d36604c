import { type Draft, type DraftStep, stepsOf } from '../draft.ts';
import { type Finding, invalid, type Path } from '../finding.ts';
import { areAdjacent, type Stage, STAGES } from '../stages.ts';
import { byId, needsClosure } from './names.ts';

/** A place in the plan that brings a flag's path to a stage. */
interface Change {
  flag: string;
  stage: Stage;
  path: Path;
  step: DraftStep;
}

/**
 * Stages of one flag, in the order in which they come: each must be next to the one before. The first must be next to
 * what the ledger says, which only a live check can see.
 */
export function stageFindings(draft: Draft): Finding[] {
  const steps = draft.phases.flatMap(({ steps: inPhase }) => inOrder(inPhase));
  const changes = steps.flatMap(changesOf);
  const flags = new Set(changes.map(({ flag }) => flag));
  return [
    ...[...flags].flatMap((flag) => jumps(changes.filter((change) => change.flag === flag))),
    ...draft.phases.flatMap((phase) => unordered(phase.steps)),
    ...stepsOf(draft).flatMap(withoutStages),
  ];
}

function changesOf(step: DraftStep): Change[] {
  const flag = step.step;
  if (flag?.uses === 'flag' && flag.stage !== undefined)
    return [{ flag: flag.flag, stage: flag.stage, path: [...step.path, 'stage'], step }];
  if (flag?.uses !== 'rollout') return [];
  return flag.ramp.flatMap(({ stage }, i) =>
    stage === undefined ? [] : [{ flag: flag.flag, stage, path: [...step.path, 'ramp', i, 'stage'], step }],
  );
}

function jumps(changes: readonly Change[]): Finding[] {
  return changes.flatMap(({ flag, stage, path }, i) => {
    const before = changes[i - 1]?.stage;
    if (before === undefined || areAdjacent(before, stage)) return [];
    return [
      invalid(path, `flag "${flag}" can't go from stage "${before}" to "${stage}": only from one stage to the next`, {
        allowed: STAGES.filter((one) => one !== before && areAdjacent(one, before)).join(', '),
      }),
    ];
  });
}

/** Two steps of a phase that may run at once would move one path at once. */
function unordered(steps: readonly DraftStep[]): Finding[] {
  const here = byId(steps);
  const moving = steps.flatMap((step) => changesOf(step).slice(0, 1));
  return moving.flatMap(({ flag, path, step }, i) => {
    const other = moving.slice(0, i).find((one) => one.flag === flag && !areOrdered(one.step, step, here))?.step.id;
    if (other == null) return [];
    return [
      invalid(
        path,
        `step "${other}" changes the stage of the same flag and may run at the same time; add \`needs: [${other}]\``,
      ),
    ];
  });
}

const areOrdered = (one: DraftStep, other: DraftStep, here: ReadonlyMap<string, DraftStep>): boolean =>
  (one.id !== null && needsClosure(other, here).has(one.id)) ||
  (other.id !== null && needsClosure(one, here).has(other.id));

/** The steps of a phase as their needs let them run, otherwise as they stand. */
function inOrder(steps: readonly DraftStep[]): DraftStep[] {
  const here = byId(steps);
  const depth = (step: DraftStep): number => needsClosure(step, here).size;
  return steps.toSorted((a, b) => depth(a) - depth(b));
}

/** `of` keeps the way back from `complete` open; where no stage is changed there is none. */
function withoutStages(step: DraftStep): Finding[] {
  if (step.step === null || (step.uses !== 'flag' && step.uses !== 'rollout') || step.raw['of'] === undefined)
    return [];
  if (changesOf(step).length > 0) return [];
  return [
    invalid([...step.path, 'of'], '`of` goes with stages, and this step changes none; leave it out', { at: 'key' }),
  ];
}
