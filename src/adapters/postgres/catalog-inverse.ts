import { type CatalogKind, type CatalogObject, type CatalogSnapshot, catalogKey, describeObject } from './catalog.ts';
import { type CatalogChange, type CatalogDifference, changedProperties, topLevel } from './catalog-difference.ts';
import { aloneMove, dropMove, isRelation, isRoutine, type Move, moveOf } from './catalog-move.ts';
import { constraintMoves, type RestoreContext, restoreProperties } from './catalog-restore.ts';
import { alterTable, createSql, dropSql, renameSql, setSchemaSql } from './catalog-statement.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';

export interface Inverse {
  /** In the order in which to run them. */
  moves: Move[];
  /** What can't be brought back from the catalog alone, in words. */
  irreversible: string[];
}

/** What leans on other things goes first; within a kind, what was made last goes first. */
const DROP_ORDER: readonly CatalogKind[] = [
  'rule',
  'policy',
  'trigger',
  'view',
  'materialized view',
  'statistics',
  'index',
  'constraint',
  'column',
  'foreign table',
  'table',
  'aggregate',
  'procedure',
  'function',
  'sequence',
  'type',
  'extension',
  'schema',
];
/** Foreign keys lean on unique constraints, and these on NOT NULL. */
const CONSTRAINT_ORDER = ['f', 'c', 'x', 'u', 'p', 'n'];
const rank = ({ kind, properties }: CatalogObject): number =>
  DROP_ORDER.indexOf(kind) * 10 + (kind === 'constraint' ? CONSTRAINT_ORDER.indexOf(String(properties['type'])) : 0);
const oid = ({ identity }: CatalogObject): number => Number(identity.split('/')[1] ?? 0);
const attribute = ({ identity }: CatalogObject): number => Number(identity.split('/')[2] ?? 0);
const inDropOrder = (a: CatalogObject, b: CatalogObject): number =>
  rank(a) - rank(b) || oid(b) - oid(a) || attribute(b) - attribute(a);

/**
 * The statements that take a difference back: what was created is dropped, what was renamed gets its name back, what
 * was changed or dropped is set or made as it was, where its definition is all there is to it. `now` is what is there,
 * where something is being undone.
 */
export function invertDifference(difference: CatalogDifference, now?: CatalogSnapshot): Inverse {
  const inverse: Inverse = { moves: [], irreversible: [] };
  invertCreated(difference, inverse, now);
  invertRenamed(difference, inverse);
  const context: RestoreContext = {
    renamed: difference.renamed.length > 0,
    notNullConstraintDropped: (change) => lostNotNull(change, difference),
    ...(now !== undefined && { now }),
    widened: widenedViews(difference),
    attached: attachedTables(difference),
  };
  // A partition's own part can't go while the parent's is there; what the parent's takes along needs nothing more.
  const parentsFirst = difference.changed.toSorted((a, b) => inheritedLast(a) - inheritedLast(b));
  for (const change of parentsFirst) {
    const { moves, irreversible } = restoreProperties(change, context);
    inverse.moves.push(...moves);
    inverse.irreversible.push(...irreversible);
  }
  for (const object of topLevel(difference.dropped).sort((a, b) => inDropOrder(b, a))) {
    const made = remake(object, context);
    if (made === null) inverse.irreversible.push(`${describeObject(object)} was dropped`);
    else inverse.moves.push(...made);
  }
  return inverse;
}

function invertCreated(difference: CatalogDifference, inverse: Inverse, now: CatalogSnapshot | undefined): void {
  const widened = widenedViews(difference);
  const attached = attachedTables(difference);
  for (const object of topLevel(difference.created).sort(inDropOrder)) {
    const of = quoteTable(object.schema, object.of);
    if (object.kind === 'column' && widened.has(of)) {
      inverse.irreversible.push(`${describeObject(object)} was added to a view, and a view can't lose a column`);
    } else if (!fromParent(object) && !(attached.has(of) && object.kind === 'trigger')) {
      inverse.moves.push(...foreignKeysFirst(object, now), ...detachFirst(object), dropMove(object, dropSql(object)));
    }
  }
}

/** A partition of a table that foreign keys refer to can't be dropped as long as it is one. */
function detachFirst(object: CatalogObject): Move[] {
  if (object.kind !== 'table' || object.properties['partitionBound'] === null) return [];
  const table = quoteTable(object.schema, object.name);
  // Parents are printed as `regclass`, so they are quoted already.
  return (object.properties['parents'] as string[]).map((parent) =>
    moveOf(object, `ALTER TABLE ${parent} DETACH PARTITION ${table}`),
  );
}

/** Dropping a table locks every table that it refers to: where they are several, one after the other. */
function foreignKeysFirst(object: CatalogObject, now: CatalogSnapshot | undefined): Move[] {
  if (object.kind !== 'table' || now === undefined) return [];
  const keys = [...now.values()].filter(
    ({ kind, schema, of, properties }) =>
      kind === 'constraint' &&
      schema === object.schema &&
      of === object.name &&
      properties['type'] === 'f' &&
      properties['inherited'] !== true,
  );
  return keys.length < 2 ? [] : keys.map((key) => aloneMove(key, dropSql(key)));
}

