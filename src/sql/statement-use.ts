import { SqlFault, type SqlNode, type Statement, statementsOf, walkSql } from './parser.ts';
import { fieldsOf, listIn, nodeIn, textIn, textsIn } from './tree.ts';

/** A table, or a column of it, as a statement of a client may use it. */
export interface UsedName {
  schema: string;
  table: string;
  /** null: the table as a whole. */
  column: string | null;
}

/** Statements that read or write rows; others, such as ALTER TABLE, are nobody's use of a column. */
const ROWS = ['SelectStmt', 'InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt', 'CopyStmt', 'DeclareCursorStmt'];

/**
 * Whether a statement reads or writes the table or column. The name of a result (`AS full_name`) is no use of a column
 * of that name. `SELECT *` is none either: it takes what is there. What can't be parsed counts as a use.
 */
export function usesName(sql: string, name: UsedName): boolean {
  let statements: Statement[];
  try {
    statements = statementsOf(sql);
  } catch (error) {
    if (error instanceof SqlFault) return true;
    throw error;
  }
  return statements.some((statement) => ROWS.includes(statement.kind) && statementUses(statement, name));
}

function statementUses({ kind, node }: Statement, name: UsedName): boolean {
  const tree = { [kind]: node };
  const called = namesOf(tree, name);
  if (called.size === 0) return false;
  return name.column === null || scan(tree, { name, column: name.column, called, target: false, result: false });
}

/** What is known at a place of the tree. */
interface Place {
  name: UsedName;
  column: string;
  /** The names under which the table goes. */
  called: ReadonlySet<string>;
  /** Whether the statement round it writes the table. */
  target: boolean;
  /** Whether a bare name here can be the result of that name (ORDER BY, GROUP BY). */
  result: boolean;
}

function scan(value: unknown, place: Place): boolean {
  if (Array.isArray(value)) return value.some((item) => scan(item, place));
  if (typeof value !== 'object' || value === null) return false;
  const fields = value as SqlNode;
  const relation = fields['relation'];
  const here = relation === undefined ? place : { ...place, target: isTable(nodeIn(relation), place.name) };
  if (writes(fields, here)) return true;
  const results = fields['op'] !== undefined && targets(fields['targetList']).includes(place.column);
  return Object.entries(fields).some(([key, part]) => {
    if (key === 'ColumnRef') return refers(nodeIn(part), here);
    const result = results && (key === 'sortClause' || key === 'groupClause');
    return scan(part, result ? { ...here, result } : here);
  });
}

/** A column by its bare name, or by a name of the table. */
function refers(fields: SqlNode, { column, called, target, result }: Place): boolean {
  const texts = textsIn(listIn(fields['fields']));
  if (texts.at(-1) !== column) return false;
  const qualifier = texts.at(-2);
  if (qualifier === undefined) return !result;
  return called.has(qualifier) || (qualifier === 'excluded' && target);
}

/** An assignment in UPDATE, INSERT, ON CONFLICT or MERGE, or a column of COPY. A SELECT's targets are results. */
function writes(fields: SqlNode, { column, target }: Place): boolean {
  if (!target || fields['op'] !== undefined) return false;
  return [...targets(fields['targetList']), ...targets(fields['cols']), ...textsIn(listIn(fields['attlist']))].includes(
    column,
  );
}
const targets = (list: unknown): string[] =>
  listIn(list).map((item) => textIn(nodeIn(fieldsOf(item, 'ResTarget'))['name']));

const isTable = (fields: SqlNode, { schema, table }: UsedName): boolean => {
  const given = textIn(fields['schemaname']);
  return textIn(fields['relname']) === table && (given === '' || given === schema);
};

/** The names under which the table goes in the statement, its aliases; empty where the statement doesn't mean it. */
function namesOf(tree: unknown, name: UsedName): Set<string> {
  const called = new Set<string>();
  const look = (fields: SqlNode): void => {
    if (isTable(fields, name)) called.add(textIn(nodeIn(fields['alias'])['aliasname']) || name.table);
  };
  walkSql(tree, (kind, fields) => {
    if (kind === 'RangeVar') look(fields);
    // The target of INSERT, UPDATE, DELETE, MERGE and COPY is a RangeVar without its kind.
    if (fields['relation'] !== undefined) look(nodeIn(fields['relation']));
  });
  return called;
}
