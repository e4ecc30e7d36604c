import type { RelationFacts } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import { type Name, nodeIn } from '../tree.ts';
import { type TypeChange, typeChange } from '../type-change.ts';
import { typeIn, typeOf } from '../type-name.ts';
import { lockForeignKeyEnds, lockReferencing, readReferenced } from './constraints.ts';
import { familyOf, type ImpactDraft } from './draft.ts';
import { indexDiskBytes } from './index-size.ts';

/** What ALTER COLUMN TYPE does to the rows of one table, by the type that the catalog says the column has. */
export function typeChangeOf(
  { facts, schema }: Pick<ImpactDraft, 'facts' | 'schema'>,
  table: RelationFacts,
  { column, def }: { column: string; def: SqlNode },
): TypeChange {
  const had = table.columns.find(({ name }) => name === column);
  if (had === undefined) return { rewrites: false, reindexes: false };
  const to = typeOf(nodeIn(def['typeName']), schema);
  const change = typeChange(typeIn(had.type), to, { using: def['raw_default'], column, facts });
  return def['collClause'] === undefined ? change : { ...change, reindexes: true };
}

/** ALTER COLUMN TYPE of one table. Source: ATPrepAlterColumnType, ATPostAlterTypeCleanup. */
export function changeType(draft: ImpactDraft, name: Name, change: { column: string; def: SqlNode }): void {
  const table = draft.find(name);
  if (table === undefined) return;
  const { column } = change;
  const { rewrites, reindexes } = typeChangeOf(draft, table, change);
  const named = (columns: readonly string[]): boolean => columns.includes(column);
  if (rewrites) {
    draft.rewrite(name, `${column} is computed anew for every row`);
    draft.disk(table.heapBytes + table.indexBytes);
  } else {
    rebuild(draft, table, column, reindexes);
  }
  // The foreign keys are taken away and given anew, whatever becomes of the rows.
  lockForeignKeyEnds(draft, table, named);
  lockReferencing(draft, table, named);
  if (!rewrites && !reindexes) return;
  for (const { kind, columns, references } of table.constraints) {
    if (kind !== 'foreign' || references === null || !named(columns)) continue;
    draft.scan(name, 'its references are checked');
    readReferenced(draft, references);
  }
  for (const { schema, table: referencing, columns } of table.referencedBy) {
    if (!named(columns)) continue;
    const other = draft.find({ schema, name: referencing });
    for (const each of other === undefined ? [] : familyOf(other, other.kind !== 'partitioned')) {
      draft.scan(each, 'its references are checked');
    }
    draft.scan(name, 'it is searched for the references');
  }
}

/** Indexes that can't be kept, and checks that are made anew, read the table once more. */
function rebuild(draft: ImpactDraft, table: RelationFacts, column: string, reindexes: boolean): void {
  const name = { schema: table.schema, name: table.name };
  for (const index of table.indexes) {
    const plain = index.columns.includes(column);
    // What an expression or a predicate reads, Postgres doesn't compare: such an index is always built anew.
    const computed = (index.partial || index.columns.includes(null)) && mentions(index.definition, column);
    if (!(plain && reindexes) && !computed) continue;
    draft.scan(name, `the index ${index.name} is built anew`);
    draft.disk(indexDiskBytes(table, index.columns, draft.facts, index.method).peak);
  }
  const checked = table.constraints.filter(
    ({ kind, columns, validated }) => kind === 'check' && validated && columns.includes(column),
  );
  for (const check of checked) draft.scan(name, `${check.name} is checked anew`);
}

/** Whether a definition has the name as a word, after the columns' list has begun. */
const mentions = (definition: string, column: string): boolean =>
  definition
    .slice(definition.indexOf('('))
    .split(/[^\p{L}\p{N}_$]+/u)
    .includes(column) || definition.includes(`"${column.replaceAll('"', '""')}"`);
