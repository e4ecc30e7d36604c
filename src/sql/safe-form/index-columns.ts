import type { SqlNode } from '../parser.ts';
import { fieldsOf, listIn } from '../tree.ts';
import { distinctNames } from './object-name.ts';
import { text } from './tree.ts';

/** The names that Postgres gives an index's columns, which the index's own name is made of. */
export function indexColumnNames(node: SqlNode): string[] {
  const elements = [...listIn(node['indexParams']), ...listIn(node['indexIncludingParams'])];
  return distinctNames(
    elements.map((element) => {
      const fields = fieldsOf(element, 'IndexElem') ?? {};
      return text(fields['indexcolname']) ?? text(fields['name']) ?? expressionName(fields['expr']) ?? 'expr';
    }),
  );
}

/** How Postgres names the column of an expression. Source: FigureColnameInternal. */
function expressionName(expression: unknown): string | null {
  const call = fieldsOf(expression, 'FuncCall');
  if (call !== null) return lastName(call['funcname']);
  const cast = fieldsOf(expression, 'TypeCast');
  if (cast !== null)
    return expressionName(cast['arg']) ?? lastName((cast['typeName'] as SqlNode | undefined)?.['names']);
  const collated = fieldsOf(expression, 'CollateClause');
  if (collated !== null) return expressionName(collated['arg']);
  const column = fieldsOf(expression, 'ColumnRef');
  if (column !== null) return lastName(column['fields']);
  if (fieldsOf(expression, 'CaseExpr') !== null)
    return expressionName(fieldsOf(expression, 'CaseExpr')?.['defresult']) ?? 'case';
  if (fieldsOf(expression, 'CoalesceExpr') !== null) return 'coalesce';
  if (fieldsOf(expression, 'A_ArrayExpr') !== null) return 'array';
  if (fieldsOf(expression, 'RowExpr') !== null) return 'row';
  const minMax = fieldsOf(expression, 'MinMaxExpr');
  if (minMax !== null) return minMax['op'] === 'IS_LEAST' ? 'least' : 'greatest';
  return fieldsOf(expression, 'A_Expr')?.['kind'] === 'AEXPR_NULLIF' ? 'nullif' : null;
}

const lastName = (names: unknown): string | null =>
  listIn(names)
    .map((item) => text(fieldsOf(item, 'String')?.['sval']))
    .findLast((name) => name !== null) ?? null;
