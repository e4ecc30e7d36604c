import { type StagePlace, type StageRow, Stages } from '../adapters/postgres/stages.ts';
import { areAdjacent, type Plan, type Stage } from '../plan/index.ts';
import type { Deps } from './deps.ts';
import { flagRefOf } from './flag-change.ts';
import { type LiveView, placedSteps } from './live-look.ts';

/** The first stage that a plan brings a path to must be next to the one where it is, which only the home ledger knows. */
export async function lookAtStages({ home }: Deps, { plan, found }: LiveView): Promise<void> {
  for (const { flag, stage } of firstStages(plan)) {
    const { environment } = flagRefOf(flag, plan.spec.flags[flag], plan.metadata.name);
    const row = await rowOf(home.database, { environment, flag });
    const at = row?.stage ?? 'off';
    // A run of this plan has been on its way: where it stands is its own business.
    if (areAdjacent(at, stage) || row?.migration === plan.metadata.name) {
      found.notes.push(`the path of flag ${flag} is at stage ${at}`);
      continue;
    }
    const by = row === null ? '' : `, where migration "${row.migration}" left it`;
    found.problems.push(
      `the path of flag "${flag}" in ${environment} is at stage "${at}"${by}, and the plan's first one, "${stage}", isn't next to it`,
    );
  }
}

async function rowOf(database: Deps['home']['database'], place: StagePlace): Promise<StageRow | null> {
  const [ledger] = await database.query("SELECT to_regclass('switchback.stages') IS NOT NULL AS there");
  return ledger?.['there'] === 't' ? new Stages(database).read(place) : null;
}

/** Of each flag the first stage, as the steps stand in the plan. */
function firstStages(plan: Plan): { flag: string; stage: Stage }[] {
  const stages = placedSteps(plan).flatMap(({ step }) => {
    if (step.uses === 'flag') return step.stage === undefined ? [] : [{ flag: step.flag, stage: step.stage }];
    if (step.uses !== 'rollout') return [];
    return step.ramp.flatMap(({ stage }) => (stage === undefined ? [] : [{ flag: step.flag, stage }]));
  });
  return stages.filter(({ flag }, i) => stages.findIndex((one) => one.flag === flag) === i);
}
