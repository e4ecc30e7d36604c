import { QuoteUtils } from 'pgsql-deparser';
import { deparse } from '../deparse.ts';
import { relationOf } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import { type Name, textsIn } from '../tree.ts';
import { alter, alterAs, type AlteredTable, validate } from './altered-table.ts';
import { isKnownNotNull, notNullForm } from './not-null.ts';
import { distinctNames } from './object-name.ts';
import { attachIndex, children } from './partitioned-index.ts';
import { command, rangeVar, text } from './tree.ts';
import { concurrent, type SafeForm, type SafeUnit, unitsOf } from './unit.ts';

/**
 * A unique constraint or primary key builds its index under a lock that holds up writers; one that is there is taken over.
 * `body` is the constraint in the author's words, from UNIQUE or PRIMARY KEY on.
 */
export function uniqueForm(constraint: SqlNode, table: AlteredTable, body: string | null = null): SafeForm | null {
  const isPrimary = constraint['contype'] === 'CONSTR_PRIMARY';
  if (constraint['without_overlaps'] === true) return null;
  const existing = text(constraint['indexname']);
  const keys = existing === null ? textsIn(constraint['keys']) : keysOfIndex(existing, table);
  const nullable = isPrimary ? keys.filter((key) => !isKnownNotNull(key, table.relation)) : [];
  const before = nullable.map((key) => notNullForm(key, null, table));
  if (before.includes(null)) return null;
  const notNull = before.flatMap((form) => form?.units ?? []);
  const avoids = [
    ...(isPrimary ? ['primary-key-builds-index'] : ['unique-constraint-builds-index']),
    ...(nullable.length > 0 ? ['set-not-null-scan'] : []),
  ];
  if (existing !== null) {
    const as = alter(table, command('AT_AddConstraint', { def: { Constraint: constraint } }));
    if (notNull.length === 0 || as === null) return null;
    return {
      units: [...notNull, { text: as, concurrently: false }],
      why: 'the columns of the key are made NOT NULL first, without holding up anyone',
      avoids,
    };
  }
  const built =
    table.relation.kind === 'partitioned' ? partitionedUnits(constraint, table, body) : plainUnits(constraint, table);
  if (built === null) return null;
  const why = 'its index is built CONCURRENTLY first, so that writers go on meanwhile';
  return { units: [...notNull, ...built], why, avoids };
}

const keysOfIndex = (name: string, { relation }: AlteredTable): string[] =>
  relation.indexes.find((index) => index.name === name)?.columns.filter((column) => column !== null) ?? [];

function plainUnits(constraint: SqlNode, table: AlteredTable): SafeUnit[] | null {
  const { relation, node } = table;
  const name = text(constraint['conname']) ?? chosenName(constraint, relation, table);
  const { inh: _inh, location: _location, ...of } = node;
  return unitsOf(
    indexSql(constraint, { ...of, inh: true }, { name, concurrently: true }),
    takeOver(table, constraint, name),
  );
}

function chosenName(constraint: SqlNode, { schema, name }: Name, { taken }: AlteredTable): string {
  if (constraint['contype'] === 'CONSTR_PRIMARY')
    return taken.index({ schema, table: name, columns: [], label: 'pkey' });
  const columns = distinctNames([...textsIn(constraint['keys']), ...textsIn(constraint['including'])]);
  return taken.index({ schema, table: name, columns, label: 'key' });
}

function indexSql(
  constraint: SqlNode,
  relation: SqlNode,
  { name, concurrently }: { name: string; concurrently: boolean },
): SafeUnit | null {
  const element = (column: string): SqlNode => ({
    IndexElem: { name: column, ordering: 'SORTBY_DEFAULT', nulls_ordering: 'SORTBY_NULLS_DEFAULT' },
  });
  const including = textsIn(constraint['including']).map(element);
  const sql = deparse({
    kind: 'IndexStmt',
    node: {
      idxname: name,
      relation,
      accessMethod: 'btree',
      indexParams: textsIn(constraint['keys']).map(element),
      ...(including.length > 0 && { indexIncludingParams: including }),
      ...(constraint['options'] !== undefined && { options: constraint['options'] }),
      ...(constraint['indexspace'] !== undefined && { tableSpace: constraint['indexspace'] }),
      ...(constraint['nulls_not_distinct'] === true && { nulls_not_distinct: true }),
      unique: true,
      ...(concurrently && { concurrent: true }),
    },
  });
  return sql === null ? null : concurrent(sql);
}

/** The constraint takes an index over: columns and storage are the index's. */
function takeOver(table: AlteredTable, constraint: SqlNode, name: string): string | null {
  const add = (indexname: string): SqlNode =>
    command('AT_AddConstraint', {
      def: {
        Constraint: {
          contype: constraint['contype'],
          conname: name,
          ...(constraint['deferrable'] === true && { deferrable: true }),
          ...(constraint['initdeferred'] === true && { initdeferred: true }),
          indexname,
        },
      },
    });
  // The deparser leaves this one name without its quotes.
  const quoted = (): string | null =>
    alter(table, add(PLAIN_NAME))?.replace(`INDEX ${PLAIN_NAME}`, () => `INDEX ${QuoteUtils.quoteIdentifier(name)}`) ??
    null;
  return alterAs(table, [add(name)], quoted);
}
const PLAIN_NAME = 'index_that_is_there';

/** On the parent alone it is a moment's work; each leaf takes over an index of its own, and is attached. */
function partitionedUnits(constraint: SqlNode, table: AlteredTable, body: string | null): SafeUnit[] | null {
  const { relation, facts } = table;
  if (table.node['inh'] !== true) return null;
  const below = relation.partitions.flatMap((part) => relationOf(facts, part.schema, part.name) ?? []);
  if (below.some(({ kind }) => kind === 'foreign')) return null;
  // A table has one primary key: the statement as written takes over that of a partition.
  const hasPrimary = below.some(({ constraints }) => constraints.some(({ kind }) => kind === 'primary'));
  if (constraint['contype'] === 'CONSTR_PRIMARY' && hasPrimary) return null;
  const units: SafeUnit[] = [];
  const add = (...more: readonly (SafeUnit | string | null)[]): boolean => {
    const written = unitsOf(...more);
    units.push(...(written ?? []));
    return written !== null;
  };
  const onParentAlone = (parent: Name, name: string): string | null => {
    const { location: _location, ...rest } = constraint;
    const only = { ...table, node: rangeVar(parent, { only: true }) };
    return alterAs(only, [command('AT_AddConstraint', { def: { Constraint: { ...rest, conname: name } } })], () => {
      // The deparser loses INCLUDE, WITH and TABLESPACE.
      const head = validate(only, name)?.replace(' VALIDATE CONSTRAINT ', () => ' ADD CONSTRAINT ');
      return head === undefined || body === null ? null : `${head} ${body}`;
    });
  };
  const addBelow = (parent: Name, parentName: string): boolean =>
    children(relation, parent).every((child) => {
      const name = chosenName(constraint, child, table);
      const on = { ...table, node: rangeVar(child) };
      const made = child.leaf
        ? add(indexSql(constraint, rangeVar(child), { name, concurrently: true }), takeOver(on, constraint, name))
        : add(onParentAlone(child, name)) && addBelow(child, name);
      const parentIndex = { schema: parent.schema, name: parentName };
      return made && add(attachIndex(parentIndex, { schema: child.schema, name }));
    });
  const name = text(constraint['conname']) ?? chosenName(constraint, relation, table);
  return add(onParentAlone(relation, name)) && addBelow(relation, name) ? units : null;
}
