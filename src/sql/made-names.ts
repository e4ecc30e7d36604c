import type { Statement } from './parser.ts';
import { alterCommands, columnClause, constraintClause, nameIn, nodeIn, relationIn, textIn, textsIn } from './tree.ts';

/**
 * What the earlier statements of a step make, by kind and name: it goes with the step, whatever later statements do to
 * it, so that nothing of it has to come back.
 */
export class MadeNames {
  readonly #names = new Set<string>();

  has(kind: MadeKind, schema: string, name: string): boolean {
    return this.#names.has(JSON.stringify([kind, schema, name]));
  }

  /** Takes in one more statement. What IF NOT EXISTS or OR REPLACE found there isn't the step's own. */
  add(statement: Statement, schema: string): void {
    const { kind, node } = statement;
    const add = (of: MadeKind, { schema: where, name }: { schema: string; name: string }): void => {
      this.#names.add(JSON.stringify([of, where, name]));
    };
    if (node['if_not_exists'] === true || node['replace'] === true) return;
    switch (kind) {
      case 'CreateStmt':
      case 'CreateForeignTableStmt':
        return add('relation', relationIn(nodeIn(node['base'])['relation'] ?? node['relation'], schema));
      case 'CreateTableAsStmt':
        return add('relation', relationIn(nodeIn(node['into'])['rel'], schema));
      case 'ViewStmt':
        return add('relation', relationIn(node['view'], schema));
      case 'CreateSeqStmt':
        return add('relation', relationIn(node['sequence'], schema));
      case 'IndexStmt':
        return add('relation', { schema: relationIn(node['relation'], schema).schema, name: textIn(node['idxname']) });
      case 'CompositeTypeStmt':
        return add('type', relationIn(node['typevar'], schema));
      case 'CreateEnumStmt':
      case 'CreateRangeStmt':
        return add('type', nameIn(textsIn(node['typeName']), schema));
      case 'CreateDomainStmt':
        return add('type', nameIn(textsIn(node['domainname']), schema));
      case 'CreateFunctionStmt':
        return add('function', nameIn(textsIn(node['funcname']), schema));
      case 'CreateExtensionStmt':
        return add('extension', { schema: '', name: textIn(node['extname']) });
      case 'AlterTableStmt':
        return this.#addParts(statement, schema, add);
    }
  }

  #addParts(
    statement: Statement,
    schema: string,
    add: (kind: MadeKind, name: { schema: string; name: string }) => void,
  ): void {
    const table = relationIn(statement.node['relation'], schema);
    for (const { subtype, def, missingOk } of alterCommands(statement)) {
      if (missingOk) continue;
      const name =
        subtype === 'AT_AddColumn'
          ? columnClause(def, schema).name
          : subtype === 'AT_AddConstraint'
            ? constraintClause(def, schema)?.name
            : null;
      if (typeof name === 'string') add('part', { schema: table.schema, name: partName(table.name, name) });
    }
  }
}
export type MadeKind = 'relation' | 'type' | 'function' | 'extension' | 'part';

/** A column or constraint of a table. */
export const partName = (table: string, name: string): string => JSON.stringify([table, name]);
