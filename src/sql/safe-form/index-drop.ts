import { deparse } from '../deparse.ts';
import { relationOf, type SchemaFacts } from '../facts.ts';
import type { SqlNode, Statement } from '../parser.ts';
import { listIn, nameIn, textsIn } from '../tree.ts';
import { isUsed } from './object-name.ts';
import { concurrent, type SafeForm, type SafeUnit, transactional } from './unit.ts';

/** DROP INDEX needs the table's strongest lock; CONCURRENTLY holds up nobody. It takes one index at a time. */
export function indexDropForm({ node }: Statement, schema: string, facts: SchemaFacts): SafeForm | null {
  if (node['concurrent'] === true || node['behavior'] === 'DROP_CASCADE') return null;
  const objects = listIn(node['objects']) as SqlNode[];
  const apart = objects.map((object) => canDropConcurrently(object, schema, facts));
  if (!apart.includes(true)) return null;
  const units: SafeUnit[] = [];
  for (const [index, object] of objects.entries()) {
    const concurrently = apart[index] === true;
    const sql = deparse({
      kind: 'DropStmt',
      node: { ...node, objects: [object], ...(concurrently && { concurrent: true }) },
    });
    if (sql === null) return null;
    units.push(concurrently ? concurrent(sql) : transactional(sql));
  }
  return {
    units,
    why: 'the index is dropped CONCURRENTLY, so that nobody waits behind its lock',
    avoids: ['drop-index-not-concurrently'],
  };
}

/** Not one of a partitioned table, and not one that serves a constraint: Postgres refuses both. */
function canDropConcurrently(object: SqlNode, schema: string, facts: SchemaFacts): boolean {
  const { schema: of, name } = nameIn(textsIn(object), schema);
  const index = relationOf(facts, of, name);
  const table = index?.of == null ? undefined : relationOf(facts, index.of.schema, index.of.name);
  if (!isUsed(table) || table.kind === 'partitioned') return false;
  return table.indexes.find((there) => there.name === name)?.constraint === null;
}
