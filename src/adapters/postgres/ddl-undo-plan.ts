import { type CatalogObject, type CatalogSnapshot, canonicalJson, catalogKey, describeObject } from './catalog.ts';
import { type CatalogChange, type CatalogDifference, changedProperties } from './catalog-difference.ts';

/**
 * What of a recorded difference is still to be undone, by what the catalog shows now. Undone already counts as
 * undone; what is neither as the step left it nor as it was before is drift.
 */
export function pendingUndo(
  difference: CatalogDifference,
  now: CatalogSnapshot,
): { pending: CatalogDifference; drift: string[] } {
  const drift: string[] = [];
  const pending: CatalogDifference = { created: [], dropped: [], renamed: [], changed: [] };
  for (const object of difference.created) {
    const there = now.get(catalogKey(object));
    if (there === undefined) continue;
    if (object.kind === 'column' && differs(object, there, 'type')) {
      drift.push(`${describeObject(object)} is ${there.properties['type']}, not ${object.properties['type']}`);
    } else {
      pending.created.push(there);
    }
  }
  for (const object of difference.dropped) {
    const there = now.get(catalogKey(object));
    if (there === undefined) pending.dropped.push(object);
    else if (!alike(object, there)) drift.push(`${describeObject(object)} was made anew, and differs`);
  }
  for (const change of difference.renamed) {
    if (now.has(catalogKey(change.after))) pending.renamed.push(change);
    else if (!now.has(catalogKey(change.before))) drift.push(`${describeObject(change.after)} is gone`);
  }
  for (const change of difference.changed) pending.changed.push(...pendingChange(change, now, drift));
  return { pending, drift };
}

function pendingChange(change: CatalogChange, now: CatalogSnapshot, drift: string[]): CatalogChange[] {
  const there = now.get(catalogKey(change.after)) ?? now.get(catalogKey(change.before));
  if (there === undefined) {
    drift.push(`${describeObject(change.after)} is gone`);
    return [];
  }
  const open = changedProperties(change).filter((name) => differs(change.before, there, name));
  const strange = open.filter((name) => differs(change.after, there, name));
  drift.push(
    ...strange.map((name) => `${name} of ${describeObject(there)} is ${JSON.stringify(there.properties[name])}`),
  );
  if (open.length === 0) return [];
  const after = Object.fromEntries(open.map((name) => [name, change.after.properties[name] ?? null]));
  return [{ before: change.before, after: { ...change.after, properties: { ...change.before.properties, ...after } } }];
}

/** What of `before` isn't there again after an undo, in words. */
export function hasAll(undone: CatalogDifference, after: CatalogSnapshot): string[] {
  const wrong = undone.created
    .filter((object) => after.has(catalogKey(object)))
    .map((object) => `${describeObject(object)} is still there`);
  for (const object of undone.dropped) {
    const there = after.get(catalogKey(object));
    if (there === undefined || !alike(object, there)) wrong.push(`${describeObject(object)} is not as it was`);
  }
  for (const { before } of undone.renamed) {
    if (!after.has(catalogKey(before))) wrong.push(`${describeObject(before)} has not got its name back`);
  }
  for (const change of undone.changed) {
    const there = after.get(catalogKey(change.before));
    const open = changedProperties(change).filter((name) => there === undefined || differs(change.before, there, name));
    wrong.push(
      ...open.map(
        (name) => `${name} of ${describeObject(change.before)} is ${JSON.stringify(there?.properties[name])}`,
      ),
    );
  }
  return wrong;
}

const differs = (a: CatalogObject, b: CatalogObject, property: string): boolean =>
  canonicalJson(a.properties[property]) !== canonicalJson(b.properties[property]);
const alike = (before: CatalogObject, after: CatalogObject): boolean =>
  changedProperties({ before, after }).length === 0;
