/**
 * The state of a flag in one environment, whole: what is captured before the first change, what a change makes of it,
 * and how two states differ. Pure; `unleash.ts` reads and writes them.
 */
export interface FlagStrategy {
  /** Null in a wanted state: a strategy that Unleash has yet to create. */
  id: string | null;
  name: string;
  title: string;
  disabled: boolean;
  sortOrder: number;
  constraints: unknown[];
  /** Unleash keeps all parameters as strings, the percentage too. */
  parameters: Record<string, string>;
  segments: number[];
  variants: unknown[];
}
/** A flag that decides, with its own state in the same environment, whether the one that depends on it is seen. */
export interface FlagDependency {
  feature: string;
  /** Whether it must be on, or off. */
  enabled: boolean;
  /** Where it must be on: the variants of which it must give one; empty where any will do. */
  variants: string[];
}
export interface OtherEnvironment {
  environment: string;
  enabled: boolean;
  /** How many strategies it has. */
  strategies: number;
}
export interface FlagState {
  exists: boolean;
  archived: boolean;
  enabled: boolean;
  strategies: FlagStrategy[];
  /** Variants of the environment itself; Unleash deprecates them in favour of those of strategies. */
  variants: unknown[];
  /** Other environments in which the flag is on or has strategies. Noticed, never changed and not compared. */
  elsewhere: OtherEnvironment[];
  /** What it depends on. Compared and never changed; missing in what earlier versions of Switchback captured. */
  dependencies?: FlagDependency[];
  /** Flags that depend on this one. Not compared; a flag that has some is not deleted or archived. */
  children?: string[];
  /** Tells a flag that we have just created from one that somebody else created at that moment. Not compared. */
  description?: string;
}
/** What tells our strategy from the others, and how it spreads users. */
export interface OurStrategy {
  title: string;
  groupId: string;
  stickiness: string;
}

export const ABSENT: FlagState = {
  exists: false,
  archived: false,
  enabled: false,
  strategies: [],
  variants: [],
  elsewhere: [],
  dependencies: [],
};

/**
 * Exposes `percent` (0 to 100) of the users and nobody else: our strategy is the only active one. The others are
 * disabled, not deleted, so that they come back under their own ids.
 */
export function withPercent(state: FlagState, percent: number, our: OurStrategy): FlagState {
  return withOurs(state, our, (strategy) => ({
    ...strategy,
    parameters: { ...strategy.parameters, rollout: String(percent) },
  }));
}

/** As `withPercent`; who sees the flag gets the variant `name`. */
export function withVariant(state: FlagState, variant: { name: string; percent: number }, our: OurStrategy): FlagState {
  return withOurs(state, our, (strategy) => ({
    ...strategy,
    parameters: { ...strategy.parameters, rollout: String(variant.percent) },
    variants: [{ name: variant.name, weight: 1000, weightType: 'variable', stickiness: our.stickiness }],
  }));
}

/** Turns the environment on or off; its strategies stay. Where none is active, ours lets everybody in. */
export function withEnabled(state: FlagState, enabled: boolean, our: OurStrategy): FlagState {
  if (!enabled) return { ...state, exists: true, archived: false, enabled: false };
  if (!state.strategies.some((strategy) => !strategy.disabled)) return withPercent(state, 100, our);
  return { ...state, exists: true, archived: false, enabled: true };
}

/**
 * Percent of the users that a client's copy of the flag lets onto the new path: 0 where it is off, archived or missing;
 * else the percentage of the one active strategy, where that is a gradual rollout; else 100, since several strategies,
 * or one of another kind, let in whom they name and no share can be said. Services count their copy by the same rule
 * (`src/switch`), so that the two figures can be compared.
 */
export function exposureOf(state: FlagState): number {
  if (!state.exists || state.archived || !state.enabled) return 0;
  const [only, ...others] = state.strategies.filter((strategy) => !strategy.disabled);
  if (only?.name !== 'flexibleRollout' || others.length > 0) return 100;
  const percent = Number(only.parameters['rollout'] ?? '100');
  return Number.isInteger(percent) && percent >= 0 && percent <= 100 ? percent : 100;
}

function withOurs(state: FlagState, our: OurStrategy, change: (strategy: FlagStrategy) => FlagStrategy): FlagState {
  const isOurs = (strategy: FlagStrategy) => strategy.title === our.title && strategy.name === 'flexibleRollout';
  const others = state.strategies.filter((strategy) => !isOurs(strategy));
  const found = state.strategies.find(isOurs);
  const base: FlagStrategy = found ?? {
    id: null,
    name: 'flexibleRollout',
    title: our.title,
    disabled: false,
    sortOrder: Math.max(-1, ...others.map((strategy) => strategy.sortOrder)) + 1,
    constraints: [],
    parameters: {},
    segments: [],
    variants: [],
  };
  const ours = change({
    ...base,
    disabled: false,
    parameters: { ...base.parameters, groupId: our.groupId, stickiness: our.stickiness },
  });
  return {
    ...state,
    exists: true,
    archived: false,
    enabled: true,
    strategies: [...others.map((strategy) => ({ ...strategy, disabled: true })), ours],
  };
}

