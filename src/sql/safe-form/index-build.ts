import type { RelationFacts, SchemaFacts } from '../facts.ts';
import { deparse } from '../deparse.ts';
import type { SqlNode, Statement } from '../parser.ts';
import { relationIn } from '../tree.ts';
import { indexColumnNames } from './index-columns.ts';
import { isUsed, NamesTaken } from './object-name.ts';
import { partitionedIndex } from './partitioned-index.ts';
import { withKeyword } from './splice.ts';
import { text } from './tree.ts';
import { concurrent, type SafeForm } from './unit.ts';

/** CREATE INDEX holds up writers until it is built; CONCURRENTLY holds up nobody, and needs a name to be found again. */
export function indexBuildForm(statement: Statement, relation: RelationFacts, facts: SchemaFacts): SafeForm | null {
  const { node } = statement;
  const table = relationIn(node['relation'], relation.schema);
  const taken = new NamesTaken(facts);
  if (relation.kind === 'partitioned') {
    const isOnly = (node['relation'] as SqlNode)['inh'] !== true;
    return isOnly || !isUsed(relation) ? null : partitionedIndex(node, { relation, facts, taken });
  }
  const written = text(node['idxname']);
  const already = node['concurrent'] === true;
  if (already ? written !== null : !isUsed(relation)) return null;
  const name =
    written ?? taken.index({ schema: table.schema, table: table.name, columns: indexColumnNames(node), label: 'idx' });
  const wanted = { kind: 'IndexStmt', node: { ...node, idxname: name, concurrent: true } };
  const sql = deparse(wanted, () => (written === null ? null : withKeyword(statement.text, 'INDEX', 'CONCURRENTLY')));
  if (sql === null) return null;
  return {
    units: [concurrent(sql)],
    why: already
      ? `the index gets the name "${name}", by which it is found again after a crash`
      : 'the index is built CONCURRENTLY, so that writers go on meanwhile',
    avoids: already ? [] : ['index-not-concurrently'],
  };
}
