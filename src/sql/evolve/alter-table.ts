import { type ColumnFacts, type RelationFacts, relationOf, type SchemaFacts } from '../facts.ts';
import { familyOf } from '../impact/draft.ts';
import type { SqlNode, Statement } from '../parser.ts';
import {
  type AlterCommand,
  alterCommands,
  columnClause,
  constraintClause,
  type Name,
  nodeIn,
  relationIn,
  sameName,
  textsIn,
} from '../tree.ts';
import { typeOf, typeText } from '../type-name.ts';
import { changed, columnFacts, eachRelation, removed, withConstraint, withNotNull } from './catalog.ts';
import { ancestors, withPartition, withReferences } from './create-table.ts';
import { deparseExpression } from './expression-text.ts';

/** The facts after each subcommand, one after the other. */
export function alterTable(facts: SchemaFacts, statement: Statement, schema: string): SchemaFacts {
  const relation = nodeIn(statement.node['relation']);
  const name = relationIn(relation, schema);
  let after = facts;
  for (const command of alterCommands(statement)) {
    const table = relationOf(after, name.schema, name.name);
    if (table === undefined) return after;
    after = applyCommand({ facts: after, table, command, schema, only: relation['inh'] !== true });
  }
  return after;
}

interface Applied {
  facts: SchemaFacts;
  table: RelationFacts;
  command: AlterCommand;
  schema: string;
  only: boolean;
}

function applyCommand({ facts, table, command, schema, only }: Applied): SchemaFacts {
  const { subtype, name, def, kind } = command;
  const own = { schema: table.schema, name: table.name };
  const family = familyOf(table, only);
  const column = (change: (had: ColumnFacts) => ColumnFacts): SchemaFacts =>
    changed(facts, family, (relation) => ({
      ...relation,
      columns: relation.columns.map((one) => (one.name === name ? change(one) : one)),
    }));
  switch (subtype) {
    case 'AT_AddColumn':
      return addColumn(facts, table, def, schema, family);
    case 'AT_DropColumn':
      return dropColumn(facts, table, name, family);
    case 'AT_ColumnDefault':
      return column((had) => ({ ...had, default: kind === '' ? null : deparseExpression({ [kind]: def }) }));
    case 'AT_SetNotNull':
      return changed(facts, family, (relation) =>
        withNotNull(relation, [name], facts, { name: null, validated: true }),
      );
    case 'AT_DropNotNull':
      return changed(
        column((had) => ({ ...had, notNull: false })),
        family,
        (relation) => ({
          ...relation,
          constraints: relation.constraints.filter((one) => one.kind !== 'not null' || !one.columns.includes(name)),
        }),
      );
    case 'AT_AlterColumnType':
      return column((had) => ({
        ...had,
        type: typeText(typeOf(nodeIn(def['typeName']), schema)),
        collation: textsIn(nodeIn(def['collClause'])['collname']).at(-1) ?? had.collation,
        widthBytes: null,
      }));
    case 'AT_AddIdentity':
      return column((had) => ({ ...had, identity: true }));
    case 'AT_DropIdentity':
      return column((had) => ({ ...had, identity: false }));
    case 'AT_DropExpression':
      return column((had) => ({ ...had, generated: false }));
    case 'AT_AddConstraint':
      return addConstraint({ facts, table, command, schema, only }, family);
    case 'AT_DropConstraint':
      return dropConstraint(facts, table, name, family);
    case 'AT_ValidateConstraint':
      return changed(facts, family, (relation) => validated(relation, name));
    case 'AT_AttachPartition':
      return attach(facts, own, relationIn(def['name'], schema), nodeIn(def['bound'])['is_default'] === true);
    case 'AT_DetachPartition':
      return detach(facts, own, relationIn(def['name'], schema));
    case 'AT_AddInherit':
      return attach(facts, relationIn({ [kind]: def }, schema), own, false);
    case 'AT_DropInherit':
      return detach(facts, relationIn({ [kind]: def }, schema), own);
    default:
      return changed(facts, own, (relation) => withSetting(relation, command));
  }
}

