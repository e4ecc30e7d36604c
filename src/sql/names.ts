import { type SqlNode, type Statement, statementsOf } from './parser.ts';
import { order, tablesTouched } from './tables.ts';
import { isNode, listIn, textsIn } from './tree.ts';

/** An object by its schema and name, as stored, without quotes. */
export interface UsedName {
  schema: string;
  name: string;
}
/** What statements name, by the namespace of the catalog that the names live in. Each once, sorted. */
export interface UsedNames {
  /** Tables, views, indexes and sequences. */
  relations: readonly UsedName[];
  types: readonly UsedName[];
  /** Functions, procedures and aggregates; an unqualified one is there for pg_catalog too. */
  functions: readonly UsedName[];
  schemas: readonly string[];
}

const RELATION_KINDS = new Set([
  'OBJECT_TABLE',
  'OBJECT_VIEW',
  'OBJECT_MATVIEW',
  'OBJECT_FOREIGN_TABLE',
  'OBJECT_INDEX',
  'OBJECT_SEQUENCE',
]);
const TYPE_KINDS = new Set(['OBJECT_TYPE', 'OBJECT_DOMAIN', 'OBJECT_DOMCONSTRAINT']);
const FUNCTION_KINDS = new Set(['OBJECT_FUNCTION', 'OBJECT_PROCEDURE', 'OBJECT_ROUTINE', 'OBJECT_AGGREGATE']);

/**
 * Everything that statements name and whose facts an analysis may want: unqualified names are those of `schema`.
 * What doesn't exist, or is made by the statements themselves, is among them too. Throws `SqlFault`.
 */
export function namesUsed(sql: string, schema: string): UsedNames {
  const found = new Found(schema);
  for (const { schema: of, table } of tablesTouched(sql, schema)) found.relations.add([of, table]);
  for (const statement of statementsOf(sql)) addNames(statement, found);
  return found.names();
}

class Found {
  readonly relations = new NameSet();
  readonly types = new NameSet();
  readonly functions = new NameSet();
  readonly schemas = new Set<string>();
  readonly schema: string;
  constructor(schema: string) {
    this.schema = schema;
    this.schemas.add(schema);
  }
  /** A name of one or two parts; of three, the first is the database. */
  qualified(parts: readonly string[]): [string, string] | null {
    const name = parts.at(-1);
    return name === undefined ? null : [parts.at(-2) ?? this.schema, name];
  }
  names(): UsedNames {
    const relations = this.relations.list();
    const types = this.types.list();
    const functions = this.functions.list();
    const schemas = new Set(this.schemas);
    for (const { schema } of [...relations, ...types, ...functions]) schemas.add(schema);
    return { relations, types, functions, schemas: [...schemas].toSorted(order) };
  }
}

