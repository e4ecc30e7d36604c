import type { RelationFacts } from '../facts.ts';
import { familyOf } from '../impact/draft.ts';
import {
  type AlterCommand,
  alterCommands,
  type ColumnClause,
  columnClause,
  type ConstraintClause,
  constraintClause,
  nodeIn,
  relationIn,
  sameName,
  tableElements,
} from '../tree.ts';
import { find } from './relation-words.ts';
import type { RuleContext } from './rule.ts';

const TABLES = new Set<RelationFacts['kind']>(['table', 'partitioned', 'foreign', 'materialized view']);

/** The table of an ALTER TABLE, where the catalog has it, and the subcommands. */
export function altered({
  statement,
  schema,
  facts,
}: RuleContext): { table: RelationFacts; commands: AlterCommand[] } | null {
  if (statement.kind !== 'AlterTableStmt') return null;
  const table = find(facts, relationIn(statement.node['relation'], schema));
  return table === undefined || !TABLES.has(table.kind) ? null : { table, commands: alterCommands(statement) };
}

/** Columns that ADD COLUMN adds to a table that is there; not those that it has already. */
export function addedColumns(context: RuleContext): { table: RelationFacts; column: ColumnClause }[] {
  const found = altered(context);
  if (found === null) return [];
  return found.commands
    .filter(({ subtype }) => subtype === 'AT_AddColumn')
    .map(({ def }) => columnClause(def, context.schema))
    .filter((column) => !found.table.columns.some(({ name }) => name === column.name))
    .map((column) => ({ table: found.table, column }));
}

/** Constraints that ADD CONSTRAINT gives a table that is there. */
export function addedConstraints(context: RuleContext): { table: RelationFacts; clause: ConstraintClause }[] {
  const found = altered(context);
  if (found === null) return [];
  return found.commands.flatMap(({ subtype, kind, def }) => {
    const clause =
      subtype === 'AT_AddConstraint' && kind === 'Constraint' ? constraintClause(def, context.schema) : null;
    return clause === null ? [] : [{ table: found.table, clause }];
  });
}

/** A column with the table that it will be in: of ADD COLUMN and of CREATE TABLE. */
export interface NewColumn {
  table: { schema: string; name: string };
  column: ColumnClause;
}
export function newColumns(context: RuleContext): NewColumn[] {
  if (context.statement.kind !== 'CreateStmt') return addedColumns(context);
  const table = relationIn(context.statement.node['relation'], context.schema);
  return tableElements(context.statement, context.schema).columns.map((column) => ({ table, column }));
}

/** The table and its heirs with a size of their own, those that the statement reaches. */
export const members = (context: RuleContext, table: RelationFacts): RelationFacts[] =>
  familyOf(table, nodeIn(context.statement.node['relation'])['inh'] !== true).flatMap(
    (name) => find(context.facts, name) ?? [],
  );

/** Whether the statement rewrites the table or one of its heirs. */
export const isRewritten = ({ impact }: RuleContext, table: RelationFacts): boolean =>
  impact.rewrites.some((work) =>
    familyOf(table).some((name) => sameName(name, { schema: work.schema, name: work.relation })),
  );
