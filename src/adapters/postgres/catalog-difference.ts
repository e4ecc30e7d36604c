import { type CatalogObject, type CatalogSnapshot, canonicalJson, catalogKey } from './catalog.ts';

export interface CatalogChange {
  before: CatalogObject;
  after: CatalogObject;
}
/** What lies between two snapshots. A renamed object is in `changed` too where something else about it changed. */
export interface CatalogDifference {
  created: CatalogObject[];
  dropped: CatalogObject[];
  renamed: CatalogChange[];
  changed: CatalogChange[];
  /** Keys of what was created inside a created whole: the columns of a table. Records of 0.1.0 have none. */
  parts?: string[];
}

/** The names of the properties that differ. */
export const changedProperties = ({ before, after }: CatalogChange): string[] =>
  [...new Set([...Object.keys(before.properties), ...Object.keys(after.properties)])].filter(
    (name) => canonicalJson(before.properties[name]) !== canonicalJson(after.properties[name]),
  );

/** Compares by name; what has another name but is the same object was renamed. */
export function catalogDifference(before: CatalogSnapshot, after: CatalogSnapshot): CatalogDifference {
  const gone = [...before.values()].filter((object) => !after.has(catalogKey(object)));
  const fresh = new Map(
    [...after.values()].filter((object) => !before.has(catalogKey(object))).map((object) => [object.identity, object]),
  );
  const difference: CatalogDifference = { created: [], dropped: [], renamed: [], changed: [] };
  const compare = (change: CatalogChange): void => {
    if (changedProperties(change).length > 0) difference.changed.push(change);
  };
  for (const object of gone) {
    const same = fresh.get(object.identity);
    if (same === undefined || same.kind !== object.kind) {
      difference.dropped.push(object);
      continue;
    }
    fresh.delete(object.identity);
    difference.renamed.push({ before: object, after: same });
    compare({ before: object, after: same });
  }
  for (const [key, object] of before) {
    const now = after.get(key);
    if (now !== undefined) compare({ before: object, after: now });
  }
  difference.created = [...fresh.values()];
  return difference;
}

/** The columns of a table that have other names after a statement. */
export interface RenamedColumns {
  schema: string;
  table: string;
  renames: { from: string; to: string }[];
}
/** By identity, table by table: of columns whose names have changed places a comparison by name sees no rename. */
export function renamedColumns(before: CatalogSnapshot, after: CatalogSnapshot): RenamedColumns[] {
  const columns = [...after.values()].filter(({ kind }) => kind === 'column');
  const now = new Map(columns.map((column) => [column.identity, column]));
  const tables = new Map<string, RenamedColumns>();
  for (const { kind, schema, of, name, identity } of before.values()) {
    const same = kind === 'column' ? now.get(identity) : undefined;
    if (same === undefined || same.schema !== schema || same.of !== of || same.name === name) continue;
    const key = JSON.stringify([schema, of]);
    const table = tables.get(key) ?? { schema, table: of, renames: [] };
    table.renames.push({ from: name, to: same.name });
    tables.set(key, table);
  }
  return [...tables.values()];
}

/**
 * Leaves out of `created` and `dropped` what comes and goes with something else in them: the columns of a created
 * table, the index of a created constraint, the sequence of a created column.
 */
export function topLevel(objects: readonly CatalogObject[]): CatalogObject[] {
  const keys = new Set(objects.map(catalogKey));
  const has = (kind: CatalogObject['kind'], schema: string, of: string, name: string): boolean =>
    keys.has(catalogKey({ kind, schema, of, name }));
  const hasRelation = (schema: string, name: string): boolean =>
    (['table', 'foreign table', 'view', 'materialized view'] as const).some((kind) => has(kind, schema, '', name));
  return objects.filter((object) => {
    const { kind, schema, of, properties } = object;
    if (kind === 'function' || kind === 'procedure' || kind === 'aggregate') return true;
    if (of !== '' && hasRelation(schema, of)) return false;
    if (kind === 'index' && typeof properties['constraint'] === 'string')
      return !has('constraint', schema, of, properties['constraint']);
    if (kind === 'constraint' && properties['type'] === 'n') {
      return !(properties['columns'] as string[]).every((column) => has('column', schema, of, column));
    }
    if (kind === 'sequence' && properties['ownedBy'] !== null) {
      const owner = properties['ownedBy'] as { schema: string; table: string; column: string };
      if (hasRelation(owner.schema, owner.table)) return false;
      return !(has('column', owner.schema, owner.table, owner.column) || properties['ofIdentity'] === true);
    }
    return true;
  });
}

/**
 * Without the parts that come and go with a created or dropped whole: the ledger needs only what undo acts on. The
 * indexes of dropped constraints stay, so that they can be built again before their constraint comes back.
 */
export function compact(difference: CatalogDifference): CatalogDifference {
  const created = topLevel(difference.created);
  const dropped = new Set(topLevel(difference.dropped));
  const ofConstraint = ({ kind, of, schema, properties }: CatalogObject): boolean =>
    kind === 'index' &&
    [...dropped].some(
      (object) =>
        object.kind === 'constraint' &&
        'pu'.includes(String(object.properties['type'])) &&
        object.schema === schema &&
        object.of === of &&
        object.name === properties['constraint'],
    );
  return {
    ...difference,
    created,
    dropped: difference.dropped.filter((object) => dropped.has(object) || ofConstraint(object)),
    parts: difference.created.filter((object) => !created.includes(object)).map(catalogKey),
  };
}