class NameSet {
  readonly #byKey = new Map<string, UsedName>();
  add(parts: readonly [schema: string, name: string] | null): void {
    if (parts === null) return;
    const [schema, name] = parts;
    this.#byKey.set(JSON.stringify(parts), { schema, name });
  }
  list(): UsedName[] {
    return [...this.#byKey.values()].toSorted((a, b) => order(a.schema, b.schema) || order(a.name, b.name));
  }
}

function addNames({ kind, node }: Statement, found: Found): void {
  addObjects(kind, node, found);
  addOwnName(kind, node, found);
  visit(node, (fields) => {
    // A TypeName stands in some fields without its kind around it; its name and its modifier tell it.
    if (Array.isArray(fields['names']) && 'typemod' in fields) addType(textsIn(fields['names']), found);
    if (Array.isArray(fields['funcname'])) addFunction(textsIn(fields['funcname']), found);
  });
}

function visit(node: unknown, each: (fields: SqlNode) => void): void {
  if (Array.isArray(node)) for (const item of node) visit(item, each);
  if (!isNode(node)) return;
  each(node);
  for (const value of Object.values(node)) visit(value, each);
}

/** DROP, COMMENT, GRANT, ALTER … OWNER, SET SCHEMA: a kind of object, and one name or several. */
function addObjects(kind: string, node: SqlNode, found: Found): void {
  const objectType = [node['removeType'], node['renameType'], node['objtype'], node['objectType']].find(isText);
  if (node['targtype'] === 'ACL_TARGET_ALL_IN_SCHEMA') {
    for (const object of listIn(node['objects'])) addSchema(objectParts(object)[0], found);
    return;
  }
  // An index or a composite type that is altered is named like a table.
  if (kind === 'RenameStmt' || kind === 'AlterTableStmt' || kind === 'AlterObjectSchemaStmt') {
    if (objectType === 'OBJECT_TYPE' && isNode(node['relation']))
      addType(relationParts(node['relation'], found), found);
    else if (isNode(node['relation'])) found.relations.add(relationParts(node['relation'], found));
  }
  for (const object of [node['object'], ...listIn(node['objects'])]) {
    const parts = objectParts(object);
    if (RELATION_KINDS.has(objectType ?? '')) found.relations.add(found.qualified(parts));
    else if (TYPE_KINDS.has(objectType ?? '')) addType(parts, found);
    else if (FUNCTION_KINDS.has(objectType ?? '')) addFunction(parts, found);
    else if (objectType === 'OBJECT_SCHEMA') addSchema(parts[0], found);
  }
  addSchema(node['newschema'], found);
}

/** What a statement makes, or changes under a field of its own. */
function addOwnName(kind: string, node: SqlNode, found: Found): void {
  const relation = isNode(node['relation']) ? node['relation'] : null;
  const schemaOfTable = relation === null ? found.schema : relationParts(relation, found)[0];
  for (const field of ['typeName', 'domainname']) addType(textsIn(node[field]), found);
  if (kind === 'CompositeTypeStmt' && isNode(node['typevar'])) addType(relationParts(node['typevar'], found), found);
  if (kind === 'AlterFunctionStmt' && isNode(node['func'])) addFunction(textsIn(node['func']['objname']), found);
  if (isNode(node['sequence'])) found.relations.add(relationParts(node['sequence'], found));
  addSchema(node['schemaname'], found);
  // An index stands in its table's schema: one that is made, and one that a constraint takes over.
  if (typeof node['idxname'] === 'string') found.relations.add([schemaOfTable, node['idxname']]);
  visit(node['cmds'], (fields) => {
    if (isText(fields['indexname'])) found.relations.add([schemaOfTable, fields['indexname']]);
    if (isText(fields['relname'])) found.relations.add(relationParts(fields, found));
  });
}

function addSchema(name: unknown, found: Found): void {
  if (typeof name === 'string') found.schemas.add(name);
}

const relationParts = (relation: SqlNode, found: Found): [string, string] => [
  typeof relation['schemaname'] === 'string' ? relation['schemaname'] : found.schema,
  String(relation['relname']),
];

/** Postgres's own types are no facts; its parser writes `integer` as pg_catalog.int4. */
function addType(parts: readonly string[], found: Found): void {
  const name = found.qualified(parts);
  if (name !== null && name[0] !== 'pg_catalog') found.types.add(name);
}

function addFunction(parts: readonly string[], found: Found): void {
  const name = found.qualified(parts);
  if (name === null) return;
  found.functions.add(name);
  if (parts.length === 1) found.functions.add(['pg_catalog', name[1]]);
}

/** The name of an object, in whatever node it stands; of a domain's constraint, the domain's. */
function objectParts(object: unknown): string[] {
  if (!isNode(object)) return [];
  if (isNode(object['String'])) return [String(object['String']['sval'])];
  const [first] = listIn(isNode(object['List']) ? object['List']['items'] : undefined);
  return isNode(first) && isNode(first['TypeName']) ? textsIn(first) : textsIn(object);
}

const isText = (value: unknown): value is string => typeof value === 'string';
