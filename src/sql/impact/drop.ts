import type { RelationFacts } from '../facts.ts';
import type { Statement } from '../parser.ts';
import { cascades, droppedObjects, type Name, nameIn, objectType, sameName } from '../tree.ts';
import { lockForeignKeyEnds, lockReferencing } from './constraints.ts';
import { familyOf, type ImpactDraft, readersOf } from './draft.ts';

/** Objects that belong to a table, whose name comes last in theirs: `DROP TRIGGER audit ON users`. */
const PARTS = new Set(['OBJECT_TRIGGER', 'OBJECT_POLICY', 'OBJECT_RULE']);

/** DROP of anything: the locks on what goes and on what it hangs from. */
export function drop(draft: ImpactDraft, statement: Statement): void {
  const type = objectType(statement);
  const cascade = cascades(statement);
  for (const texts of droppedObjects(statement)) {
    if (PARTS.has(type)) {
      const table = draft.find(nameIn(texts.slice(0, -1), draft.schema));
      if (table === undefined) continue;
      draft.lock(familyOf(table, type !== 'OBJECT_TRIGGER' || table.kind !== 'partitioned'), 'ACCESS EXCLUSIVE');
    } else if (type === 'OBJECT_SCHEMA') {
      dropSchema(draft, texts.at(-1) ?? '', cascade);
    } else if (type === 'OBJECT_FUNCTION') {
      if (cascade) dropTriggersOf(draft, nameIn(texts, draft.schema));
    } else if (type === 'OBJECT_TYPE' || type === 'OBJECT_DOMAIN') {
      if (cascade) dropType(draft, nameIn(texts, draft.schema));
    } else {
      dropRelation(draft, nameIn(texts, draft.schema), {
        cascade,
        concurrently: statement.node['concurrent'] === true,
      });
    }
  }
}

function dropRelation(
  draft: ImpactDraft,
  name: Name,
  { cascade, concurrently }: { cascade: boolean; concurrently: boolean },
): void {
  const relation = draft.find(name);
  if (relation === undefined) return;
  if (relation.kind === 'index') {
    const table = relation.of === null ? undefined : draft.find(relation.of);
    const mode = concurrently ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE';
    if (table !== undefined) draft.lock(familyOf(table, table.kind !== 'partitioned'), mode);
    draft.lock(name, mode);
    return;
  }
  draft.lock(familyOf(relation), 'ACCESS EXCLUSIVE');
  for (const each of familyOf(relation)) {
    const member = draft.find(each);
    if (member !== undefined) lockForeignKeyEnds(draft, withoutInherited(draft, member), () => true);
  }
  lockParents(draft, relation);
  if (!cascade) return;
  lockReferencing(draft, relation, () => true);
  for (const parent of partitionedParents(draft, relation)) {
    // A foreign key that points at the parent goes as a whole.
    lockReferencing(draft, parent, () => true);
    if (parent.referencedBy.length > 0) draft.lock(familyOf(parent), 'ACCESS EXCLUSIVE');
  }
  draft.lock(readersOf(relation, draft), 'ACCESS EXCLUSIVE');
}

/** The foreign keys that a partition has of its parent have no triggers of their own at the other end. */
const withoutInherited = (draft: ImpactDraft, relation: RelationFacts): RelationFacts => {
  const above = partitionedParents(draft, relation).flatMap(({ constraints }) => constraints);
  const key = ({ kind, columns }: RelationFacts['constraints'][number]): string => `${kind} ${columns.join(',')}`;
  return {
    ...relation,
    constraints: relation.constraints.filter((own) => !above.some((one) => key(one) === key(own))),
  };
};

/** A partition leaves its parent, and the default partition's bounds change with that. Heirs just go. */
function lockParents(draft: ImpactDraft, relation: RelationFacts): void {
  for (const parent of partitionedParents(draft, relation)) {
    draft.lock({ schema: parent.schema, name: parent.name }, 'ACCESS EXCLUSIVE');
    const own = parent.partitions.find((one) => one.default === true && sameName(one.parent, parent));
    if (own !== undefined) draft.lock({ schema: own.schema, name: own.name }, 'ACCESS EXCLUSIVE');
  }
}
const partitionedParents = (draft: ImpactDraft, relation: RelationFacts): RelationFacts[] =>
  relation.parents.flatMap((name) => {
    const parent = draft.find(name);
    return parent?.kind === 'partitioned' ? [parent] : [];
  });

function dropType(draft: ImpactDraft, name: Name): void {
  const type = draft.facts.types.find((one) => sameName(one, name));
  for (const { schema, table } of type?.usedBy ?? []) {
    const relation = draft.find({ schema, name: table });
    if (relation !== undefined) draft.lock(familyOf(relation), 'ACCESS EXCLUSIVE');
  }
}

/** The tables whose triggers run the function, among those that are known. */
function dropTriggersOf(draft: ImpactDraft, { schema, name }: Name): void {
  for (const relation of draft.facts.relations) {
    const runs = relation.triggers.some(
      ({ definition }) => /EXECUTE (?:FUNCTION|PROCEDURE) ([^(]+)\(/.exec(definition)?.[1] === `${schema}.${name}`,
    );
    if (runs) draft.lock(familyOf(relation, relation.kind !== 'partitioned'), 'ACCESS EXCLUSIVE');
  }
}

function dropSchema(draft: ImpactDraft, name: string, cascade: boolean): void {
  if (!cascade) return;
  for (const relation of draft.facts.relations) {
    if (relation.schema === name) dropRelation(draft, relation, { cascade, concurrently: false });
  }
}
