import { type Draft, type DraftStep, stepsOf } from '../draft.ts';
import { type Finding, invalid, type Path } from '../finding.ts';
import { type Kind, KINDS } from '../steps/index.ts';
import { byId, needsClosure, unknownName } from './names.ts';

type StepsById = ReadonlyMap<string, DraftStep>;

/** `needs` and `of`: what a step stands on must exist, come earlier, and not lead back to it. */
export function orderFindings(draft: Draft): Finding[] {
  const everywhere = byId(stepsOf(draft));
  return draft.phases.flatMap((phase) => {
    const here = byId(phase.steps);
    return [
      ...phase.steps.flatMap((step) => needFindings(step, here, draft, everywhere)),
      ...circleFindings(here),
      ...phase.steps.flatMap((step) => ofFindings(step, here, draft, everywhere)),
    ];
  });
}

const phaseName = (draft: Draft, step: DraftStep): string =>
  draft.phases[step.phase]?.name ?? `number ${step.phase + 1}`;

function needFindings(step: DraftStep, here: StepsById, draft: Draft, everywhere: StepsById): Finding[] {
  const seen = new Set<string>();
  return step.needs.flatMap(({ path, name }) => {
    if (name === step.id) return [invalid(path, `step "${name}" needs itself`)];
    if (seen.has(name)) return [invalid(path, `"${name}" is needed twice`)];
    seen.add(name);
    if (here.has(name)) return [];
    const elsewhere = everywhere.get(name);
    const others = [...here.keys()].filter((id) => id !== step.id);
    if (elsewhere === undefined) return [unknownName(path, `there is no step "${name}" in this phase`, name, others)];
    const which = phaseName(draft, elsewhere);
    return [
      elsewhere.phase < step.phase
        ? invalid(path, `step "${name}" is in phase "${which}", which is done by then; leave it out`)
        : invalid(path, `step "${name}" is in phase "${which}", which comes later; phases run in order`),
    ];
  });
}

/** Each circle of `needs` once, told at the step of it that comes first in the plan. */
function circleFindings(here: StepsById): Finding[] {
  const told = new Set<string>();
  return [...here.keys()].flatMap((id) => {
    if (told.has(id)) return [];
    const circle = circleFrom(id, (at) =>
      (here.get(at)?.needs ?? []).map(({ name }) => name).filter((name) => name !== at),
    );
    if (circle === null) return [];
    for (const member of circle) told.add(member);
    const step = here.get(id);
    const words = [...circle, id].map((name) => `"${name}"`).join(' → ');
    return step === undefined
      ? []
      : [invalid([...step.path, 'needs'], `the steps need each other in a circle: ${words}`)];
  });
}

/** The way from a node back to itself, or null. */
export function circleFrom(start: string, nextOf: (node: string) => readonly string[]): string[] | null {
  const came = new Map<string, string>();
  const open = [start];
  for (let at = open.shift(); at !== undefined; at = open.shift()) {
    for (const next of nextOf(at)) {
      if (next === start) {
        const way = [at];
        for (let back = came.get(at); back !== undefined; back = came.get(back)) way.push(back);
        return way.toReversed();
      }
      if (came.has(next)) continue;
      came.set(next, at);
      open.push(next);
    }
  }
  return null;
}

const STANDS_ON_A_DUAL_WRITE: readonly string[] = ['backfill', 'verify', 'flag', 'rollout'] satisfies Kind[];

/** `of` names a dual-write step that is done when this one begins. */
function ofFindings(step: DraftStep, here: StepsById, draft: Draft, everywhere: StepsById): Finding[] {
  const of = step.raw['of'];
  if (typeof of !== 'string' || !STANDS_ON_A_DUAL_WRITE.includes(step.uses ?? '')) return [];
  const path = [...step.path, 'of'];
  const target = everywhere.get(of);
  const dualWrites = [...everywhere.values()].flatMap(({ id, uses }) =>
    uses === 'dual-write' && id !== null ? [id] : [],
  );
  if (target === undefined) return [unknownName(path, `there is no step "${of}"`, of, dualWrites)];
  // A kind that isn't one is told where it stands; it may well be meant as `dual-write`.
  if (target.uses === null || !(KINDS as readonly string[]).includes(target.uses)) return [];
  if (target.uses !== 'dual-write') {
    return [unknownName(path, `step "${of}" is not a dual-write step (it is \`${target.uses}\`)`, of, dualWrites)];
  }
  if (target.phase > step.phase) {
    return [
      invalid(
        path,
        `step "${of}" is in phase "${phaseName(draft, target)}", which comes later; dual write comes first`,
      ),
    ];
  }
  if (target.phase === step.phase && !needsClosure(step, here).has(of)) {
    return [invalid(path, `step "${of}" is in the same phase and may not be done yet; add \`needs: [${of}]\``)];
  }
  if (step.uses === 'flag' || step.uses === 'rollout') return oneWayFindings(target, path, of);
  return target.raw['from'] === undefined ? [] : pairsFindings(step, of);
}

/** What is written on the new path alone comes back to the old one by `down`, or not at all. */
const oneWayFindings = (target: DraftStep, path: Path, of: string): Finding[] =>
  target.raw['down'] === undefined
    ? [invalid(path, `dual-write step "${of}" has no \`down\`: it doesn't keep the old side in step with the new`)]
    : [];

/** What a dual write between two tables has no use for: the old table’s rows are not written, and pairs are no groups. */
const NOT_OF_PAIRS = { backfill: ['preserve'], verify: ['aggregates'] } as const;

function pairsFindings(step: DraftStep, of: string): Finding[] {
  const names = step.uses === 'backfill' || step.uses === 'verify' ? NOT_OF_PAIRS[step.uses] : [];
  return names
    .filter((name) => step.raw[name] !== undefined && step.raw[name] !== false)
    .map((name) =>
      invalid([...step.path, name], `step "${of}" is between two tables, where \`${name}\` is not supported`),
    );
}
