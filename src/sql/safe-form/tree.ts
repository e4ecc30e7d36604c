import type { SqlNode } from '../parser.ts';
import type { Name } from '../tree.ts';

/** Small trees of statements; `../tree.ts` reads what is in one. */
export const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);

export const stringNode = (sval: string): SqlNode => ({ String: { sval } });
export const rangeVar = ({ schema, name }: Name, { only = false } = {}): SqlNode => ({
  schemaname: schema,
  relname: name,
  ...(!only && { inh: true }),
  relpersistence: 'p',
});
export const command = (subtype: string, fields: SqlNode): SqlNode => ({
  AlterTableCmd: { subtype, ...fields, behavior: 'DROP_RESTRICT' },
});
