import { type CatalogObject, type CatalogSnapshot, canonicalJson, catalogKey, describeObject } from './catalog.ts';
import { type CatalogChange, type CatalogDifference, changedProperties } from './catalog-difference.ts';
import { fromParent } from './catalog-inverse.ts';
import type { MadeObjects } from './catalog-made.ts';

export interface Pending {
  pending: CatalogDifference;
  /** What is neither as the step left it nor as it was before, in words. */
  drift: string[];
}

/**
 * What of a recorded difference is still to be undone, by what the catalog shows now. Undone already counts as undone.
 * `made` is all that the step ever made: what of it is gone doesn't come back, and isn't missed.
 */
export function pendingUndo(difference: CatalogDifference, now: CatalogSnapshot, made: MadeObjects): Pending {
  const drift: string[] = [];
  const pending: CatalogDifference = { created: [], dropped: [], renamed: [], changed: [] };
  for (const object of difference.created) {
    const there = now.get(catalogKey(object));
    // What a partition or an heir has from its parent goes with the parent's.
    if (there === undefined || fromParent(there)) continue;
    const strange = strangeness(object, there);
    if (strange === null) pending.created.push(there);
    else drift.push(strange);
  }
  for (const object of difference.dropped) {
    const there = now.get(catalogKey(object));
    if (there === undefined) pending.dropped.push(object);
    else if (isUnchecked(object, there)) pending.changed.push({ before: object, after: there });
    else if (!isAlike(object, there)) drift.push(`${describeObject(object)} was made anew, and differs`);
  }
  for (const change of difference.renamed) {
    if (now.has(catalogKey(change.after))) pending.renamed.push(change);
    else if (!now.has(catalogKey(change.before)) && !made.has(change.before))
      drift.push(`${describeObject(change.after)} is gone`);
  }
  for (const change of difference.changed) {
    const there = now.get(catalogKey(change.after)) ?? now.get(catalogKey(change.before));
    if (there !== undefined) pending.changed.push(...pendingChange(change, there, drift));
    else if (!made.has(change.before)) drift.push(`${describeObject(change.after)} is gone`);
  }
  return { pending, drift };
}

export const isNothing = ({ created, dropped, renamed, changed }: CatalogDifference): boolean =>
  created.length + dropped.length + renamed.length + changed.length === 0;

/** Why what is there under the name of something that the step created isn't that; null where it is. */
function strangeness(object: CatalogObject, there: CatalogObject): string | null {
  if (object.kind === 'column' && differs(object, there, 'type'))
    return `${describeObject(object)} is ${there.properties['type']}, not ${object.properties['type']}`;
  // An index has another identity after REINDEX, and everything has after a dump was restored. A table holds rows:
  // another one of the same name holds someone else's.
  const isSame = object.identity === there.identity || (object.kind !== 'table' && isAlike(object, there));
  return isSame ? null : `${describeObject(object)} is not the one that the step made`;
}

function pendingChange(change: CatalogChange, there: CatalogObject, drift: string[]): CatalogChange[] {
  const open = changedProperties(change).filter((name) => differs(change.before, there, name));
  const halfway = isUnchecked(change.before, there);
  const strange = open.filter(
    (name) => differs(change.after, there, name) && !halfway && !between(change, there, name),
  );
  drift.push(
    ...strange.map((name) => `${name} of ${describeObject(there)} is ${JSON.stringify(there.properties[name])}`),
  );
  if (open.length === 0) return [];
  const after = Object.fromEntries(open.map((name) => [name, there.properties[name] ?? null]));
  return [{ before: change.before, after: { ...change.after, properties: { ...change.before.properties, ...after } } }];
}

/** A constraint that is back, and whose rows are still to be checked. */
const isUnchecked = (before: CatalogObject, there: CatalogObject): boolean =>
  before.kind === 'constraint' &&
  before.properties['validated'] === true &&
  there.properties['validated'] === false &&
  there.properties['definition'] === `${String(before.properties['definition'])} NOT VALID`;

/** A domain's constraints come back one by one. */
function between({ before, after }: CatalogChange, there: CatalogObject, property: string): boolean {
  if (before.kind !== 'type' || property !== 'constraints') return false;
  const [was, made, is] = [before, after, there].map(
    ({ properties }) => (properties['constraints'] ?? {}) as Record<string, string>,
  ) as [Record<string, string>, Record<string, string>, Record<string, string>];
  return [...new Set([...Object.keys(was), ...Object.keys(made), ...Object.keys(is)])].every((name) =>
    [was[name], made[name], `${was[name]} NOT VALID`].includes(is[name]),
  );
}

const differs = (a: CatalogObject, b: CatalogObject, property: string): boolean =>
  canonicalJson(a.properties[property]) !== canonicalJson(b.properties[property]);
/** By what was recorded: a later version may see more. An index is complete before its constraint has it again. */
const isAlike = (before: CatalogObject, there: CatalogObject): boolean =>
  Object.keys(before.properties).every(
    (name) =>
      !differs(before, there, name) ||
      (before.kind === 'index' && name === 'constraint' && there.properties['constraint'] === null),
  );
