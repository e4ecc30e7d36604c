import type { RelationFacts } from '../facts.ts';
import type { Name } from '../tree.ts';
import { lockReferenced, readReferenced } from './constraints.ts';
import type { ImpactDraft } from './draft.ts';

/** VALIDATE CONSTRAINT reads the rows under a lock that lets everybody read and write. */
export function validateConstraint(
  draft: ImpactDraft,
  table: RelationFacts,
  name: string,
  family: readonly Name[],
): void {
  const constraint = table.constraints.find((one) => one.name === name);
  if (constraint === undefined || constraint.validated) return;
  const foreign = constraint.kind === 'foreign';
  const reached = foreign && table.kind !== 'partitioned' ? family.slice(0, 1) : family;
  draft.lock(reached, 'SHARE UPDATE EXCLUSIVE');
  for (const each of reached) draft.scan(each, `${name} is validated`);
  if (!foreign || constraint.references === null) return;
  lockReferenced(draft, constraint.references, 'ROW SHARE', 'ACCESS SHARE');
  readReferenced(draft, constraint.references);
}
