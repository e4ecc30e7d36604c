import type { IndexFacts, RelationFacts } from '../facts.ts';
import type { Statement } from '../parser.ts';
import { fieldsOf, listIn, type Name, nodeIn, relationIn, textIn } from '../tree.ts';

/** `CREATE INDEX`, as written. */
export interface WrittenIndex {
  /** null where Postgres finds a name. */
  name: string | null;
  table: Name;
  /** Key columns in order; null for an expression. */
  columns: readonly (string | null)[];
  /** All keys are plain columns, in ascending order with their type's own operators. */
  plain: boolean;
  unique: boolean;
  method: string;
  partial: boolean;
  /** ON ONLY: of a partitioned table by itself, without its partitions. */
  only: boolean;
  concurrently: boolean;
  ifNotExists: boolean;
}

export function writtenIndex({ kind, node }: Statement, schema: string): WrittenIndex | null {
  if (kind !== 'IndexStmt') return null;
  const elements = listIn(node['indexParams']).map((item) => fieldsOf(item, 'IndexElem') ?? {});
  return {
    name: textIn(node['idxname']) || null,
    table: relationIn(node['relation'], schema),
    columns: elements.map((element) => textIn(element['name']) || null),
    plain: elements.every(
      (element) =>
        textIn(element['name']) !== '' &&
        element['ordering'] !== 'SORTBY_DESC' &&
        element['nulls_ordering'] !== 'SORTBY_NULLS_FIRST' &&
        element['opclass'] === undefined &&
        element['collation'] === undefined,
    ),
    unique: node['unique'] === true,
    method: textIn(node['accessMethod']) || 'btree',
    partial: node['whereClause'] !== undefined,
    only: nodeIn(node['relation'])['inh'] !== true,
    concurrently: node['concurrent'] === true,
    ifNotExists: node['if_not_exists'] === true,
  };
}

/** Whether an index of the catalog has plain columns only, in ascending order: `(a, b)`, not `(a DESC)`. */
export const isPlain = ({ columns, definition }: IndexFacts): boolean =>
  columns.every((column) => column !== null) && !/ DESC| NULLS FIRST|_ops\b| COLLATE /.test(definition);

/** Whether `columns` start with `lead`, in any order where `anyOrder`. */
export function startsWith(
  columns: readonly (string | null)[],
  lead: readonly (string | null)[],
  { anyOrder }: { anyOrder: boolean },
): boolean {
  if (lead.length > columns.length) return false;
  const first = columns.slice(0, lead.length);
  return anyOrder ? lead.every((column) => first.includes(column)) : lead.every((column, at) => first[at] === column);
}

/** The index of that name with its table, among all tables of the facts. */
export function indexNamed(
  relations: readonly RelationFacts[],
  { schema, name }: Name,
): { table: RelationFacts; index: IndexFacts } | null {
  for (const table of relations) {
    const index = table.schema === schema ? table.indexes.find((one) => one.name === name) : undefined;
    if (index !== undefined) return { table, index };
  }
  return null;
}
