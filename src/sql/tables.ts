import { type SqlNode, type Statement, statementsOf, walkSql } from './parser.ts';
import { listIn, textsIn } from './tree.ts';

export interface TableRef {
  schema: string;
  table: string;
}

/** Kinds of object whose name, in DROP, RENAME, COMMENT and the like, is a relation's that a claim can hold. */
const RELATION_OBJECTS = new Set(['OBJECT_TABLE', 'OBJECT_VIEW', 'OBJECT_MATVIEW', 'OBJECT_FOREIGN_TABLE']);
/** Kinds of object that belong to a table, whose name comes last in theirs (`COMMENT ON COLUMN t.c`). */
const PARTS_OF_TABLE = new Set([
  'OBJECT_COLUMN',
  'OBJECT_TABCONSTRAINT',
  'OBJECT_TRIGGER',
  'OBJECT_RULE',
  'OBJECT_POLICY',
]);
/** Objects of their own, named like a table in the parse tree: an index, a sequence, a composite type. */
const NOT_A_TABLE = new Set(['OBJECT_INDEX', 'OBJECT_SEQUENCE', 'OBJECT_TYPE']);

/**
 * The tables (and views) that statements name, unqualified ones in `schema`: created, altered, dropped, indexed,
 * referenced by a foreign key, read by a view. What only the catalog knows (the table of an index that is dropped, the
 * tables that CASCADE reaches, bodies of functions) is not among them. Sorted, each once.
 */
export function tablesTouched(sql: string, schema: string): TableRef[] {
  const found = new Map<string, TableRef>();
  for (const statement of statementsOf(sql)) {
    for (const ref of tablesOf(statement, schema)) found.set(JSON.stringify([ref.schema, ref.table]), ref);
  }
  return [...found.values()].toSorted((a, b) => order(a.schema, b.schema) || order(a.table, b.table));
}

/** Order by UTF-16 unit: the same on every machine, whatever its language. */
export const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function tablesOf({ kind, node }: Statement, schema: string): TableRef[] {
  const objectType = [node['removeType'], node['renameType'], node['objtype'], node['objectType']].find(isText) ?? '';
  const refs: TableRef[] = [];
  if (kind === 'DropStmt' || kind === 'CommentStmt' || kind === 'SecLabelStmt') {
    for (const object of kind === 'DropStmt' ? listIn(node['objects']) : [node['object']]) {
      const names = textsIn(object);
      if (RELATION_OBJECTS.has(objectType)) refs.push(qualified(names, schema));
      else if (PARTS_OF_TABLE.has(objectType)) refs.push(qualified(names.slice(0, -1), schema));
    }
    return refs.filter((ref) => ref.table !== '');
  }
  if (NOT_A_TABLE.has(objectType)) return [];
  const own = new Set<unknown>();
  if (kind === 'CreateSeqStmt' || kind === 'AlterSeqStmt') {
    own.add(node['sequence']);
    const owner = ownerTable(node['options'], schema);
    if (owner !== null) refs.push(owner);
  }
  if (kind === 'CompositeTypeStmt') own.add(node['typevar']);
  const hidden = commonTableNames(node);
  visitRelations(node, (relation) => {
    if (own.has(relation)) return;
    const table = String(relation['relname']);
    const stated = relation['schemaname'];
    if (stated === undefined && hidden.has(table)) return;
    refs.push({ schema: typeof stated === 'string' ? stated : schema, table });
  });
  return refs;
}

/** Every RangeVar, wrapped in its kind (in lists) or not (in a field of its own). */
function visitRelations(node: unknown, visit: (relation: SqlNode) => void): void {
  if (Array.isArray(node)) {
    for (const item of node) visitRelations(item, visit);
  } else if (typeof node === 'object' && node !== null) {
    if (typeof (node as SqlNode)['relname'] === 'string') visit(node as SqlNode);
    for (const value of Object.values(node)) visitRelations(value, visit);
  }
}

function commonTableNames(node: SqlNode): Set<string> {
  const names = new Set<string>();
  walkSql(node, (kind, fields) => {
    if (kind === 'CommonTableExpr') names.add(String(fields['ctename']));
  });
  return names;
}

function ownerTable(options: unknown, schema: string): TableRef | null {
  for (const option of listIn(options)) {
    const element = (option as SqlNode)['DefElem'] as SqlNode | undefined;
    if (element?.['defname'] !== 'owned_by') continue;
    const names = textsIn(element['arg']);
    return names.length > 1 ? qualified(names.slice(0, -1), schema) : null;
  }
  return null;
}

const isText = (value: unknown): value is string => typeof value === 'string';

const qualified = (names: readonly string[], schema: string): TableRef => ({
  schema: names.length > 1 ? (names.at(-2) ?? schema) : schema,
  table: names.at(-1) ?? '',
});