function withSetting(relation: RelationFacts, { subtype, name }: AlterCommand): RelationFacts {
  const { rowSecurity } = relation;
  const triggers = (enabled: boolean): RelationFacts => ({
    ...relation,
    triggers: relation.triggers.map((one) => (name === '' || one.name === name ? { ...one, enabled } : one)),
  });
  switch (subtype) {
    case 'AT_EnableRowSecurity':
      return { ...relation, rowSecurity: { ...rowSecurity, enabled: true } };
    case 'AT_DisableRowSecurity':
      return { ...relation, rowSecurity: { ...rowSecurity, enabled: false } };
    case 'AT_ForceRowSecurity':
      return { ...relation, rowSecurity: { ...rowSecurity, forced: true } };
    case 'AT_NoForceRowSecurity':
      return { ...relation, rowSecurity: { ...rowSecurity, forced: false } };
    case 'AT_SetLogged':
      return { ...relation, unlogged: false };
    case 'AT_SetUnLogged':
      return { ...relation, unlogged: true };
    case 'AT_SetTableSpace':
      return { ...relation, tablespace: name };
    default:
      if (/^AT_Enable(Always|Replica)?Trig/.test(subtype)) return triggers(true);
      return subtype.startsWith('AT_DisableTrig') ? triggers(false) : relation;
  }
}

function addColumn(
  facts: SchemaFacts,
  table: RelationFacts,
  def: SqlNode,
  schema: string,
  family: readonly Name[],
): SchemaFacts {
  const clause = columnClause(def, schema);
  if (table.columns.some(({ name }) => name === clause.name)) return facts;
  const after = changed(facts, family, (relation) => {
    let changing: RelationFacts = {
      ...relation,
      columns: [...relation.columns, { ...columnFacts(clause, schema), notNull: false }],
    };
    if (clause.notNull) changing = withNotNull(changing, [clause.name], facts, { name: null, validated: true });
    for (const constraint of clause.constraints) {
      if (constraint.kind !== 'not null')
        changing = withConstraint(changing, { ...constraint, notValid: false }, facts);
    }
    return changing;
  });
  const now = relationOf(after, table.schema, table.name);
  return now === undefined ? after : withReferences(after, now);
}

/** With the column go its indexes and constraints, and, under CASCADE, the views and foreign keys that need it. */
function dropColumn(facts: SchemaFacts, table: RelationFacts, column: string, family: readonly Name[]): SchemaFacts {
  const views = table.readBy.filter(({ columns }) => columns.includes(column));
  const without = changed(removed(facts, views), family, (relation) => {
    const mentions = ({ columns }: { columns: readonly (string | null)[] }): boolean => columns.includes(column);
    return {
      ...relation,
      columns: relation.columns.filter(({ name }) => name !== column),
      constraints: relation.constraints.filter((one) => !mentions(one)),
      indexes: relation.indexes.filter((one) => !mentions(one)),
      referencedBy: relation.referencedBy.filter((one) => !mentions(one)),
    };
  });
  const ofFamily = (use: { schema: string; table: string; column: string }): boolean =>
    use.column === column && family.some((one) => sameName(one, { schema: use.schema, name: use.table }));
  const types = without.types.map((type) => ({ ...type, usedBy: type.usedBy.filter((use) => !ofFamily(use)) }));
  return withoutReferencing({ ...without, types }, table, (columns) => columns.includes(column));
}

/** Foreign keys of other tables that point at these columns go under CASCADE. */
function withoutReferencing(
  facts: SchemaFacts,
  table: RelationFacts,
  names: (columns: readonly string[]) => boolean,
): SchemaFacts {
  const lost = table.referencedBy.filter(({ columns }) => names(columns));
  const cut = lost.reduce(
    (after, { schema, table: name, constraint }) =>
      changed(after, { schema, name }, (relation) => ({
        ...relation,
        constraints: relation.constraints.filter((one) => one.name !== constraint),
      })),
    facts,
  );
  return withoutLostReferences(cut);
}

