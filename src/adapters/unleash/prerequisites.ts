import { demandOf, exposureOf, type FlagDependency, type FlagState } from './flag-state.ts';

/** A flag that another one depends on, with its state in the environment at hand. */
export interface Prerequisite extends FlagDependency {
  parent: FlagState;
}

/**
 * Why nobody sees a flag, whatever its own state: clients ask each flag that it depends on first, and one that is
 * missing counts as not met whatever is asked of it (unleash-client 6, `isParentDependencySatisfied`). Empty where
 * somebody can see it.
 */
export const keptOffBy = (flag: string, environment: string, prerequisites: readonly Prerequisite[]): string[] =>
  prerequisites.flatMap((prerequisite) => {
    const why = unmet(prerequisite, environment);
    const asked = prerequisite.enabled && prerequisite.variants.length === 0 ? '' : ` being ${demandOf(prerequisite)}`;
    return why === null ? [] : [`flag "${flag}" depends on "${prerequisite.feature}"${asked}, which ${why}`];
  });

function unmet({ enabled, variants, parent }: Prerequisite, environment: string): string | null {
  if (!parent.exists) return 'does not exist';
  if (parent.archived) return 'is archived';
  if ((parent.dependencies ?? []).length > 0) return 'depends on another flag itself, which clients do not follow';
  const exposure = exposureOf(parent);
  if (!enabled) return exposure === 100 && isOpen(parent) ? `is on for everybody in environment ${environment}` : null;
  if (!parent.enabled) return `is off in environment ${environment}`;
  if (exposure === 0) return `lets nobody in, in environment ${environment}`;
  const given = variantsOf(parent);
  return variants.length > 0 && !variants.some((variant) => given.includes(variant))
    ? `gives ${given.length === 0 ? 'no variant' : `only ${given.join(', ')}`} in environment ${environment}`
    : null;
}

/** Of whom only some are let in by a flag that this one depends on, in words; null where all are. */
export function narrowedBy(flag: string, prerequisites: readonly Prerequisite[]): string | null {
  const some = prerequisites.flatMap(({ feature, enabled, parent }) => {
    const exposure = exposureOf(parent);
    return enabled && exposure < 100 ? [`"${feature}" (${exposure} %)`] : [];
  });
  return some.length === 0 ? null : `flag ${flag} is seen only by whom ${some.join(' and ')} lets in too`;
}

const active = (state: FlagState) => state.strategies.filter((strategy) => !strategy.disabled);

/** Whether one of its strategies lets everybody in; constraints and segments choose whom. */
const isOpen = (state: FlagState): boolean =>
  active(state).length === 0 ||
  active(state).some(
    ({ name, constraints, segments, parameters }) =>
      constraints.length === 0 &&
      segments.length === 0 &&
      (name === 'default' || (name === 'flexibleRollout' && parameters['rollout'] === '100')),
  );

const variantsOf = (state: FlagState): string[] => [
  ...new Set(
    [...state.variants, ...active(state).flatMap(({ variants }) => variants)].flatMap((variant) => {
      const { name } = variant as { name?: unknown };
      return typeof name === 'string' ? [name] : [];
    }),
  ),
];
