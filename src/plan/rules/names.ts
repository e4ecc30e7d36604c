import { type Draft, type DraftStep, stepsOf } from '../draft.ts';
import { type Finding, invalid, type Path, pathText } from '../finding.ts';
import { gateName } from '../gates.ts';
import { nearest } from '../nearest.ts';
import { PLAN_STEPS_MAX } from '../plan.ts';

/** Names that must be there once, and names that must not be one's own. */
export function nameFindings(draft: Draft): Finding[] {
  const steps = stepsOf(draft);
  return [
    ...twice(
      draft.phases.flatMap(({ name, path }) => (name === null ? [] : [{ name, path: [...path, 'name'] }])),
      'phase',
    ),
    ...twice(
      steps.flatMap(({ id, path }) => (id === null ? [] : [{ name: id, path: [...path, 'id'] }])),
      'step id',
    ),
    ...twice(gatesWithPaths(draft), 'gate'),
    ...windowGateFindings(draft),
    ...guardFindings(draft),
    ...requireFindings(draft),
    ...baseStateFindings(draft),
    ...(steps.length > PLAN_STEPS_MAX
      ? [invalid(['spec', 'phases'], `${steps.length} steps are more than a plan may have (${PLAN_STEPS_MAX})`)]
      : []),
  ];
}

function twice(named: readonly { name: string; path: Path }[], what: string): Finding[] {
  const first = new Map<string, Path>();
  return named.flatMap(({ name, path }) => {
    const before = first.get(name);
    if (before === undefined) {
      first.set(name, path);
      return [];
    }
    return [
      invalid(path, `${what} "${name}" is there already, at ${pathText(before)}; each must be unique in the plan`),
    ];
  });
}

function gatesWithPaths(draft: Draft): { name: string; path: Path }[] {
  return draft.phases.flatMap((phase) => {
    const { name } = phase;
    if (name === null) return [];
    const round =
      phase.approval === null ? [] : [{ name: gateName(name, phase.approval), path: [...phase.path, 'approval'] }];
    const inside = phase.steps.flatMap((step) => {
      if (step.uses !== 'approval') return [];
      const gate = step.raw['gate'] ?? step.id;
      const key = step.raw['gate'] === undefined ? 'id' : 'gate';
      return typeof gate === 'string' ? [{ name: gateName(name, gate), path: [...step.path, key] }] : [];
    });
    return [...round, ...inside];
  });
}

/** Both would be told, and held, as `<name>/guards`. */
const guardFindings = (draft: Draft): Finding[] =>
  draft.phases.flatMap(({ name, raw, steps }) =>
    isFilled(raw['guards'])
      ? steps
          .filter((step) => step.id === name && isFilled(step.raw['guards']))
          .map((step) =>
            invalid(
              [...step.path, 'id'],
              `step "${step.id}" and its phase of the same name both have guards; give one of them another name`,
            ),
          )
      : [],
  );
const isFilled = (value: unknown): boolean => Array.isArray(value) && value.length > 0;

/** `<phase>/window` lets a phase go outside of its windows: a gate of the plan's own would be taken for it. */
const windowGateFindings = (draft: Draft): Finding[] =>
  draft.windows.length === 0
    ? []
    : gatesWithPaths(draft)
        .filter(({ name }) => name.endsWith('/window'))
        .map(({ name, path }) =>
          invalid(path, `gate "${name}" is the one that overrides windows, which this plan has; give it another name`),
        );

function requireFindings(draft: Draft): Finding[] {
  const own = draft.requires
    .filter(({ name }) => name === draft.name)
    .map(({ path, name }) => invalid(path, `"${name}" is this migration itself; it can't wait for its own end`));
  return [...own, ...twice(draft.requires, 'migration')];
}

/** A base state of a database that the plan doesn't act on would be compared with a database that nobody meant. */
function baseStateFindings(draft: Draft): Finding[] {
  const known = [...new Set(stepsOf(draft).flatMap((step) => databasesIn(step.raw)))];
  return draft.baseStates
    .filter(({ name }) => !known.includes(name))
    .map(({ path, name }) => unknownName(path, `no step of the plan acts on database "${name}"`, name, known, 'key'));
}

/** The databases that a step names, itself or in one of its sides (`from`, `to`, `left`, `right`). */
const databasesIn = (raw: Readonly<Record<string, unknown>>): string[] =>
  [raw, raw['from'], raw['to'], raw['left'], raw['right']].flatMap((part) => {
    const name = typeof part === 'object' && part !== null && 'database' in part ? part.database : null;
    return typeof name === 'string' ? [name] : [];
  });

/** "Did you mean" for a name that isn't known. */
export function unknownName(
  path: Path,
  message: string,
  name: string,
  known: readonly string[],
  at: 'key' | 'value' = 'value',
): Finding {
  const didYouMean = nearest(name, known);
  return invalid(path, message, {
    ...(at === 'key' && { at }),
    ...(didYouMean !== undefined && { didYouMean }),
    ...(known.length > 0 && known.length <= 30 && { allowed: known.join(', ') }),
  });
}

/** The ids that a step stands on, directly or through others, in its own phase. */
export function needsClosure(step: DraftStep, inPhase: ReadonlyMap<string, DraftStep>): Set<string> {
  const closure = new Set<string>();
  const open = [step];
  for (let current = open.pop(); current !== undefined; current = open.pop()) {
    for (const { name } of current.needs) {
      if (closure.has(name)) continue;
      closure.add(name);
      const next = inPhase.get(name);
      if (next !== undefined) open.push(next);
    }
  }
  return closure;
}

/** Steps by id; of several with the same id, the first. */
export function byId(steps: readonly DraftStep[]): Map<string, DraftStep> {
  const found = new Map<string, DraftStep>();
  for (const step of steps) {
    if (step.id !== null && !found.has(step.id)) found.set(step.id, step);
  }
  return found;
}
