import { deparse } from '../deparse.ts';
import type { RelationFacts, SchemaFacts } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import type { NamesTaken } from './object-name.ts';
import { command } from './tree.ts';

/** A table that one ALTER TABLE is about, as all its commands see it. */
export interface AlteredTable {
  /** The node of the table's name, `ONLY` included. */
  node: SqlNode;
  /** ALTER TABLE IF EXISTS. */
  missingOk: boolean;
  relation: RelationFacts;
  facts: SchemaFacts;
  /** The schema that unqualified names mean. */
  schema: string;
  taken: NamesTaken;
}

/** One ALTER TABLE with these commands; null where it can't be written. */
export const alter = (table: AlteredTable, ...commands: readonly SqlNode[]): string | null => alterAs(table, commands);

/** The same, with other writings for what the deparser can't write. */
export const alterAs = (
  { node, missingOk }: AlteredTable,
  commands: readonly SqlNode[],
  ...others: readonly (() => string | null)[]
): string | null =>
  deparse(
    {
      kind: 'AlterTableStmt',
      node: { relation: node, cmds: commands, objtype: 'OBJECT_TABLE', ...(missingOk && { missing_ok: true }) },
    },
    ...others,
  );

export const validate = (table: AlteredTable, constraint: string): string | null =>
  alter(table, command('AT_ValidateConstraint', { name: constraint }));
