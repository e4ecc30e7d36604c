import { editDistance } from '../plan/nearest.ts';

const NEAR_NAMES_MAX = 3;

/** Those of `names` that someone may have meant by `wanted`, nearest first: few edits away, or one inside the other. */
export function nearestNames(wanted: string, names: Iterable<string>): string[] {
  const editsMax = Math.max(2, Math.floor(wanted.length / 3));
  return [...new Set(names)]
    .map((name) => ({ name, edits: editDistance(wanted.toLowerCase(), name.toLowerCase()) }))
    .filter(
      ({ name, edits }) => edits <= editsMax || (wanted.length > 2 && (name.includes(wanted) || wanted.includes(name))),
    )
    .toSorted((a, b) => a.edits - b.edits || (a.name < b.name ? -1 : 1))
    .slice(0, NEAR_NAMES_MAX)
    .map(({ name }) => name);
}
