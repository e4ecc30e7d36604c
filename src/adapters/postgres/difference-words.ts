import { type CatalogObject, describeObject, type Json } from './catalog.ts';
import { type CatalogChange, type CatalogDifference, changedProperties, topLevel } from './catalog-difference.ts';

/** A difference of schemas for people: a line for each object, bounded. */
const LINES_MAX = 50;
const VALUE_LENGTH_MAX = 120;

/** `column "public.users.nick" (text) was created`; at most `max` lines, and one that counts the others. */
export function differenceWords(difference: CatalogDifference, max = LINES_MAX): string[] {
  const lines = [
    ...topLevel(difference.created).map((object) => `${shown(object)} was created`),
    ...topLevel(difference.dropped).map((object) => `${shown(object)} was dropped`),
    ...difference.renamed
      .filter((change) => !withItsTable(change, difference.renamed))
      .map(({ before, after }) => `${describeObject(before)} was renamed: it is ${describeObject(after)} now`),
    ...difference.changed.map(changeWords),
  ].toSorted();
  const more = lines.length - max;
  return more > 0 ? [...lines.slice(0, max), `and ${more} more`] : lines;
}

export const isEmpty = ({ created, dropped, renamed, changed }: CatalogDifference): boolean =>
  created.length + dropped.length + renamed.length + changed.length === 0;

/** The parts of a renamed table have another name only as far as the table's is in it. */
const withItsTable = ({ before, after }: CatalogChange, renamed: readonly CatalogChange[]): boolean =>
  before.of !== '' &&
  before.of !== after.of &&
  before.name === after.name &&
  renamed.some((other) => other.before.of === '' && other.before.name === before.of && other.after.name === after.of);

function shown(object: CatalogObject): string {
  const { type, definition } = object.properties;
  const about = object.kind === 'column' ? type : object.kind === 'constraint' ? definition : undefined;
  return typeof about === 'string' ? `${describeObject(object)} (${cut(about)})` : describeObject(object);
}

const changeWords = (change: CatalogChange): string => {
  const { before, after } = change;
  const properties = changedProperties(change).map(
    (name) => `${propertyWords(name)} ${valueWords(before.properties[name])} → ${valueWords(after.properties[name])}`,
  );
  return `${describeObject(after)}: ${properties.join(', ')}`;
};

/** `rowSecurity` as `row security`. */
const propertyWords = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);

function valueWords(value: Json | undefined): string {
  if (value === undefined || value === null || value === '') return 'none';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length === 0 ? 'none' : cut(value.map((item) => valueWords(item)).join(', '));
  return cut(typeof value === 'object' ? JSON.stringify(value) : String(value));
}

const cut = (text: string): string => {
  const line = text.replaceAll(/\s+/g, ' ').trim();
  return line.length > VALUE_LENGTH_MAX ? `${line.slice(0, VALUE_LENGTH_MAX - 1)}…` : line;
};
