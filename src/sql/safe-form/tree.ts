import type { SqlNode } from '../parser.ts';

/** Small trees of statements, and how to read names out of one. */
export const isNode = (value: unknown): value is SqlNode =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
export const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

/** The fields of `{ Kind: { … } }`. */
export const fieldsOf = (node: unknown, kind: string): SqlNode | null => {
  const fields = isNode(node) ? node[kind] : undefined;
  return isNode(fields) ? fields : null;
};

export const stringNode = (sval: string): SqlNode => ({ String: { sval } });
/** `[{ String: { sval } }]` as `['a', 'b']`. */
export const strings = (value: unknown): string[] =>
  list(value).flatMap((item) => text(fieldsOf(item, 'String')?.['sval']) ?? []);

export interface Name {
  schema: string;
  name: string;
}
export const rangeVar = ({ schema, name }: Name, { only = false } = {}): SqlNode => ({
  schemaname: schema,
  relname: name,
  ...(!only && { inh: true }),
  relpersistence: 'p',
});
export const nameOf = (relation: unknown, schema: string): Name => {
  const fields = isNode(relation) ? relation : {};
  return { schema: text(fields['schemaname']) ?? schema, name: text(fields['relname']) ?? '' };
};
/** The names of DROP's objects. */
export const nameOfObject = (object: unknown, schema: string): Name => {
  const names = strings(fieldsOf(object, 'List')?.['items']);
  return { schema: names.at(-2) ?? schema, name: names.at(-1) ?? '' };
};

export const command = (subtype: string, fields: SqlNode): SqlNode => ({
  AlterTableCmd: { subtype, ...fields, behavior: 'DROP_RESTRICT' },
});
