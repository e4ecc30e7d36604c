import type { Gate, Phase } from '../../plan/index.ts';
import type { BlueprintInput } from './blueprint-input.ts';
import { conditionWords, stepSentence } from './step-words.ts';

/** A phase told in sentences, in the order in which things happen. */
export interface PhaseStory {
  heading: string;
  sentences: string[];
}

export function narrativeOf(input: BlueprintInput): PhaseStory[] {
  return input.plan.spec.phases.map((phase, at) => ({
    heading: `${at + 1}. ${phase.name} (risk: ${input.risks[phase.name] ?? input.plan.spec.risk})`,
    sentences: [...beforeSteps(phase, input), ...steps(phase, input), ...afterSteps(phase, input)],
  }));
}

/** What a run is about before the first phase. */
export function openingOf({ plan, live }: BlueprintInput): string[] {
  const { metadata, spec } = plan;
  const services = Object.keys(spec.services);
  return [
    `${spec.summary}.`.replace(/\.\.$/, '.'),
    `Version ${metadata.version}, owned by ${metadata.owner}${services.length === 0 ? '' : `, across ${services.join(', ')}`}.`,
    ...(spec.requires.length === 0 ? [] : [`It starts when ${spec.requires.join(', ')} have completed.`]),
    ...spec.policies.windows.map((window) => {
      const which = window.applies === undefined ? 'Every step' : `Steps of kind ${window.applies.join(', ')}`;
      return 'allow' in window
        ? `${which} ${window.applies === undefined ? 'runs' : 'run'} only in a window of ${window.duration}: ${window.allow.replaceAll('\n', ' ')}.`
        : `${which} ${window.applies === undefined ? 'rests' : 'rest'} during ${window.deny}, from ${window.from} to ${window.to}${window.timezone === undefined ? '' : ` (${window.timezone})`}.`;
    }),
    ...spec.guards.map(
      (guard) =>
        `From the first step to the end “${guard.name}” must hold (${conditionWords(guard)}); if not, users are taken off every new path, and ${spec.onBreach === 'hold' ? 'all is held' : 'everything is rolled back'}.`,
    ),
    'skipped' in live
      ? `The live databases were not looked at: ${live.skipped}. Locks and sizes are therefore not in it.`
      : 'Locks, sizes and the way back are by the live catalogs, as the steps before will have made them.',
  ];
}

function beforeSteps(phase: Phase, { gates, plan }: BlueprintInput): string[] {
  return [
    ...gates.filter(({ gate }) => gate === `${phase.name}/before`).map(gateSentence),
    ...phase.preconditions.map((condition) => `It begins once ${named(condition)}.`),
    ...phase.guards.map(
      (guard) =>
        `All the while “${guard.name}” must hold (${conditionWords(guard)}); if not, users are taken off every new path, and ${plan.spec.onBreach === 'hold' ? 'all is held' : 'everything is rolled back'}.`,
    ),
  ];
}

const named = (condition: Phase['preconditions'][number]): string =>
  `“${condition.name}” holds (${conditionWords(condition)})`;

function steps(phase: Phase, input: BlueprintInput): string[] {
  return phase.steps.map((step) => {
    const gate = input.gates.find((one) => one.step === step.id);
    const after = step.needs.length === 0 ? '' : ` after ${step.needs.join(', ')}`;
    const skipped = step.when === undefined ? '' : `, if ${named({ ...step.when })}`;
    return gate === undefined
      ? `Step ${step.id}${after}${skipped} ${stepSentence(step, input)}.`
      : `Step ${step.id}${after}: ${gateSentence(gate)}`;
  });
}

function afterSteps(phase: Phase, { gates }: BlueprintInput): string[] {
  return [
    ...phase.exitCriteria.map((condition) => `It ends once ${named(condition)}.`),
    ...(phase.soak === undefined ? [] : [`Then it soaks for ${phase.soak}.`]),
    ...gates.filter(({ gate }) => gate === `${phase.name}/after`).map(gateSentence),
  ];
}

function gateSentence({ gate, roles, min, notRequester, expiresAfter }: Gate): string {
  const who = roles.length === 0 ? 'anyone' : roles.join(' or ');
  return [
    `Gate ${gate} waits for ${min === 1 ? 'one approval' : `${min} approvals`} by ${who}`,
    ...(notRequester ? ['not by whoever asked for the migration'] : []),
    ...(expiresAfter === null ? [] : [`held after ${expiresAfter} without one`]),
  ]
    .join(', ')
    .concat('.');
}
