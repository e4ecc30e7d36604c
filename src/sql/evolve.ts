import {
  type FunctionFacts,
  type IndexFacts,
  type RelationFacts,
  relationOf,
  type SchemaFacts,
  type TypeFacts,
} from './facts.ts';
import { alterTable } from './evolve/alter-table.ts';
import { added, changed, columnsNamed, newIndex, newRelation } from './evolve/catalog.ts';
import { createTable } from './evolve/create-table.ts';
import { drop } from './evolve/drop.ts';
import { rename, setSchema } from './evolve/rename.ts';
import { familyOf } from './impact/draft.ts';
import type { SqlNode, Statement } from './parser.ts';
import { tablesTouched } from './tables.ts';
import { fieldsOf, kindOf, listIn, type Name, nameIn, nodeIn, relationIn, sameName, textIn, textsIn } from './tree.ts';
import { typeOf, typeText } from './type-name.ts';

/**
 * The facts after a statement has run, as far as the statement itself says. What it makes is fresh and empty: nobody
 * uses it yet. What only Postgres knows (the columns of a query, grants, storage) stays as it was or is left empty.
 */
export function evolve(facts: SchemaFacts, statement: Statement, schema: string): SchemaFacts {
  return KINDS[statement.kind]?.(facts, statement, schema) ?? facts;
}

type OfKind = (facts: SchemaFacts, statement: Statement, schema: string) => SchemaFacts;

const KINDS: Readonly<Record<string, OfKind>> = {
  AlterTableStmt: alterTable,
  CreateStmt: createTable,
  CreateForeignTableStmt: (facts, { node, ...rest }, schema) => {
    const base = nodeIn(node['base']);
    const after = createTable(facts, { ...rest, node: base }, schema);
    return changed(after, relationIn(base['relation'], schema), (relation) => ({ ...relation, kind: 'foreign' }));
  },
  DropStmt: drop,
  RenameStmt: rename,
  AlterObjectSchemaStmt: setSchema,
  IndexStmt: createIndex,
  CreateTableAsStmt: (facts, statement, schema) => {
    const { node } = statement;
    const kind = node['objtype'] === 'OBJECT_MATVIEW' ? 'materialized view' : 'table';
    const name = relationIn(nodeIn(node['into'])['rel'], schema);
    return createFromQuery(facts, statement, { name, kind, schema });
  },
  ViewStmt: (facts, statement, schema) =>
    createFromQuery(facts, statement, { name: relationIn(statement.node['view'], schema), kind: 'view', schema }),
  CreateSeqStmt: (facts, { node }, schema) => addNew(facts, relationIn(node['sequence'], schema), 'sequence'),
  CreateTrigStmt: (facts, { node, text }, schema) => {
    const trigger = { name: textIn(node['trigname']), definition: text, enabled: true };
    return changed(facts, relationIn(node['relation'], schema), (relation) => ({
      ...relation,
      triggers: [...relation.triggers.filter(({ name }) => name !== trigger.name), trigger],
    }));
  },
  CreateEnumStmt: (facts, { node }, schema) =>
    addType(facts, nameIn(textsIn(node['typeName']), schema), { kind: 'enum', labels: textsIn(node['vals']) }),
  AlterEnumStmt: alterEnum,
  CreateDomainStmt: (facts, { node }, schema) =>
    addType(facts, nameIn(textsIn(node['domainname']), schema), {
      kind: 'domain',
      domain: {
        base: typeText(typeOf(nodeIn(node['typeName']), schema)),
        constrained: listIn(node['constraints']).some((item) => isCheck(fieldsOf(item, 'Constraint'))),
      },
    }),
  AlterDomainStmt: (facts, { node }, schema) =>
    withType(facts, nameIn(textsIn(node['typeName']), schema), (type) => ({
      ...type,
      domain:
        type.domain == null
          ? null
          : { ...type.domain, constrained: type.domain.constrained || 'CO'.includes(textIn(node['subtype'])) },
    })),
  CompositeTypeStmt: (facts, { node }, schema) =>
    addType(facts, relationIn(node['typevar'], schema), { kind: 'composite' }),
  CreateRangeStmt: (facts, { node }, schema) =>
    addType(facts, nameIn(textsIn(node['typeName']), schema), { kind: 'range' }),
  CreateFunctionStmt: createFunction,
  CreateSchemaStmt: (facts, { node }) => {
    const name = textIn(node['schemaname']);
    const known = facts.schemas.some((one) => one.name === name);
    return known ? facts : { ...facts, schemas: [...facts.schemas, { name, mayCreate: true }] };
  },
};

function addNew(
  facts: SchemaFacts,
  name: Name,
  kind: RelationFacts['kind'],
  more: Partial<RelationFacts> = {},
): SchemaFacts {
  return relationOf(facts, name.schema, name.name) === undefined
    ? added(facts, { ...newRelation(name, kind), ...more })
    : facts;
}

