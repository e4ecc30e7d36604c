import type { Random } from '../engine/chaos-traffic.ts';
import { type Client, type Playbook, pick, type Row, tableClient } from './playbook.ts';

/** A product is its JSON as Postgres prints it, whole. */
type Attributes = Record<string, unknown>;
const attributesOf = (row: Row): Attributes => JSON.parse(row['attributes'] ?? '{}') as Attributes;
/** As jsonb prints: keys by length, then by their bytes. */
function printed(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printed).join(', ')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const entries = Object.entries(value).toSorted(([a], [b]) => a.length - b.length || (a < b ? -1 : 1));
  return `{${entries.map(([key, part]) => `${JSON.stringify(key)}: ${printed(part)}`).join(', ')}}`;
}
const next = (before: Row | null, random: Random): Row => {
  const attributes: Attributes = before === null ? {} : attributesOf(before);
  const set = (key: string, value: unknown): void => {
    if (value === undefined) delete attributes[key];
    else attributes[key] = value;
  };
  if (random() < 0.5) set('color', pick(random, ['red', 'É 🎉', '', null, 7, undefined]));
  if (random() < 0.5) set('weight_g', pick(random, [12.5, 0, '12.50', null, undefined]));
  if (random() < 0.3) set('origin', pick(random, ['NO', 4711, null, undefined]));
  return { name: before?.['name'] ?? `Product ${Math.floor(random() * 1e6)}`, attributes: printed(attributes) };
};

const json: Client = tableClient('products', { name: 'name', attributes: 'attributes' }, next);
const columns = tableClient('products', { name: 'name', color: 'color', weight_g: 'weight_g', more: 'more' }, next);
/** What new clients write: a key becomes a column where it has its type. */
const inColumns = (row: Row): Row => {
  const { color, weight_g, ...rest } = attributesOf(row);
  const more: Attributes = { ...rest };
  if (color !== undefined && typeof color !== 'string') more['color'] = color;
  if (weight_g !== undefined && typeof weight_g !== 'number') more['weight_g'] = weight_g;
  return {
    name: row['name'] ?? null,
    color: typeof color === 'string' ? color : null,
    weight_g: typeof weight_g === 'number' ? String(weight_g) : null,
    more: JSON.stringify(more),
  };
};

export const jsonToColumns: Playbook = {
  name: 'json-to-columns',
  warnings: [],
  old: json,
  new: {
    ...columns,
    // What they see, said in the old form: so that the model is one.
    select: `SELECT id, name, (more || jsonb_strip_nulls(jsonb_build_object('color', color, 'weight_g', weight_g)))::text AS attributes
      FROM products`,
    add: (query, row) => columns.add(query, inColumns(row)),
    change: (query, id, row, before) => columns.change(query, id, inColumns(row), inColumns(before)),
  },
};
