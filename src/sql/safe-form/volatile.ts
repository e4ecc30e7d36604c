import type { SchemaFacts } from '../facts.ts';
import { walkSql } from '../parser.ts';
import { textsIn } from '../tree.ts';

/**
 * Whether an expression gives another value for each row. A function that the facts don't know counts as volatile: the
 * form for these is right for all, only slower.
 */
export function isVolatile(expression: unknown, schema: string, facts: SchemaFacts): boolean {
  let volatile = false;
  walkSql(expression, (kind, fields) => {
    if (kind === 'FuncCall' && isVolatileFunction(textsIn(fields['funcname']), schema, facts)) volatile = true;
    // What a sub-select answers is another thing each time, and isn't allowed in a default anyway.
    if (kind === 'SubLink') volatile = true;
  });
  return volatile;
}

function isVolatileFunction(names: readonly string[], schema: string, facts: SchemaFacts): boolean {
  const name = names.at(-1);
  const [stated] = names.length > 1 ? names.slice(-2, -1) : [];
  const schemas = stated === undefined ? ['pg_catalog', schema] : [stated];
  const known = facts.functions.filter((fact) => fact.name === name && schemas.includes(fact.schema));
  return known.length === 0 || known.some(({ volatility }) => volatility === 'volatile');
}