function invertRenamed(difference: CatalogDifference, inverse: Inverse): void {
  // A renamed table takes its columns along: they have other keys then, but names of their own that stayed.
  for (const { before, after } of renamesOutermostFirst(difference.renamed)) {
    if (before.schema !== after.schema) {
      if (!movesAlong(after)) inverse.moves.push(moveOf(after, setSchemaSql(before, after)));
      continue;
    }
    // An inherited column, constraint or trigger can't be renamed by itself: it follows its parent's.
    const now = afterOuterRenames(after, difference.renamed);
    const sql = after.properties['inherited'] === true ? null : renameSql(before, now);
    if (sql !== null) inverse.moves.push(moveOf(now, sql));
  }
}

/** What belongs to a table changes its schema with it. */
const movesAlong = (object: CatalogObject): boolean =>
  (object.of !== '' && !isRoutine(object)) || (object.kind === 'sequence' && object.properties['ownedBy'] !== null);

const widenedViews = ({ created, changed }: CatalogDifference): Set<string> =>
  new Set(
    changed
      .filter(({ before }) => before.kind === 'view' && created.some((object) => isColumnOf(object, before)))
      .map(({ before }) => quoteTable(before.schema, before.name)),
  );
const isColumnOf = ({ kind, schema, of }: CatalogObject, view: CatalogObject): boolean =>
  kind === 'column' && schema === view.schema && of === view.name;

const attachedTables = ({ changed }: CatalogDifference): Set<string> =>
  new Set(
    changed
      .filter((change) => isRelation(change.before) && changedProperties(change).includes('parents'))
      .map(({ before }) => quoteTable(before.schema, before.name)),
  );

const inheritedLast = ({ before }: CatalogChange): number => Number(before.properties['inherited'] === true);

/** What a partition or an heir has from its parent comes and goes with the parent's. */
export const fromParent = ({ kind, properties }: CatalogObject): boolean =>
  properties['inherited'] === true || (kind === 'index' && (properties['parents'] as string[]).length > 0);

const renamesOutermostFirst = (renamed: readonly CatalogChange[]): CatalogChange[] =>
  [...renamed].sort((a, b) => Number(a.after.of !== '') - Number(b.after.of !== ''));

/** After the tables have their names back, what belongs to them is found under the old table name. */
function afterOuterRenames(object: CatalogObject, renamed: readonly CatalogChange[]): CatalogObject {
  const outer = renamed.find(
    ({ after }) => after.of === '' && after.name === object.of && after.schema === object.schema,
  );
  return outer === undefined || object.of === '' ? object : { ...object, of: outer.before.name };
}

/** In Postgres 18 a NOT NULL is a constraint with a name: where that comes back by itself, the column needs nothing. */
function lostNotNull(change: CatalogChange, { dropped }: CatalogDifference): boolean {
  const { schema, of, name } = change.before;
  return dropped.some(
    (object) =>
      object.kind === 'constraint' &&
      object.properties['type'] === 'n' &&
      object.schema === schema &&
      object.of === of &&
      (object.properties['columns'] as string[]).includes(name),
  );
}

/** A dropped object made again with its comment, its grants and whether it is enabled; null where that can't be. */
function remake(object: CatalogObject, context: RestoreContext): Move[] | null {
  const { kind, properties } = object;
  if (fromParent(object)) return [];
  const sql = createSql(object);
  if (sql === null || (kind === 'index' && properties['valid'] !== true)) return null;
  const fresh: CatalogObject['properties'] = { enabled: 'O', comment: null, grants: freshGrants(object) };
  const wanted = Object.entries(properties).filter(([name]) => name in fresh);
  const restored = restoreProperties(
    {
      before: { ...object, properties: Object.fromEntries(wanted) },
      after: { ...object, properties: Object.fromEntries(wanted.map(([name]) => [name, fresh[name] ?? null])) },
    },
    { renamed: false, notNullConstraintDropped: () => false },
  );
  const [first, ...others] =
    kind === 'constraint'
      ? (fromIndex(object, context.now) ?? constraintMoves(object, context))
      : [moveOf(object, sql)];
  return first === undefined ? null : [first, ...restored.moves, ...others];
}

/** A unique constraint over its index, where that was built again without holding up writers. */
function fromIndex(object: CatalogObject, now: CatalogSnapshot | undefined): Move[] | null {
  const kind = { p: 'PRIMARY KEY', u: 'UNIQUE' }[String(object.properties['type'])];
  const index = now?.get(catalogKey({ ...object, kind: 'index' }));
  if (kind === undefined || index?.properties['valid'] !== true || index.properties['constraint'] !== null) return null;
  const timing = / DEFERRABLE.*$/.exec(String(object.properties['definition']))?.[0] ?? '';
  const name = quoteIdentifier(object.name);
  return [moveOf(object, alterTable(object, `ADD CONSTRAINT ${name} ${kind} USING INDEX ${name}${timing}`))];
}

/** What a newly made function or view grants by itself, as far as it isn't among the grants to restore. */
function freshGrants({ kind, properties }: CatalogObject): string[] {
  const owner = String(properties['owner']);
  if (kind === 'function' || kind === 'procedure') return ['PUBLIC=EXECUTE', `${owner}=EXECUTE`];
  return ((properties['grants'] ?? []) as string[]).filter((grant) => grant.startsWith(`${owner}=`));
}
