import type { RelationFacts } from '../facts.ts';
import type { LockMode } from '../impact.ts';
import type { ConstraintClause, Name } from '../tree.ts';
import { familyOf, type ImpactDraft } from './draft.ts';
import { indexDiskBytes } from './index-size.ts';
import { hasInvalidNotNull, provesNotNull } from './not-null-proof.ts';

/** Partitions get an exclusive lock for a constraint of their parent since this version; before, SHARE. */
const EXCLUSIVE_ON_PARTITIONS = 160_000;

/**
 * ADD CONSTRAINT of a table that exists; the lock on the table itself is noted here too. `only`: heirs don't get it.
 * Source: AlterTableGetLockLevel, ATAddForeignKeyConstraint.
 */
export function addConstraint(draft: ImpactDraft, table: RelationFacts, clause: ConstraintClause, only: boolean): void {
  const family = familyOf(table, only || clause.noInherit);
  switch (clause.kind) {
    case 'foreign':
      addForeignKey(draft, table, clause, family);
      break;
    case 'check':
      draft.lock(family, 'ACCESS EXCLUSIVE');
      if (!clause.notValid) for (const name of family) draft.scan(name, 'its rows are checked');
      break;
    case 'not null':
      draft.lock(family, 'ACCESS EXCLUSIVE');
      if (!clause.notValid) for (const column of clause.columns) checkNotNull(draft, family, column);
      break;
    case 'primary':
    case 'unique':
    case 'exclusion':
      addIndexConstraint(draft, table, clause);
  }
}

/** Reads the rows of each relation for NULLs, unless the catalog proves that there are none. */
export function checkNotNull(draft: ImpactDraft, family: readonly Name[], column: string): void {
  for (const name of family) {
    const relation = draft.find(name);
    if (relation === undefined || provesNotNull(relation, column)) continue;
    draft.scan(
      name,
      hasInvalidNotNull(relation, column) ? 'its NOT NULL is validated' : 'its rows are checked for NULL',
    );
  }
}

function addIndexConstraint(draft: ImpactDraft, table: RelationFacts, clause: ConstraintClause): void {
  const own = { schema: table.schema, name: table.name };
  draft.lock(own, 'ACCESS EXCLUSIVE');
  const inherits = table.kind === 'partitioned';
  const below = inherits ? familyOf(table).slice(1) : [];
  draft.lock(below, draft.facts.serverVersion >= EXCLUSIVE_ON_PARTITIONS ? 'ACCESS EXCLUSIVE' : 'SHARE');
  const { usingIndex } = clause;
  // The index takes the constraint's name.
  if (usingIndex !== null && clause.name !== null && clause.name !== usingIndex) {
    draft.lock({ schema: table.schema, name: usingIndex }, 'SHARE UPDATE EXCLUSIVE');
  }
  for (const name of [own, ...below]) {
    const relation = draft.find(name);
    if (relation === undefined) continue;
    if (clause.kind === 'primary') {
      const columns = usingIndex === null ? clause.columns : indexColumns(table, usingIndex);
      for (const column of columns) {
        const known = relation.columns.some((one) => one.name === column);
        if (known) checkNotNull(draft, [name], column);
      }
    }
    if (usingIndex !== null) continue;
    draft.scan(name, 'an index is built');
    draft.disk(indexDiskBytes(relation, clause.columns, draft.facts).peak);
  }
}
const indexColumns = (table: RelationFacts, index: string): string[] =>
  (table.indexes.find(({ name }) => name === index)?.columns ?? []).flatMap((column) => column ?? []);

function addForeignKey(
  draft: ImpactDraft,
  table: RelationFacts,
  { references, notValid }: ConstraintClause,
  family: readonly Name[],
): void {
  if (references === null) return;
  // Only partitions have the foreign key of their parent, plain heirs don't.
  const referencing = table.kind === 'partitioned' ? family : family.slice(0, 1);
  draft.lock(referencing, 'SHARE ROW EXCLUSIVE');
  lockReferenced(draft, references, 'SHARE ROW EXCLUSIVE');
  if (notValid) return;
  for (const name of referencing) draft.scan(name, 'its references are checked');
  readReferenced(draft, references);
}

/** The table at the other end of a foreign key, and its partitions, which have its triggers too. */
export function lockReferenced(draft: ImpactDraft, references: Name, mode: LockMode, below: LockMode = mode): void {
  const target = draft.find(references);
  if (target === undefined) return;
  draft.lock({ schema: target.schema, name: target.name }, mode);
  if (target.kind === 'partitioned') draft.lock(familyOf(target).slice(1), below);
}
export function readReferenced(draft: ImpactDraft, references: Name): void {
  const target = draft.find(references);
  if (target === undefined) return;
  for (const name of target.kind === 'partitioned' ? familyOf(target) : [references]) {
    draft.scan(name, 'it is searched for the references');
  }
}

/** Takes the triggers of a foreign key away, or gives them anew: at both ends, with partitions. */
export function lockForeignKeyEnds(
  draft: ImpactDraft,
  table: RelationFacts,
  names: (columns: readonly string[]) => boolean,
): void {
  for (const { kind, columns, references } of table.constraints) {
    if (kind === 'foreign' && references !== null && names(columns))
      lockReferenced(draft, references, 'ACCESS EXCLUSIVE');
  }
}
/** The tables whose foreign keys point at these columns of the table. */
export function lockReferencing(
  draft: ImpactDraft,
  table: RelationFacts,
  names: (columns: readonly string[]) => boolean,
): void {
  for (const { schema, table: name, columns } of table.referencedBy) {
    if (names(columns)) lockReferenced(draft, { schema, name }, 'ACCESS EXCLUSIVE');
  }
}
