import { type CatalogKind, type CatalogObject, catalogKey } from './catalog.ts';
import { type CatalogChange, type CatalogDifference, changedProperties } from './catalog-difference.ts';
import { isRelation, isRoutine } from './catalog-move.ts';
import { restoreProperties } from './catalog-restore.ts';

/**
 * The net effect of a step: what one of its statements made and a later one dropped isn't made again, and what was
 * changed of something that the same step made goes with it.
 */
export class MadeObjects {
  readonly #keys = new Set<string>();

  /** What the statements made, by the names that it has after the last of them. */
  static after(differences: readonly CatalogDifference[]): MadeObjects {
    const made = new MadeObjects();
    for (const difference of differences) made.#follow(difference);
    return made;
  }
  /** The same by every name that it ever had, gone or not. */
  static ever(differences: readonly CatalogDifference[]): MadeObjects {
    const made = new MadeObjects();
    for (const { created, renamed, parts = [] } of differences) {
      for (const key of [...created.map(catalogKey), ...parts]) made.#keys.add(key);
      for (const { before, after } of renamed) if (made.has(before)) made.#keys.add(catalogKey(after));
    }
    return made;
  }

  /** Whether the object, or what it is a part of, is among them. */
  has(object: CatalogObject): boolean {
    const { schema, of, properties } = object;
    if (this.#keys.has(catalogKey(object))) return true;
    if (of !== '' && !isRoutine(object) && this.#hasRelation(schema, of)) return true;
    if (object.kind === 'index' && typeof properties['constraint'] === 'string')
      return this.#hasPart('constraint', { schema, of, name: properties['constraint'] });
    const owner = object.kind === 'sequence' ? properties['ownedBy'] : null;
    if (typeof owner !== 'object' || owner === null) return false;
    const { schema: ownerSchema, table, column } = owner as { schema: string; table: string; column: string };
    return (
      this.#hasRelation(ownerSchema, table) || this.#hasPart('column', { schema: ownerSchema, of: table, name: column })
    );
  }

  #hasPart(kind: CatalogKind, of: { schema: string; of: string; name: string }): boolean {
    return this.#keys.has(catalogKey({ kind, ...of }));
  }
  #hasRelation(schema: string, name: string): boolean {
    return (['table', 'foreign table', 'view', 'materialized view'] as const).some((kind) =>
      this.#hasPart(kind, { schema, of: '', name }),
    );
  }

  #follow({ created, dropped, renamed, parts = [] }: CatalogDifference): void {
    for (const object of dropped) this.#keys.delete(catalogKey(object));
    for (const { before, after } of renamed) {
      if (this.#keys.delete(catalogKey(before))) this.#keys.add(catalogKey(after));
      if (isRelation(before)) this.#rename(before, after);
    }
    for (const key of [...created.map(catalogKey), ...parts]) this.#keys.add(key);
  }
  /** What was made inside a relation is found under the relation's new name. */
  #rename(before: CatalogObject, after: CatalogObject): void {
    for (const key of [...this.#keys]) {
      const [kind, schema, of, name] = JSON.parse(key) as [CatalogKind, string, string, string];
      if (isRoutine({ kind }) || schema !== before.schema || of !== before.name) continue;
      this.#keys.delete(key);
      this.#keys.add(catalogKey({ kind, schema: after.schema, of: after.name, name }));
    }
  }
}

/** What other things can lean on: a default on a function that the same step made later, a view on its table. */
const LEANS = ['default', 'definition', 'using', 'check', 'constraints'];

/** What of a statement's difference is its own to undo, after the statements before it in the same step. */
export function netDifference(difference: CatalogDifference, earlier: readonly CatalogDifference[]): CatalogDifference {
  const made = MadeObjects.after(earlier);
  return {
    ...difference,
    created: difference.created.filter((object) => !isColumnOfMadeView(object, difference, made)),
    dropped: difference.dropped.filter((object) => !made.has(object)),
    renamed: difference.renamed.filter((change) => !becameConstraint(change, difference)),
    changed: difference.changed.flatMap((change) => (made.has(change.before) ? leaning(change) : [change])),
  };
}

/** An index that a constraint took goes with it: there is no name to give back. One from before the step doesn't return. */
const becameConstraint = ({ before, after }: CatalogChange, { created }: CatalogDifference): boolean =>
  after.kind === 'index' &&
  before.properties['constraint'] === null &&
  created.some(
    ({ kind, schema, of, name }) =>
      kind === 'constraint' && schema === after.schema && of === after.of && name === after.properties['constraint'],
  );

/** A view can't lose a column: one that the step made goes with all of them. */
const isColumnOfMadeView = (object: CatalogObject, { changed }: CatalogDifference, made: MadeObjects): boolean =>
  object.kind === 'column' &&
  made.has(object) &&
  changed.some(({ before }) => before.kind === 'view' && before.schema === object.schema && before.name === object.of);

/** Only what others may lean on is changed back; the rest goes when its object goes. */
function leaning(change: CatalogChange): CatalogChange[] {
  if (change.before.kind === 'constraint' || change.before.kind === 'index') return [];
  const kept = changedProperties(change).filter((name) => LEANS.includes(name));
  const after = Object.fromEntries(kept.map((name) => [name, change.after.properties[name] ?? null]));
  const left = {
    before: change.before,
    after: { ...change.after, properties: { ...change.before.properties, ...after } },
  };
  const restored = restoreProperties(left, { renamed: false, notNullConstraintDropped: () => false });
  return kept.length === 0 || restored.irreversible.length > 0 ? [] : [left];
}
