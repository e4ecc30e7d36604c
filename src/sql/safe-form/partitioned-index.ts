import { deparse } from '../deparse.ts';
import { relationOf, type RelationFacts, type SchemaFacts } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import type { Name } from '../tree.ts';
import { indexColumnNames } from './index-columns.ts';
import type { NamesTaken } from './object-name.ts';
import { command, rangeVar, text } from './tree.ts';
import { concurrent, type SafeForm, type SafeUnit, unitsOf } from './unit.ts';

interface Partitioned {
  relation: RelationFacts;
  facts: SchemaFacts;
  taken: NamesTaken;
}

/**
 * An index on a partitioned table can't be built CONCURRENTLY as a whole. On the parent alone it is a moment's work; each
 * leaf gets its own, CONCURRENTLY, and is attached; with the last one the parent's is valid.
 */
export function partitionedIndex(node: SqlNode, { relation, facts, taken }: Partitioned): SafeForm | null {
  const written = text(node['idxname']);
  if (written !== null && relation.indexes.some(({ name }) => name === written)) return null;
  if (relation.partitions.some((part) => relationOf(facts, part.schema, part.name)?.kind === 'foreign')) return null;
  const columns = indexColumnNames(node);
  const name = written ?? taken.index({ schema: relation.schema, table: relation.name, columns, label: 'idx' });
  const units = indexTree(node, { relation, facts, taken, name });
  return units === null
    ? null
    : {
        units,
        why: 'the index is built CONCURRENTLY partition by partition, and attached, so that writers go on meanwhile',
        avoids: ['index-on-partitioned-parent', 'index-not-concurrently'],
      };
}

/** The index of the parent alone, then of each of its partitions, each attached as soon as it and its own are there. */
function indexTree(node: SqlNode, of: Partitioned & { name: string }): SafeUnit[] | null {
  const { relation, taken, name } = of;
  const columns = indexColumnNames(node);
  const wanted = (table: Name, idxname: string, fields: SqlNode): string | null =>
    deparse({ kind: 'IndexStmt', node: { ...bare(node), relation: rangeVar(table), idxname, ...fields } });
  const onParent = deparse({
    kind: 'IndexStmt',
    node: { ...bare(node), relation: rangeVar(relation, { only: true }), idxname: name },
  });
  if (onParent === null) return null;
  const units: SafeUnit[] = [{ text: onParent, concurrently: false }];
  const below = (parent: Name, parentIndex: string): boolean =>
    children(relation, parent).every((child) => {
      const childIndex = taken.index({ schema: child.schema, table: child.name, columns, label: 'idx' });
      const built = child.leaf
        ? unitsOf(asConcurrent(wanted(child, childIndex, { concurrent: true })))
        : unitsOf(
            deparse({
              kind: 'IndexStmt',
              node: { ...bare(node), relation: rangeVar(child, { only: true }), idxname: childIndex },
            }),
          );
      if (built === null) return false;
      units.push(...built);
      if (!child.leaf && !below(child, childIndex)) return false;
      const attached = unitsOf(
        attachIndex({ schema: parent.schema, name: parentIndex }, { schema: child.schema, name: childIndex }),
      );
      units.push(...(attached ?? []));
      return attached !== null;
    });
  return below(relation, name) ? units : null;
}

/** The statement as it is repeated for every table of the tree. */
function bare(node: SqlNode): SqlNode {
  const { concurrent: _concurrent, if_not_exists: _ifNotExists, ...rest } = node;
  return rest;
}

const asConcurrent = (sql: string | null): SafeUnit | null => (sql === null ? null : concurrent(sql));

export const children = (relation: RelationFacts, parent: Name): RelationFacts['partitions'][number][] =>
  relation.partitions.filter(({ parent: of }) => of.schema === parent.schema && of.name === parent.name);

export const attachIndex = (parent: Name, child: Name): string | null =>
  deparse({
    kind: 'AlterTableStmt',
    node: {
      relation: rangeVar(parent),
      cmds: [command('AT_AttachPartition', { def: { PartitionCmd: { name: rangeVar(child) } } })],
      objtype: 'OBJECT_INDEX',
    },
  });
