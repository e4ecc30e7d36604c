import type { SchemaFacts } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import { fieldsOf, kindOf, listIn, nodeIn, relationIn, textIn, textsIn } from '../tree.ts';
import { find } from './relation-words.ts';

/**
 * The names of a query's columns, as Postgres would give them; null where that can't be told for sure: an expression
 * without a name, `*` of something else than known tables, a join that merges columns.
 */
export function queryColumns(query: unknown, schema: string, facts: SchemaFacts): string[] | null {
  const { kind, fields } = kindOf(query);
  if (kind !== 'SelectStmt') return null;
  // A set operation has the names of its first branch.
  if (fields['op'] !== 'SETOP_NONE') return queryColumns({ SelectStmt: nodeIn(fields['larg']) }, schema, facts);
  const sources = sourcesOf(fields, schema, facts);
  const names: string[] = [];
  for (const item of listIn(fields['targetList'])) {
    const target = fieldsOf(item, 'ResTarget') ?? {};
    const own = textIn(target['name']);
    const found = own === '' ? columnsOfTarget(target['val'], sources) : [own];
    if (found === null) return null;
    names.push(...found);
  }
  return names;
}

interface Source {
  alias: string;
  columns: readonly string[];
}

/** The tables of FROM in order, or null where one of them isn't a table whose columns are known. */
function sourcesOf(select: SqlNode, schema: string, facts: SchemaFacts): Source[] | null {
  if (select['withClause'] !== undefined) return null;
  const sources: Source[] = [];
  for (const item of listIn(select['fromClause'])) {
    const range = fieldsOf(item, 'RangeVar');
    const table = range === null ? undefined : find(facts, relationIn(range, schema));
    const alias = nodeIn(range?.['alias']);
    if (range === null || table === undefined || alias['colnames'] !== undefined) return null;
    sources.push({
      alias: textIn(alias['aliasname']) || table.name,
      columns: table.columns.map((column) => column.name),
    });
  }
  return sources;
}

function columnsOfTarget(value: unknown, sources: Source[] | null): string[] | null {
  const { kind, fields } = kindOf(value);
  if (kind === 'FuncCall') return textsIn(fields['funcname']).slice(-1);
  if (kind === 'TypeCast') {
    const inner = kindOf(fields['arg']).kind;
    return inner === 'ColumnRef' || inner === 'FuncCall' ? columnsOfTarget(fields['arg'], sources) : null;
  }
  if (kind !== 'ColumnRef') return null;
  const parts = listIn(fields['fields']);
  if (fieldsOf(parts.at(-1), 'A_Star') === null) return textsIn(parts).slice(-1);
  if (sources === null) return null;
  const [of] = textsIn(parts.slice(0, -1)).slice(-1);
  const wanted = of === undefined ? sources : sources.filter(({ alias }) => alias === of);
  return wanted.length === 0 ? null : wanted.flatMap(({ columns }) => [...columns]);
}
