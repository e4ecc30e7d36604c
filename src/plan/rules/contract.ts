import semver from 'semver';
import { type Draft, type DraftStep, stepsOf } from '../draft.ts';
import { type Finding, invalid, type Path } from '../finding.ts';
import type { StepOf } from '../steps/index.ts';
import { byId, needsClosure, unknownName } from './names.ts';

/** What goes out of use and away: in the right order, behind an approval, and while nobody is promised it any more. */
export function contractFindings(draft: Draft): Finding[] {
  return stepsOf(draft).flatMap((at) => {
    switch (at.step?.uses) {
      case 'deprecate':
        return [...deprecationFindings(draft, at, at.step)];
      case 'retire':
        return twice(draft, at, 'retired');
      case 'drop':
        return [
          ...twice(draft, at, 'dropped'),
          ...retiredFindings(draft, at, at.step),
          ...approvalFindings(draft, at),
          ...matrixFindings(draft, at),
        ];
      default:
        return [];
    }
  });
}

/** The steps that are done for sure when this one begins: those of earlier phases, and what it needs. */
function stepsBefore(draft: Draft, at: DraftStep): DraftStep[] {
  const needed = needsClosure(at, byId(draft.phases[at.phase]?.steps ?? []));
  return stepsOf(draft).filter(
    (step) => step.phase < at.phase || (step.phase === at.phase && step.id !== null && needed.has(step.id)),
  );
}

const targetOf = ({ database, schema, table, column }: StepOf<'retire'> | StepOf<'drop'>): string =>
  JSON.stringify([database, schema, column ?? null, table ?? null]);
const pathOf = ({ path, step }: DraftStep): Path => [
  ...path,
  step !== null && 'table' in step && step.table !== undefined ? 'table' : 'column',
];

/** The second step that does the same to the same thing would find it gone. */
function twice(draft: Draft, at: DraftStep, word: string): Finding[] {
  const same = stepsOf(draft).find(
    ({ step }) =>
      (step?.uses === 'retire' || step?.uses === 'drop') &&
      step.uses === at.step?.uses &&
      targetOf(step) === targetOf(at.step),
  );
  return same === undefined || same.id === at.id
    ? []
    : [invalid(pathOf(at), `it is ${word} by step "${same.id ?? ''}" already`)];
}

function retiredFindings(draft: Draft, at: DraftStep, step: StepOf<'drop'>): Finding[] {
  const isRetire = (one: DraftStep): boolean => one.step?.uses === 'retire' && targetOf(one.step) === targetOf(step);
  if (stepsBefore(draft, at).some(isRetire)) return [];
  const elsewhere = stepsOf(draft).find(isRetire);
  if (elsewhere === undefined) {
    return [invalid(pathOf(at), 'only what this plan has retired before is dropped: there is no `retire` step for it')];
  }
  const { id } = elsewhere;
  return [
    elsewhere.phase === at.phase
      ? invalid(pathOf(at), `step "${id}" retires it in the same phase and may not be done yet; add \`needs: [${id}]\``)
      : invalid(pathOf(at), `step "${id}" retires it in a later phase; it must be retired first`),
  ];
}

/** There is no way back: a person says so first, by the policy for high risk. */
function approvalFindings(draft: Draft, at: DraftStep): Finding[] {
  const phase = draft.phases[at.phase];
  if (phase === undefined || phase.approval === 'before') return [];
  const here = stepsBefore(draft, at).filter((step) => step.phase === at.phase);
  if (here.some(({ uses }) => uses === 'approval')) return [];
  return [
    invalid(
      [...at.path, 'uses'],
      'a drop has no way back, so people approve it first: `approval: before` of the phase, or an `approval` step that it needs',
    ),
  ];
}

function deprecationFindings(draft: Draft, at: DraftStep, step: StepOf<'deprecate'>): Finding[] {
  const early = Date.parse(step.sunset) < Date.parse(step.at);
  const words = `the sunset (${step.sunset}) is before the deprecation (${step.at})`;
  return [...(early ? [invalid([...at.path, 'sunset'], words)] : []), ...knownFindings(draft, at, step)];
}

/** A plan that says who provides what has the version that it deprecates. */
function knownFindings(draft: Draft, at: DraftStep, step: StepOf<'deprecate'>): Finding[] {
  const provided = providedBy(draft);
  // A service that can't be read may be the one that provides it.
  if (provided.size === 0 || draft.services.length !== draft.serviceNames.length) return [];
  const versions = provided.get(step.interface);
  if (versions === undefined) {
    const path = [...at.path, 'interface'];
    return [
      unknownName(path, `no service of this plan provides "${step.interface}"`, step.interface, [...provided.keys()]),
    ];
  }
  if (versions.includes(step.version)) return [];
  const path = [...at.path, 'version'];
  return [unknownName(path, `"${step.interface}" is not provided in version ${step.version}`, step.version, versions)];
}

function providedBy(draft: Draft): Map<string, string[]> {
  const provided = new Map<string, string[]>();
  for (const { service } of draft.services) {
    for (const [name, versions] of Object.entries(service.provides))
      provided.set(name, [...new Set([...(provided.get(name) ?? []), ...versions])]);
  }
  return provided;
}

/**
 * The compatibility matrix after the drop: the versions that were deprecated before it are gone, and each consumer's
 * declared range must be met by what remains.
 */
function matrixFindings(draft: Draft, at: DraftStep): Finding[] {
  const gone = new Map<string, Set<string>>();
  for (const { step } of stepsBefore(draft, at)) {
    if (step?.uses !== 'deprecate') continue;
    gone.set(step.interface, (gone.get(step.interface) ?? new Set()).add(step.version));
  }
  const provided = providedBy(draft);
  return [...gone].flatMap(([name, versions]) => {
    const all = provided.get(name);
    if (all === undefined) return [];
    const remaining = all.filter((version) => !versions.has(version) && semver.valid(version) !== null);
    return consumersOf(draft, name)
      .filter(
        ({ range }) => !remaining.some((version) => semver.satisfies(version, range, { includePrerelease: true })),
      )
      .map(({ service, range }) =>
        invalid(
          [...at.path, 'uses'],
          `service "${service}" consumes ${name} ${JSON.stringify(range)}, and after this drop there is ${remaining.length === 0 ? `no version of ${name}` : `only ${name} ${remaining.join(', ')}`}; "${service}" must be upgraded first`,
        ),
      );
  });
}

const consumersOf = (draft: Draft, name: string): { service: string; range: string }[] =>
  draft.services.flatMap(({ name: service, service: { consumes } }) => {
    const range = consumes[name];
    return range === undefined || semver.validRange(range) === null ? [] : [{ service, range }];
  });
