import { longNameFaults } from './long-names.ts';
import { parseSql, type SqlNode, SqlFault, statementsOf, unitsOfBytes, walkSql } from './parser.ts';

const PREFIX = 'SELECT ';
/** What the tree of `SELECT <expression>` has, and nothing else. */
const PLAIN_SELECT = new Set(['targetList', 'limitOption', 'op']);

/**
 * What is wrong with an expression over the columns of one row, such as `lower(email)`; null when nothing is. It is
 * parsed bare and in brackets: only an expression is right both ways.
 */
export function expressionFault(sql: string): SqlFault | null {
  if (sql.trim() === '') return new SqlFault('the expression is empty', 0);
  try {
    const target = targetOf(sql);
    parseSql(`${PREFIX}(${sql}\n)`);
    return insideFault(sql, target) ?? longNameFaults(sql)[0] ?? null;
  } catch (error) {
    if (error instanceof SqlFault) return new SqlFault(error.message, clamp(error.offset - PREFIX.length, sql));
    throw error;
  }
}

const clamp = (offset: number, sql: string): number => Math.max(0, Math.min(offset, sql.length));
const notOne = (): SqlFault => new SqlFault('this is not one expression over the columns of a row', PREFIX.length);

function targetOf(sql: string): SqlNode {
  const statements = statementsOf(PREFIX + sql);
  const node = statements[0]?.node;
  if (statements.length !== 1 || node === undefined) throw notOne();
  const targets = (node['targetList'] as SqlNode[] | undefined) ?? [];
  const target = targets[0]?.['ResTarget'] as SqlNode | undefined;
  const plain = Object.keys(node).every((key) => PLAIN_SELECT.has(key)) && node['op'] === 'SETOP_NONE';
  if (!plain || targets.length !== 1 || target === undefined || target['name'] !== undefined) throw notOne();
  return target['val'] as SqlNode;
}

function insideFault(sql: string, target: SqlNode): SqlFault | null {
  let fault: SqlFault | null = null;
  const blame = (message: string, fields: SqlNode): void => {
    const position = typeof fields['location'] === 'number' ? unitsOfBytes(PREFIX + sql, fields['location']) : 0;
    fault ??= new SqlFault(message, clamp(position - PREFIX.length, sql));
  };
  walkSql(target, (kind, fields) => {
    if (kind === 'SubLink') {
      blame('a sub-select reads other rows; an expression sees only the columns of its own row', fields);
      return false;
    }
    if (kind === 'A_Star') blame('* is not an expression; name the columns', fields);
    if (kind === 'ParamRef') blame('parameters ($1) have no value here', fields);
    if (kind === 'FuncCall' && fields['over'] !== undefined) blame('a window function reads other rows', fields);
    return true;
  });
  return fault;
}

/** The columns that an expression reads, as stored in the catalog; qualified ones by their last name. Sorted, each once. */
export function columnsOf(expression: string): string[] {
  const names = new Set<string>();
  walkSql(targetOf(expression), (kind, fields) => {
    if (kind !== 'ColumnRef') return;
    const last = ((fields['fields'] as SqlNode[] | undefined) ?? []).at(-1);
    const name = (last?.['String'] as SqlNode | undefined)?.['sval'];
    if (typeof name === 'string') names.add(name);
  });
  return [...names].toSorted();
}
