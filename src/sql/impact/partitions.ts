import type { RelationFacts } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import { listIn, type Name, nodeIn, fieldsOf } from '../tree.ts';
import { lockReferenced, readReferenced } from './constraints.ts';
import { familyOf, type ImpactDraft } from './draft.ts';
import { indexDiskBytes } from './index-size.ts';

/** ATTACH PARTITION: the partition's rows are checked against its bounds, those of the default partition too. */
export function attachPartition(draft: ImpactDraft, parent: RelationFacts, name: Name, bound: SqlNode): void {
  const partition = draft.find(name);
  lockDefault(draft, parent);
  if (partition === undefined) return;
  draft.lock(familyOf(partition), 'ACCESS EXCLUSIVE');
  for (const each of familyOf(partition)) {
    const relation = draft.find(each);
    if (relation === undefined) continue;
    if (!provesBound(relation, bound)) draft.scan(each, 'its rows are checked against the bounds');
    for (const index of parent.indexes) {
      if (relation.indexes.some((own) => sameIndex(own, index))) continue;
      draft.scan(each, `an index like ${index.name} is built`);
      draft.disk(indexDiskBytes(relation, index.columns, draft.facts, index.method).peak);
    }
  }
  for (const { kind, columns, references } of parent.constraints) {
    if (kind !== 'foreign' || references === null) continue;
    const had = partition.constraints.some(
      (own) => own.kind === 'foreign' && own.columns.join('\n') === columns.join('\n') && own.references !== null,
    );
    lockReferenced(draft, references, had ? 'ACCESS EXCLUSIVE' : 'SHARE ROW EXCLUSIVE');
    if (had) continue;
    for (const each of familyOf(partition)) draft.scan(each, 'its references are checked');
    readReferenced(draft, references);
  }
  lockPointingAt(draft, parent);
}

const sameIndex = (a: RelationFacts['indexes'][number], b: RelationFacts['indexes'][number]): boolean =>
  a.unique === b.unique && a.method === b.method && afterTable(a.definition) === afterTable(b.definition);
const afterTable = (definition: string): string => definition.replace(/^.*? USING /s, '');

/** DETACH PARTITION; with CONCURRENTLY it waits for others instead of holding them up. */
export function detachPartition(draft: ImpactDraft, parent: RelationFacts, name: Name, concurrently: boolean): void {
  const partition = draft.find(name);
  if (partition === undefined) return;
  lockDefault(draft, parent);
  draft.lock(familyOf(partition), concurrently ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE');
  for (const { kind, references } of parent.constraints) {
    // The partition's foreign key becomes one of its own, with triggers of its own.
    if (kind === 'foreign' && references !== null) lockReferenced(draft, references, 'SHARE ROW EXCLUSIVE');
  }
  for (const { schema, table } of parent.referencedBy) {
    draft.lock({ schema, name: table }, 'ACCESS EXCLUSIVE');
    draft.scan({ schema, name: table }, 'it is searched for references to the partition');
    for (const each of familyOf(partition)) draft.scan(each, 'it is searched for rows that are referenced');
  }
}

/** CREATE TABLE … PARTITION OF. */
export function createPartition(draft: ImpactDraft, parent: Name): void {
  const table = draft.find(parent);
  if (table === undefined) return;
  draft.lock(parent, 'ACCESS EXCLUSIVE');
  lockDefault(draft, table);
  for (const { kind, references } of table.constraints) {
    if (kind === 'foreign' && references !== null) lockReferenced(draft, references, 'SHARE ROW EXCLUSIVE');
  }
  lockPointingAt(draft, table);
}

/** A new partition gets the triggers of foreign keys that point at its parent; their tables take part since 15. */
function lockPointingAt({ facts, lock }: ImpactDraft, parent: RelationFacts): void {
  const mode = facts.serverVersion >= 150_000 ? 'SHARE ROW EXCLUSIVE' : 'ACCESS SHARE';
  for (const { schema, table } of parent.referencedBy) lock({ schema, name: table }, mode);
}

function lockDefault(draft: ImpactDraft, parent: RelationFacts): void {
  const own = parent.partitions.find(
    (one) => one.default === true && one.parent.schema === parent.schema && one.parent.name === parent.name,
  );
  if (own === undefined) return;
  const name = { schema: own.schema, name: own.name };
  const relation = draft.find(name);
  for (const each of relation === undefined ? [name] : familyOf(relation)) {
    draft.lock(each, 'ACCESS EXCLUSIVE');
    draft.scan(each, 'its rows are checked against the new bounds');
  }
}

/**
 * Whether a valid check of the table says what the bounds do: for a range of one column `>= from` and `< to`, on a
 * column that can't be NULL. Anything else is taken for no proof; then Postgres may still find one.
 */
function provesBound(relation: RelationFacts, bound: SqlNode): boolean {
  const [lower, upper] = [bound['lowerdatums'], bound['upperdatums']].map((data) => listIn(data));
  if (lower?.length !== 1 || upper?.length !== 1) return false;
  const [from, to] = [lower[0], upper[0]].map((datum) => constantIn(datum));
  if (from === null || from === undefined || to === null || to === undefined) return false;
  return relation.constraints.some(({ kind, validated, columns, definition }) => {
    const column = columns.length === 1 ? columns[0] : undefined;
    const never = relation.columns.find(({ name }) => name === column)?.notNull === true;
    const text = definition.replaceAll(/::[a-z ]+/g, '');
    return kind === 'check' && validated && never && text.includes(`>= ${from})`) && text.includes(`< ${to})`);
  });
}

/** `200` or `'2026-01-01'` as a definition prints it; null for MINVALUE, MAXVALUE and expressions. */
function constantIn(datum: unknown): string | null {
  const constant = fieldsOf(datum, 'A_Const');
  if (constant === null) return null;
  const number = nodeIn(constant['ival']);
  if (constant['ival'] !== undefined) return String((number['ival'] as number | undefined) ?? 0);
  const text = nodeIn(constant['sval'])['sval'];
  return typeof text === 'string' ? `'${text}'` : null;
}
