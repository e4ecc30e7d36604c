import { type CatalogObject, type CatalogSnapshot, describeObject } from '../../adapters/postgres/catalog.ts';
import { catalogDifference, changedProperties, topLevel } from '../../adapters/postgres/catalog-difference.ts';

/** What lies between two states of a schema, a line for each object; what comes with a whole isn't told apart. */
export function changesInWords(before: CatalogSnapshot, after: CatalogSnapshot): string[] {
  const { created, dropped, renamed, changed } = catalogDifference(before, after);
  return [
    ...topLevel(created).map((object) => `+ ${describeObject(object)}${details(object)}`),
    ...topLevel(dropped).map((object) => `- ${describeObject(object)}`),
    // The parts of a table that has another name keep theirs.
    ...renamed
      .filter(({ before: was, after: is }) => was.name !== is.name)
      .map((change) => `~ ${describeObject(change.before)} is now "${change.after.name}"`),
    ...changed.map((change) => {
      const values = changedProperties(change).map(
        (name) => `${name} ${shown(change.before.properties[name])} → ${shown(change.after.properties[name])}`,
      );
      return `~ ${describeObject(change.before)}: ${values.join(', ')}`;
    }),
  ];
}

function details({ kind, properties }: CatalogObject): string {
  if (kind === 'column') return ` ${shown(properties['type'])}`;
  if (kind === 'constraint' || kind === 'index') return ` ${shown(properties['definition'])}`;
  return '';
}

const shown = (value: unknown): string =>
  value === null || value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value);
