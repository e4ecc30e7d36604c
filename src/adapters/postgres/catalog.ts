import { createHash } from 'node:crypto';
import {
  SNAPSHOT_OF_RELATIONS,
  SNAPSHOT_OF_SCHEMAS,
  VERSION_OF_RELATIONS,
  VERSION_OF_SCHEMAS,
} from './catalog-queries.ts';
import type { Queryable } from './database.ts';

export type CatalogKind =
  | 'table'
  | 'foreign table'
  | 'view'
  | 'materialized view'
  | 'column'
  | 'constraint'
  | 'index'
  | 'sequence'
  | 'trigger'
  | 'policy'
  | 'rule'
  | 'statistics'
  | 'schema'
  | 'extension'
  | 'type'
  | 'function'
  | 'procedure'
  | 'aggregate';
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

export interface CatalogObject {
  kind: CatalogKind;
  schema: string;
  /** The table it belongs to; a function's argument types; otherwise empty. */
  of: string;
  name: string;
  /** Which object it is whatever its name: for telling a rename. Not part of what is compared. */
  identity: string;
  properties: Record<string, Json>;
}
/** The logical catalog by `catalogKey`. */
export type CatalogSnapshot = ReadonlyMap<string, CatalogObject>;

/** What a snapshot looks at. Nothing given: all schemas but Postgres's and ours. */
export interface CatalogScope {
  schemas?: readonly string[] | undefined;
  /** Only these relations with all that belongs to them; their partitions and sequences too. */
  relations?: readonly RelationName[] | undefined;
}
export interface RelationName {
  schema: string;
  name: string;
}

export const catalogKey = (of: Pick<CatalogObject, 'kind' | 'schema' | 'of' | 'name'>): string =>
  JSON.stringify([of.kind, of.schema, of.of, of.name]);

/** An object's name for people. */
export function describeObject({ kind, schema, of, name }: CatalogObject): string {
  const path =
    kind === 'function' || kind === 'procedure' || kind === 'aggregate'
      ? [schema, `${name}(${of})`]
      : [schema, of, name];
  return `${kind} "${path.filter((part) => part !== '').join('.')}"`;
}

const scopeValues = ({ schemas, relations }: CatalogScope) => [
  schemas === undefined ? null : [...schemas],
  relations === undefined ? null : relations.map((relation) => relation.schema),
  relations === undefined ? null : relations.map((relation) => relation.name),
];

/**
 * The logical catalog, name by name. Run it with a `search_path` of `pg_catalog` (as every session starts), so that
 * the definitions in it are qualified.
 */
export async function catalogSnapshot(session: Queryable, scope: CatalogScope = {}): Promise<CatalogSnapshot> {
  const rows = await session.query(
    scope.relations === undefined ? SNAPSHOT_OF_SCHEMAS : SNAPSHOT_OF_RELATIONS,
    scopeValues(scope),
  );
  const objects = rows.map(
    (row): CatalogObject => ({
      kind: row['kind'] as CatalogKind,
      schema: row['schema'] ?? '',
      of: row['of'] ?? '',
      name: row['name'] ?? '',
      identity: row['identity'] ?? '',
      properties: sorted(JSON.parse(row['properties'] ?? '{}') as Json) as Record<string, Json>,
    }),
  );
  const entries = objects.map((object): [string, CatalogObject] => [catalogKey(object), object]);
  return new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Changes when anyone commits a change to the catalog in this scope; safe to ask while another transaction holds locks. */
export async function catalogVersion(session: Queryable, scope: CatalogScope = {}): Promise<string> {
  const [row] = await session.query(
    scope.relations === undefined ? VERSION_OF_SCHEMAS : VERSION_OF_RELATIONS,
    scopeValues(scope),
  );
  return row?.['version'] ?? '';
}

/** A snapshot as plain, stable JSON: what two databases with the same schema have in common. */
export const catalogJson = (snapshot: CatalogSnapshot): Record<string, Record<string, Json>> =>
  Object.fromEntries([...snapshot].map(([key, object]) => [key, object.properties]));

/** sha256 of the snapshot's JSON: equal for databases whose schemas are logically equal. */
export const catalogDigest = (snapshot: CatalogSnapshot): string =>
  `sha256:${createHash('sha256')
    .update(JSON.stringify(catalogJson(snapshot)))
    .digest('hex')}`;

/** Equal for equal values: jsonb gives the keys of objects back in another order. */
export const canonicalJson = (value: Json | undefined): string => JSON.stringify(sorted(value ?? null));

/** The same value with its object keys in order, so that equal values have equal JSON. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.keys(value)
      .sort()
      .map((key) => [key, sorted(value[key] ?? null)]),
  );
}