/** What a table knows of foreign keys that point at it goes with them. */
const withoutLostReferences = (facts: SchemaFacts): SchemaFacts =>
  eachRelation(facts, (relation) => ({
    ...relation,
    referencedBy: relation.referencedBy.filter(({ schema, table, constraint }) => {
      const other = relationOf(facts, schema, table);
      return other === undefined || other.constraints.some(({ name }) => name === constraint);
    }),
  }));

function addConstraint({ facts, table, command, schema, only }: Applied, family: readonly Name[]): SchemaFacts {
  const clause = command.kind === 'Constraint' ? constraintClause(command.def, schema) : null;
  if (clause === null) return facts;
  const inherits = clause.kind === 'check' || clause.kind === 'not null' || table.kind === 'partitioned';
  const names = inherits && !only && !clause.noInherit ? family : family.slice(0, 1);
  const after = changed(facts, names, (relation) => withConstraint(relation, clause, facts));
  const now = relationOf(after, table.schema, table.name);
  return now === undefined ? after : withReferences(after, now);
}

function dropConstraint(facts: SchemaFacts, table: RelationFacts, name: string, family: readonly Name[]): SchemaFacts {
  const gone = table.constraints.find((one) => one.name === name);
  const without = changed(facts, family, (relation) => ({
    ...relation,
    constraints: relation.constraints.filter((one) => one.name !== name),
    indexes: relation.indexes.filter((index) => index.constraint !== name),
    columns:
      gone?.kind === 'not null'
        ? relation.columns.map((column) =>
            gone.columns.includes(column.name) ? { ...column, notNull: false } : column,
          )
        : relation.columns,
  }));
  if (gone?.kind === 'foreign') return withoutLostReferences(without);
  if (gone?.kind !== 'primary' && gone?.kind !== 'unique') return without;
  const key = [...gone.columns].sort().join('\n');
  return withoutReferencing(without, table, (columns) => [...columns].sort().join('\n') === key);
}

const validated = (relation: RelationFacts, name: string): RelationFacts => ({
  ...relation,
  constraints: relation.constraints.map((one) =>
    one.name === name ? { ...one, validated: true, definition: one.definition.replace(/ NOT VALID$/, '') } : one,
  ),
});

function attach(facts: SchemaFacts, parent: Name, name: Name, isDefault: boolean): SchemaFacts {
  const partition = relationOf(facts, name.schema, name.name);
  const above = relationOf(facts, parent.schema, parent.name);
  if (partition === undefined || above === undefined) return facts;
  const now = { ...partition, parents: [...partition.parents, parent] };
  return withPartition(
    changed(facts, name, () => now),
    now,
    [parent],
    isDefault,
  );
}

function detach(facts: SchemaFacts, parent: Name, name: Name): SchemaFacts {
  const partition = relationOf(facts, name.schema, name.name);
  if (partition === undefined) return facts;
  const gone = familyOf(partition);
  const above = [parent, ...ancestors(facts, parent)];
  const less = (whole: number | null, part: number | null): number | null =>
    whole === null || part === null ? null : Math.max(0, whole - part);
  const without = changed(facts, above, (relation) => ({
    ...relation,
    rows: less(relation.rows, partition.rows),
    heapBytes: Math.max(0, relation.heapBytes - partition.heapBytes),
    indexBytes: Math.max(0, relation.indexBytes - partition.indexBytes),
    partitions: relation.partitions.filter((one) => !gone.some((each) => sameName(each, one))),
  }));
  return changed(without, name, (relation) => ({
    ...relation,
    parents: relation.parents.filter((one) => !sameName(one, parent)),
  }));
}
