import { type CatalogKind, type CatalogObject, catalogKey, describeObject } from './catalog.ts';
import { type CatalogChange, type CatalogDifference, topLevel } from './catalog-difference.ts';
import { restoreProperties } from './catalog-restore.ts';
import { createSql, dropSql, renameSql } from './catalog-statement.ts';

export interface Inverse {
  /** In the order in which to run them. */
  statements: string[];
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
 * was changed or dropped is set or made as it was, where its definition is all there is to it.
 */
export function invertDifference(difference: CatalogDifference): Inverse {
  const irreversible: string[] = [];
  const statements: string[] = [];
  for (const object of topLevel(difference.created).sort(inDropOrder)) {
    if (!fromParent(object)) statements.push(dropSql(object));
  }
  // A renamed table takes its columns along: they have other keys then, but names of their own that stayed.
  for (const { before, after } of renamesOutermostFirst(difference.renamed)) {
    if (before.schema !== after.schema) {
      irreversible.push(`${describeObject(before)} moved to schema "${after.schema}"`);
      continue;
    }
    // An inherited column, constraint or trigger can't be renamed by itself: it follows its parent's.
    const sql =
      after.properties['inherited'] === true ? null : renameSql(before, afterOuterRenames(after, difference.renamed));
    if (sql !== null) statements.push(sql);
  }
  const renamed = difference.renamed.length > 0;
  const dropped = new Set(difference.dropped.map(catalogKey));
  for (const change of difference.changed) {
    const restored = restoreProperties(change, {
      renamed,
      notNullConstraintDropped: (c) => lostNotNull(c, dropped, difference),
    });
    statements.push(...restored.statements);
    irreversible.push(...restored.irreversible);
  }
  for (const object of topLevel(difference.dropped).sort((a, b) => inDropOrder(b, a))) {
    const made = remake(object);
    if (made === null) irreversible.push(`${describeObject(object)} was dropped`);
    else statements.push(...made);
  }
  return { statements, irreversible };
}

/** What a partition or an heir has from its parent comes and goes with the parent's. */
const fromParent = ({ kind, properties }: CatalogObject): boolean =>
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
function lostNotNull(
  change: CatalogChange,
  dropped: ReadonlySet<string>,
  { dropped: objects }: CatalogDifference,
): boolean {
  const { schema, of, name } = change.before;
  return objects.some(
    (object) =>
      object.kind === 'constraint' &&
      object.properties['type'] === 'n' &&
      object.schema === schema &&
      object.of === of &&
      (object.properties['columns'] as string[]).includes(name) &&
      dropped.has(catalogKey(object)),
  );
}

/** A dropped object made again with its comment, its grants and whether it is enabled; null where that can't be. */
function remake(object: CatalogObject): string[] | null {
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
  return [sql, ...restored.statements];
}

/** What a newly made function or view grants by itself, as far as it isn't among the grants to restore. */
function freshGrants({ kind, properties }: CatalogObject): string[] {
  const owner = String(properties['owner']);
  if (kind === 'function' || kind === 'procedure') return ['PUBLIC=EXECUTE', `${owner}=EXECUTE`];
  return ((properties['grants'] ?? []) as string[]).filter((grant) => grant.startsWith(`${owner}=`));
}
