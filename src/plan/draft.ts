import type { z } from 'zod';
import { type Condition, CONDITION_SOURCES, condition } from './condition.ts';
import type { Path } from './finding.ts';
import { type ApprovalRule, PHASE_STEPS_MAX, PHASES_MAX, parts, type Service, type Window } from './plan.ts';
import { type Kind, type Step, stepKinds } from './steps/index.ts';
import { type Risk, risk } from './values.ts';

/**
 * The parts of a plan that could be read, each with its path. Rules look at a draft, so that one mistyped key in one
 * step doesn't hide what is wrong elsewhere: all problems are told at once. Phases and steps over the limits, which the
 * schema refuses, are left out, so that rules needn't be quick on a plan of any size.
 */
export interface Draft {
  raw: unknown;
  name: string | null;
  risk: Risk;
  requires: readonly { path: Path; name: string }[];
  /** Databases whose base state the plan names. */
  baseStates: readonly { path: Path; name: string }[];
  services: readonly { path: Path; name: string; service: Service }[];
  /** Names of all services, readable or not. */
  serviceNames: readonly string[];
  flagNames: readonly string[];
  /** Null where the policy can't be read; rules about it stay silent then. */
  approvals: readonly ApprovalRule[] | null;
  windows: readonly { path: Path; window: Window }[];
  phases: readonly DraftPhase[];
  /** The guards of the whole migration. */
  guards: readonly DraftCondition[];
}
export interface DraftPhase {
  path: Path;
  raw: Record<string, unknown>;
  index: number;
  name: string | null;
  risk: Risk | undefined;
  approval: 'before' | 'after' | null;
  steps: readonly DraftStep[];
  conditions: readonly DraftCondition[];
}
export interface DraftStep {
  path: Path;
  raw: Record<string, unknown>;
  phase: number;
  id: string | null;
  uses: string | null;
  needs: readonly { path: Path; name: string }[];
  /** The whole step, where its shape is right. */
  step: Step | null;
  conditions: readonly DraftCondition[];
}
export interface DraftCondition {
  path: Path;
  raw: Record<string, unknown>;
  /** Null where its shape is wrong. */
  condition: Condition | null;
}

type Mapping = Record<string, unknown>;
const mapping = (value: unknown): Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Mapping) : {};
const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const text = (value: unknown): string | null => (typeof value === 'string' ? value : null);
const parsed = <T extends z.ZodType>(schema: T, value: unknown): z.output<T> | null => {
  const result = schema.safeParse(value);
  return result.success ? result.data : null;
};

/** Reads what can be read of a plan of any shape. */
export function draftOf(raw: unknown): Draft {
  const spec = mapping(mapping(raw)['spec']);
  const policies = mapping(spec['policies']);
  const services = Object.entries(mapping(spec['services']));
  const approvals = list(policies['approvals']).map((rule) => parsed(parts.approvalRule, rule));
  return {
    raw,
    name: text(mapping(mapping(raw)['metadata'])['name']),
    risk: parsed(risk, spec['risk']) ?? 'moderate',
    requires: names(spec['requires'], ['spec', 'requires']),
    baseStates: Object.keys(mapping(spec['baseState'])).map((name) => ({ path: ['spec', 'baseState', name], name })),
    services: services.flatMap(([name, value]) => {
      const service = parsed(parts.service, value);
      return service === null ? [] : [{ path: ['spec', 'services', name], name, service }];
    }),
    serviceNames: services.map(([name]) => name),
    flagNames: Object.keys(mapping(spec['flags'])),
    approvals: approvals.every((rule) => rule !== null) ? approvals : null,
    windows: list(policies['windows']).flatMap((value, index) => {
      const window = parsed(parts.window, value);
      return window === null ? [] : [{ path: ['spec', 'policies', 'windows', index], window }];
    }),
    guards: conditions(spec['guards'], ['spec', 'guards']),
    phases: list(spec['phases'])
      .slice(0, PHASES_MAX)
      .map((value, index) => draftPhase(mapping(value), index)),
  };
}

function names(value: unknown, path: Path): { path: Path; name: string }[] {
  return list(value).flatMap((name, index) => (typeof name === 'string' ? [{ path: [...path, index], name }] : []));
}

function draftPhase(raw: Mapping, index: number): DraftPhase {
  const path = ['spec', 'phases', index];
  const approval = raw['approval'];
  return {
    path,
    raw,
    index,
    name: text(raw['name']),
    risk: parsed(risk, raw['risk']) ?? undefined,
    approval: approval === 'before' || approval === 'after' ? approval : null,
    steps: list(raw['steps'])
      .slice(0, PHASE_STEPS_MAX)
      .map((value, step) => draftStep(mapping(value), [...path, 'steps', step], index)),
    conditions: ['preconditions', 'exitCriteria', 'guards'].flatMap((key) => conditions(raw[key], [...path, key])),
  };
}

function draftStep(raw: Mapping, path: Path, phase: number): DraftStep {
  const uses = text(raw['uses']);
  const schema = uses !== null && Object.hasOwn(stepKinds, uses) ? stepKinds[uses as Kind] : null;
  const own = Object.fromEntries(
    ['name', ...CONDITION_SOURCES].flatMap((key) => (key in raw ? [[key, raw[key]]] : [])),
  );
  return {
    path,
    raw,
    phase,
    id: text(raw['id']),
    uses,
    needs: names(raw['needs'], [...path, 'needs']),
    step: schema === null ? null : parsed<z.ZodType<Step>>(schema, raw),
    conditions: [
      ...('when' in raw ? conditions([raw['when']], path).map((found) => ({ ...found, path: [...path, 'when'] })) : []),
      ...conditions(raw['guards'], [...path, 'guards']),
      ...(uses === 'check' ? [{ path, raw: own, condition: parsed(condition, own) }] : []),
    ],
  };
}

const conditions = (value: unknown, path: Path): DraftCondition[] =>
  list(value).map((raw, index) => ({ path: [...path, index], raw: mapping(raw), condition: parsed(condition, raw) }));

/** All conditions of a plan, wherever they stand. */
export const conditionsOf = (draft: Draft): DraftCondition[] => [
  ...draft.guards,
  ...draft.phases.flatMap((phase) => [...phase.conditions, ...phase.steps.flatMap((step) => step.conditions)]),
];

export const stepsOf = (draft: Draft): DraftStep[] => draft.phases.flatMap((phase) => [...phase.steps]);
