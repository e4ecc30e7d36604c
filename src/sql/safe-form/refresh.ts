import { deparse } from '../deparse.ts';
import { relationOf, type SchemaFacts } from '../facts.ts';
import type { Statement } from '../parser.ts';
import { relationIn } from '../tree.ts';
import { isUsed } from './object-name.ts';
import { withKeyword } from './splice.ts';
import { type SafeForm, transactional } from './unit.ts';

/** REFRESH holds up readers for as long as the query takes; with a unique index over all rows it needn't. */
export function refreshForm({ node, text }: Statement, schema: string, facts: SchemaFacts): SafeForm | null {
  if (node['concurrent'] === true || node['skipData'] === true) return null;
  const { schema: of, name } = relationIn(node['relation'], schema);
  const view = relationOf(facts, of, name);
  if (!isUsed(view) || view.kind !== 'materialized view') return null;
  const isUsable = view.indexes.some(
    ({ unique, partial, valid, columns }) => unique && valid && !partial && !columns.includes(null),
  );
  if (!isUsable) return null;
  const wanted = { kind: 'RefreshMatViewStmt', node: { ...node, concurrent: true } };
  const sql = deparse(wanted, () => withKeyword(text, 'VIEW', 'CONCURRENTLY'));
  return sql === null
    ? null
    : {
        // Unlike an index it may be part of a transaction.
        units: [transactional(sql)],
        why: 'the view is refreshed CONCURRENTLY, so that readers go on meanwhile',
        avoids: ['refresh-not-concurrently'],
      };
}