/** Says in words how `actual` differs from `expected`; empty where it doesn't. Values that may name users stay out. */
export function differences(expected: FlagState, actual: FlagState): string[] {
  if (expected.exists !== actual.exists) return [actual.exists ? 'the flag exists' : 'the flag does not exist'];
  if (!expected.exists) return [];
  const found: string[] = [];
  if (expected.archived !== actual.archived) found.push(actual.archived ? 'it is archived' : 'it is not archived');
  if (expected.enabled !== actual.enabled) found.push(actual.enabled ? 'it is on, not off' : 'it is off, not on');
  const { pairs, missing, extra } = pairStrategies(expected.strategies, actual.strategies);
  for (const strategy of missing) found.push(`strategy ${labelOf(strategy)} is missing`);
  for (const strategy of extra) found.push(`strategy ${labelOf(strategy)} was added`);
  for (const [wanted, is] of pairs) found.push(...strategyDifferences(wanted, is));
  if (!sameJson(expected.variants, actual.variants)) found.push('its variants differ');
  return [...found, ...dependencyDifferences(expected.dependencies, actual.dependencies)];
}

function dependencyDifferences(expected: FlagState['dependencies'], actual: FlagState['dependencies']): string[] {
  if (expected === undefined || actual === undefined) return [];
  const of = (list: FlagDependency[], feature: string) => list.find((dependency) => dependency.feature === feature);
  return [
    ...expected
      .filter(({ feature }) => of(actual, feature) === undefined)
      .map(({ feature }) => `it no longer depends on flag "${feature}"`),
    ...actual.flatMap((is) => {
      const was = of(expected, is.feature);
      if (sameJson(was, is)) return [];
      const now = `flag "${is.feature}" being ${demandOf(is)}`;
      return [was === undefined ? `it depends on ${now}` : `it depends on ${now}, not ${demandOf(was)}`];
    }),
  ];
}

/** What a dependency asks of the flag that it names: `on`, `off`, `on with variant a or b`. */
export const demandOf = ({ enabled, variants }: FlagDependency): string =>
  !enabled ? 'off' : variants.length === 0 ? 'on' : `on with variant ${variants.join(' or ')}`;

/**
 * Whether `actual` can be what a change from `from` to `to` left when it was cut short: made of parts of the two and
 * of nothing else. Anything else was done by somebody else.
 */
export function isBetween(from: FlagState, to: FlagState, actual: FlagState): boolean {
  if (!actual.exists) return !from.exists || !to.exists;
  const ends = [from, to].filter((state) => state.exists);
  // A flag that was created, or is about to be deleted, exists for a moment without being on or having strategies.
  const bare =
    actual.strategies.length === 0 &&
    actual.variants.length === 0 &&
    !actual.enabled &&
    (actual.dependencies ?? []).length === 0;
  if (ends.length < 2 && bare) return true;
  const revived = ends.some((state) => state.archived);
  return (
    (ends.some((state) => state.archived === actual.archived) || (ends.length < 2 && actual.archived)) &&
    (ends.some((state) => state.enabled === actual.enabled) || ((revived || ends.length < 2) && !actual.enabled)) &&
    ends.some((state) => dependencyDifferences(state.dependencies, actual.dependencies).length === 0) &&
    (actual.variants.length === 0 || ends.some((state) => sameJson(state.variants, actual.variants))) &&
    actual.strategies.every((strategy) =>
      ends.some((state) => state.strategies.some((known) => strategyDifferences(known, strategy).length === 0)),
    )
  );
}

/** Finds for each wanted strategy the one that is there: by id, or for a new one by title and name. */
export function pairStrategies(
  wanted: readonly FlagStrategy[],
  actual: readonly FlagStrategy[],
): { pairs: [FlagStrategy, FlagStrategy][]; missing: FlagStrategy[]; extra: FlagStrategy[] } {
  const left = new Set(actual);
  const pairs: [FlagStrategy, FlagStrategy][] = [];
  let missing = [...wanted];
  const rules: ((a: FlagStrategy, b: FlagStrategy) => boolean)[] = [
    (a, b) => a.id !== null && a.id === b.id,
    (a, b) => strategyDifferences(a, b).length === 0,
    (a, b) => a.id === null && a.title === b.title && a.name === b.name,
  ];
  for (const matches of rules) {
    missing = missing.filter((strategy) => {
      const match = [...left].find((candidate) => matches(strategy, candidate));
      if (match === undefined) return true;
      left.delete(match);
      pairs.push([strategy, match]);
      return false;
    });
  }
  return { pairs, missing, extra: [...left] };
}

export function strategyDifferences(wanted: FlagStrategy, actual: FlagStrategy): string[] {
  const label = labelOf(wanted);
  const found: string[] = [];
  if (wanted.disabled !== actual.disabled) found.push(`strategy ${label} is ${actual.disabled ? '' : 'not '}disabled`);
  const [percentWanted, percentIs] = [wanted.parameters['rollout'], actual.parameters['rollout']];
  if (percentWanted !== percentIs) {
    found.push(`strategy ${label} lets in ${percentIs ?? 'no stated'} %, not ${percentWanted ?? 'no stated'} %`);
  }
  for (const part of ['name', 'title', 'sortOrder', 'constraints', 'segments', 'variants'] as const) {
    if (!sameJson(wanted[part], actual[part])) found.push(`strategy ${label} has other ${part}`);
  }
  const rest = (parameters: Record<string, string>) => ({ ...parameters, rollout: null });
  if (!sameJson(rest(wanted.parameters), rest(actual.parameters))) found.push(`strategy ${label} has other parameters`);
  return found;
}

const labelOf = (strategy: FlagStrategy): string =>
  strategy.title === '' ? strategy.name : `"${strategy.title}" (${strategy.name})`;

/** Whether two values are the same JSON, whatever the order of their keys. */
export const sameJson = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);

/** JSON with sorted keys, so that two equal values have one text. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
