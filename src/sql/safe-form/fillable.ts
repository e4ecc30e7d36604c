import { type RelationFacts, relationOf } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import { withoutDomain } from '../type-change.ts';
import { typeOf } from '../type-name.ts';
import { isNode } from '../tree.ts';
import type { AlteredTable } from './altered-table.ts';

/**
 * Whether a column can be added without a value and its rows be filled by UPDATE, with the outcome of the statement as
 * written: an UPDATE that Postgres refuses, or that reaches rows which the statement leaves alone, is no form of it.
 */
export function canBeFilled(column: SqlNode, name: string, { relation, facts, schema }: AlteredTable): boolean {
  const type = isNode(column['typeName']) ? typeOf(column['typeName'], schema) : null;
  // A domain that checks its values may not take the NULL that the rows have until they are filled.
  if (type === null || withoutDomain(type, facts) === null) return false;
  const below = relation.partitions.flatMap(({ schema: of, name: child }) => relationOf(facts, of, child) ?? []);
  // An heir that has the column keeps the values and the default that it has.
  if (below.some(({ columns }) => columns.some((there) => there.name === name))) return false;
  const withRows = [relation, ...below].filter(({ kind }) => kind === 'table');
  const isPublished = [relation, ...below].some(({ replicatedBy }) => replicatedBy.length > 0);
  return withRows.every(
    (table) => (!isPublished || hasIdentity(table)) && isVisible(table, facts.role.bypassesRowSecurity),
  );
}

/** What publications know an updated row by. */
const hasIdentity = ({ standing, constraints }: RelationFacts): boolean =>
  standing === undefined || standing.replicaIdentity === 'full' || standing.replicaIdentity === 'index'
    ? true
    : standing.replicaIdentity === 'default' && constraints.some(({ kind }) => kind === 'primary');

/** Whether the worker's role gets at all rows: a policy that hides some is an error in its sessions. */
const isVisible = ({ rowSecurity, owned }: RelationFacts, bypasses: boolean): boolean =>
  bypasses || !rowSecurity.enabled || (owned && !rowSecurity.forced);