function createIndex(facts: SchemaFacts, { node, text }: Statement, schema: string): SchemaFacts {
  const of = relationIn(node['relation'], schema);
  const table = relationOf(facts, of.schema, of.name);
  if (table === undefined) return facts;
  const columns = listIn(node['indexParams']).map((item) => {
    const name = fieldsOf(item, 'IndexElem')?.['name'];
    return typeof name === 'string' ? name : null;
  });
  const name = textIn(node['idxname']) || `${table.name}_${columns.map((column) => column ?? 'expr').join('_')}_idx`;
  if (relationOf(facts, of.schema, name) !== undefined || table.indexes.some((index) => index.name === name))
    return facts;
  const method = textIn(node['accessMethod']) || 'btree';
  const plain = newIndex(name, columns, table);
  const index: IndexFacts = {
    ...plain,
    unique: node['unique'] === true,
    partial: node['whereClause'] !== undefined,
    method,
    definition:
      columns.includes(null) || node['whereClause'] !== undefined || method !== 'btree'
        ? text
        : `${node['unique'] === true ? 'CREATE UNIQUE INDEX' : 'CREATE INDEX'}${plain.definition.slice('CREATE INDEX'.length)}`,
  };
  // ON ONLY a partitioned table makes an index that is not valid until every partition's is attached.
  const only = nodeIn(node['relation'])['inh'] !== true && table.partitions.length > 0;
  const own = changed(facts, of, (relation) => ({
    ...relation,
    indexes: [...relation.indexes, { ...index, valid: !only }],
  }));
  const withIndex = added(own, { ...newRelation({ schema: of.schema, name }, 'index'), of });
  if (only || table.kind !== 'partitioned') return withIndex;
  return changed(withIndex, familyOf(table).slice(1), (partition) => ({
    ...partition,
    indexes: [...partition.indexes, { ...index, name: `${partition.name}_${columns.join('_')}_idx` }],
  }));
}

/** A view or a table made of a query: what it reads knows of it; its own columns are not known. */
function createFromQuery(
  facts: SchemaFacts,
  { node, text }: Statement,
  { name, kind, schema }: { name: Name; kind: 'view' | 'materialized view' | 'table'; schema: string },
): SchemaFacts {
  const after = addNew(facts, name, kind);
  if (kind === 'table') return after;
  // `*` as a column, not that of count(*).
  const star = JSON.stringify(node).includes('"A_Star"');
  const read = tablesTouched(text, schema).map((ref) => ({ schema: ref.schema, name: ref.table }));
  return changed(
    after,
    read.filter((one) => !sameName(one, name)),
    (relation) => ({
      ...relation,
      readBy: [
        ...relation.readBy.filter((one) => !sameName(one, name)),
        {
          ...name,
          kind,
          columns: star ? relation.columns.map((column) => column.name) : columnsNamed(relation, text),
        },
      ],
    }),
  );
}

const isCheck = (constraint: SqlNode | null): boolean =>
  constraint?.['contype'] === 'CONSTR_CHECK' || constraint?.['contype'] === 'CONSTR_NOTNULL';

function addType(facts: SchemaFacts, name: Name, type: Partial<TypeFacts> & Pick<TypeFacts, 'kind'>): SchemaFacts {
  if (facts.types.some((one) => sameName(one, name))) return facts;
  return { ...facts, types: [...facts.types, { ...name, labels: [], owned: true, usedBy: [], ...type }] };
}
const withType = (facts: SchemaFacts, name: Name, change: (type: TypeFacts) => TypeFacts): SchemaFacts => ({
  ...facts,
  types: facts.types.map((type) => (sameName(type, name) ? change(type) : type)),
});

function alterEnum(facts: SchemaFacts, { node }: Statement, schema: string): SchemaFacts {
  const [old, value, next] = [node['oldVal'], node['newVal'], node['newValNeighbor']].map(textIn);
  return withType(facts, nameIn(textsIn(node['typeName']), schema), (type) => {
    if (old !== '') return { ...type, labels: type.labels.map((label) => (label === old ? (value ?? '') : label)) };
    if (type.labels.includes(value ?? '')) return type;
    const at =
      next === '' ? type.labels.length : type.labels.indexOf(next ?? '') + (node['newValIsAfter'] === true ? 1 : 0);
    return { ...type, labels: [...type.labels.slice(0, at), value ?? '', ...type.labels.slice(at)] };
  });
}

function createFunction(facts: SchemaFacts, { node }: Statement, schema: string): SchemaFacts {
  const name = nameIn(textsIn(node['funcname']), schema);
  const options = listIn(node['options']).map((item) => fieldsOf(item, 'DefElem') ?? {});
  const option = (of: string): SqlNode => kindOf(options.find((one) => one['defname'] === of)?.['arg']).fields;
  const volatility = textIn(option('volatility')['sval']);
  const parameters = listIn(node['parameters'])
    .map((item) => fieldsOf(item, 'FunctionParameter') ?? {})
    .filter(({ mode }) => mode !== 'FUNC_PARAM_OUT' && mode !== 'FUNC_PARAM_TABLE')
    .map((one) => [textIn(one['name']), typeText(typeOf(nodeIn(one['argType']), schema))].filter(Boolean).join(' '));
  const made: FunctionFacts = {
    ...name,
    arguments: parameters.join(', '),
    result: node['returnType'] === undefined ? '' : typeText(typeOf(nodeIn(node['returnType']), schema)),
    volatility: volatility === 'immutable' || volatility === 'stable' ? volatility : 'volatile',
    securityDefiner: option('security')['boolval'] === true,
    fixedSearchPath: options.some(
      (one) => one['defname'] === 'set' && fieldsOf(one['arg'], 'VariableSetStmt')?.['name'] === 'search_path',
    ),
    language: textIn(option('language')['sval']),
    owned: true,
  };
  const others = facts.functions.filter((one) => !sameName(one, name) || one.arguments !== made.arguments);
  return { ...facts, functions: [...others, made] };
}
