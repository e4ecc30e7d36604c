import { type RelationFacts, relationOf, type SchemaFacts } from '../facts.ts';
import type { Statement } from '../parser.ts';
import { fieldsOf, listIn, type Name, nodeIn, relationIn, sameName, tableElements } from '../tree.ts';
import { added, changed, columnFacts, newRelation, referenced, withConstraint } from './catalog.ts';

/** Bits of LIKE … INCLUDING. Source: TableLikeOption in parsenodes.h. */
const LIKE = { constraints: 1 << 2, defaults: 1 << 3, generated: 1 << 4, identity: 1 << 5, indexes: 1 << 6 };

export function createTable(facts: SchemaFacts, statement: Statement, schema: string): SchemaFacts {
  const { node } = statement;
  const name = relationIn(node['relation'], schema);
  if (relationOf(facts, name.schema, name.name) !== undefined) return facts;
  const { columns, constraints } = tableElements(statement, schema);
  const parents = listIn(node['inhRelations']).map((parent) => relationIn(parent, schema));
  let table: RelationFacts = {
    ...newRelation(name, node['partspec'] === undefined ? 'table' : 'partitioned'),
    parents,
  };
  for (const parent of parents)
    table = withParent(table, relationOf(facts, parent.schema, parent.name), node['partbound'] !== undefined);
  for (const element of listIn(node['tableElts']))
    table = withLike(table, fieldsOf(element, 'TableLikeClause'), schema, facts);
  table = { ...table, columns: [...table.columns, ...columns.map((column) => columnFacts(column, schema))] };
  if (facts.serverVersion >= 180_000)
    table = withOwnNotNulls(
      table,
      columns.filter(({ notNull }) => notNull).map((column) => column.name),
    );
  for (const clause of [...columns.flatMap((column) => column.constraints), ...constraints]) {
    // The table is empty, so NOT VALID means nothing here.
    if (clause.kind !== 'not null' || clause.columns.length > 0)
      table = withConstraint(table, { ...clause, notValid: false }, facts);
  }
  const bound = nodeIn(node['partbound']);
  return withReferences(withPartition(added(facts, table), table, parents, bound['is_default'] === true), table);
}

const withOwnNotNulls = (table: RelationFacts, names: readonly string[]): RelationFacts => ({
  ...table,
  constraints: [
    ...table.constraints,
    ...names.map((column) => ({
      name: `${table.name}_${column}_not_null`,
      kind: 'not null' as const,
      columns: [column],
      validated: true,
      deferrable: false,
      definition: `NOT NULL ${column}`,
      references: null,
    })),
  ],
});

function withParent(table: RelationFacts, parent: RelationFacts | undefined, partition: boolean): RelationFacts {
  if (parent === undefined) return table;
  const inherited = partition
    ? parent.constraints
    : parent.constraints.filter(({ kind }) => kind === 'check' || kind === 'not null');
  return {
    ...table,
    columns: [...table.columns, ...parent.columns.map((column) => ({ ...column, nullShare: null, widthBytes: null }))],
    constraints: [...table.constraints, ...inherited],
    indexes: partition
      ? parent.indexes.map((index) => ({ ...index, name: `${table.name}_${index.columns.join('_')}_idx`, bytes: 0 }))
      : table.indexes,
  };
}

function withLike(
  table: RelationFacts,
  clause: ReturnType<typeof fieldsOf>,
  schema: string,
  facts: SchemaFacts,
): RelationFacts {
  if (clause === null) return table;
  const of = relationIn(clause['relation'], schema);
  const source = relationOf(facts, of.schema, of.name);
  if (source === undefined) return table;
  const options = Number(clause['options'] ?? 0);
  const has = (bit: number): boolean => (options & bit) !== 0;
  return {
    ...table,
    columns: [
      ...table.columns,
      ...source.columns.map((column) => ({
        ...column,
        default: has(LIKE.defaults) ? column.default : null,
        generated: has(LIKE.generated) && column.generated,
        identity: has(LIKE.identity) && column.identity,
        nullShare: null,
        widthBytes: null,
      })),
    ],
    constraints: [
      ...table.constraints,
      ...source.constraints.filter(
        ({ kind }) =>
          kind === 'not null' ||
          (kind === 'check' && has(LIKE.constraints)) ||
          ((kind === 'primary' || kind === 'unique') && has(LIKE.indexes)),
      ),
    ],
    indexes: has(LIKE.indexes)
      ? [...table.indexes, ...source.indexes.map((index) => ({ ...index, bytes: 0 }))]
      : table.indexes,
  };
}

/** Every ancestor of a new partition or heir knows it. */
export function withPartition(
  facts: SchemaFacts,
  table: RelationFacts,
  parents: readonly Name[],
  isDefault: boolean,
): SchemaFacts {
  let after = facts;
  for (const parent of parents) {
    const own = {
      schema: table.schema,
      name: table.name,
      parent,
      leaf: table.partitions.length === 0,
      default: isDefault,
    };
    after = changed(after, [parent, ...ancestors(facts, parent)], (relation) => ({
      ...relation,
      rows: relation.rows === null || table.rows === null ? null : relation.rows + table.rows,
      heapBytes: relation.heapBytes + table.heapBytes,
      indexBytes: relation.indexBytes + table.indexBytes,
      partitions: [
        ...relation.partitions
          .filter((one) => !sameName(one, table))
          .map((one) => (sameName(one, parent) ? { ...one, leaf: false } : one)),
        own,
        ...table.partitions,
      ],
    }));
  }
  return after;
}

export const ancestors = (facts: SchemaFacts, name: Name): Name[] =>
  (relationOf(facts, name.schema, name.name)?.parents ?? []).flatMap((parent) => [parent, ...ancestors(facts, parent)]);

/** Tables that its foreign keys point at know of them. */
export function withReferences(facts: SchemaFacts, table: RelationFacts): SchemaFacts {
  let after = facts;
  for (const { name, kind, references } of table.constraints) {
    if (kind !== 'foreign' || references === null || sameName(references, table)) continue;
    const { columns } = referenced(references, facts);
    after = changed(after, references, (target) => ({
      ...target,
      referencedBy: [
        ...target.referencedBy.filter(
          (one) => one.constraint !== name || one.table !== table.name || one.schema !== table.schema,
        ),
        { schema: table.schema, table: table.name, constraint: name, columns },
      ],
    }));
  }
  return after;
}
