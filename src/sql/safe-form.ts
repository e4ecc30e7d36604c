import { relationOf, type SchemaFacts } from './facts.ts';
import type { Statement } from './parser.ts';
import { alterTableForm } from './safe-form/alter-table.ts';
import { indexBuildForm } from './safe-form/index-build.ts';
import { indexDropForm } from './safe-form/index-drop.ts';
import { refreshForm } from './safe-form/refresh.ts';
import { relationIn } from './tree.ts';
import type { SafeForm } from './safe-form/unit.ts';

export type { ColumnFill, SafeForm, SafeUnit } from './safe-form/unit.ts';

/**
 * What runs in place of a statement so that readers and writers never wait for a scan, a rewrite or a build: Postgres's
 * own safe form of it. Null where it runs as written: because it is harmless (the table is new or empty), because it is
 * safe already, or because Postgres has no such form; then the rules speak. `statement` must come from `statementsOf`.
 */
export function safeForm(statement: Statement, schema: string, facts: SchemaFacts): SafeForm | null {
  const { kind, node } = statement;
  switch (kind) {
    case 'AlterTableStmt':
      return alterTableForm(statement, schema, facts);
    case 'IndexStmt': {
      const { schema: of, name } = relationIn(node['relation'], schema);
      const relation = relationOf(facts, of, name);
      return relation === undefined ? null : indexBuildForm(statement, relation, facts);
    }
    case 'DropStmt':
      return node['removeType'] === 'OBJECT_INDEX' ? indexDropForm(statement, schema, facts) : null;
    case 'RefreshMatViewStmt':
      return refreshForm(statement, schema, facts);
    default:
      return null;
  }
}
