import type { RelationFacts } from '../facts.ts';
import { parseSql, type SqlNode } from '../parser.ts';
import { fieldsOf, kindOf, listIn, textIn } from '../tree.ts';

/** Whether Postgres can tell that the column has no NULL without looking at the rows. */
export function provesNotNull(relation: RelationFacts, column: string): boolean {
  if (relation.columns.find(({ name }) => name === column)?.notNull === true && !hasInvalidNotNull(relation, column))
    return true;
  return relation.constraints.some(
    ({ kind, validated, definition }) => kind === 'check' && validated && saysNotNull(definition, column),
  );
}

/** Since Postgres 18 a NOT NULL can be there without having been validated. */
export const hasInvalidNotNull = (relation: RelationFacts, column: string): boolean =>
  relation.constraints.some(
    ({ kind, validated, columns }) => kind === 'not null' && !validated && columns.includes(column),
  );

/** Whether `CHECK ((a IS NOT NULL))`, or one with AND, says so of the column. */
export function saysNotNull(definition: string, column: string): boolean {
  const expression = /^CHECK\s*(\([\s\S]*\))/i.exec(definition)?.[1];
  if (expression === undefined || /\bNOT ENFORCED\s*$/i.test(definition)) return false;
  try {
    const select = fieldsOf(parseSql(`SELECT ${balanced(expression)}`).stmts?.[0]?.stmt, 'SelectStmt');
    return implies(fieldsOf(listIn(select?.['targetList'])[0], 'ResTarget')?.['val'], column);
  } catch {
    return false;
  }
}

/** The text up to the bracket that closes the first: `((a > 0)) NO INHERIT` → `((a > 0))`. */
function balanced(text: string): string {
  const end = text.lastIndexOf(')');
  return text.slice(0, end + 1);
}

function implies(node: unknown, column: string): boolean {
  const { kind, fields } = kindOf(node);
  if (kind === 'BoolExpr' && fields['boolop'] === 'AND_EXPR') {
    return listIn(fields['args']).some((each) => implies(each, column));
  }
  if (kind !== 'NullTest' || fields['nulltesttype'] !== 'IS_NOT_NULL') return false;
  const names = listIn(fieldsOf(fields['arg'], 'ColumnRef')?.['fields']) as SqlNode[];
  return names.length === 1 && textIn(fieldsOf(names[0], 'String')?.['sval']) === column;
}
