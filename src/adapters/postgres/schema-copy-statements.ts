import type { CatalogKind, CatalogObject, CatalogSnapshot } from './catalog.ts';
import { createSql } from './catalog-statement.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';

/** Owners, grantees and roles of policies, as SQL writes them. */
export function rolesOf(snapshot: CatalogSnapshot): string[] {
  const roles = new Set<string>();
  for (const { properties } of snapshot.values()) {
    if (typeof properties['owner'] === 'string') roles.add(properties['owner']);
    for (const grant of texts(properties['grants'])) roles.add(grant.slice(0, grant.lastIndexOf('=')));
    for (const role of texts(properties['roles'])) roles.add(role);
  }
  roles.delete('PUBLIC');
  return [...roles].toSorted();
}

/**
 * The statements that make the objects of a snapshot, roughly in the order in which they lean on each other. Defaults,
 * owners, grants, comments and options are left to `restoreProperties`. Partitions are made as tables with their own
 * constraints and indexes, and attached then: ATTACH takes what fits for its own, so that all keep their names.
 */
export function copyStatements(snapshot: CatalogSnapshot): string[] {
  const objects = [...snapshot.values()];
  const of = (...kinds: CatalogKind[]): CatalogObject[] =>
    objects.filter(({ kind }) => kinds.includes(kind)).toSorted((a, b) => oid(a) - oid(b));
  const isPartition = ({ schema, of: table }: CatalogObject): boolean =>
    objects.some((o) => o.kind === 'table' && o.schema === schema && o.name === table && bound(o) !== null);
  const own = (object: CatalogObject): boolean =>
    object.properties['inherited'] !== true || (object.kind !== 'trigger' && isPartition(object));
  const constraints = of('constraint').filter(own);
  const plain = (object: CatalogObject): string[] => {
    const sql = createSql(object);
    return sql === null ? [] : [sql];
  };
  return [
    ...of('schema').map(({ name }) => `CREATE SCHEMA IF NOT EXISTS ${quoteIdentifier(name)}`),
    ...of('extension').map(
      ({ name, properties }) =>
        `CREATE EXTENSION IF NOT EXISTS ${quoteIdentifier(name)} SCHEMA ${quoteIdentifier(textOf(properties['schema']))}`,
    ),
    ...of('type').map(typeSql),
    ...of('sequence')
      .filter(({ properties }) => properties['ofIdentity'] !== true)
      .map(
        ({ schema, name, properties }) =>
          `CREATE SEQUENCE ${quoteTable(schema, name)} AS ${textOf(properties['type'])}`,
      ),
    ...of('table').map((table) => tableSql(table, objects)),
    ...of('function', 'procedure').flatMap(plain),
    ...of('aggregate').map(aggregateSql),
    ...constraints.filter(({ properties }) => !['f', 'n'].includes(textOf(properties['type']))).flatMap(plain),
    ...of('index')
      .filter(({ properties }) => properties['constraint'] === null)
      .flatMap(plain),
    ...of('table').flatMap(attachSql),
    ...constraints
      .filter(({ properties }) => properties['type'] === 'f' && properties['inherited'] !== true)
      .flatMap(plain),
    ...of('view').flatMap(plain),
    ...of('materialized view').map(
      ({ schema, name, properties }) =>
        `CREATE MATERIALIZED VIEW ${quoteTable(schema, name)} AS ${textOf(properties['definition']).replace(/;\s*$/, '')} WITH NO DATA`,
    ),
    ...of('statistics', 'trigger', 'policy', 'rule').filter(own).flatMap(plain),
  ];
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value));
const texts = (value: unknown): string[] =>
  Array.isArray(value) ? value.filter((item): item is string => typeof item === 'string') : [];
const oid = ({ identity }: CatalogObject): number => Number(identity.split('/')[1] ?? 0);
const attribute = ({ identity }: CatalogObject): number => Number(identity.split('/')[2] ?? 0);
const bound = ({ properties }: CatalogObject): string | null => (properties['partitionBound'] as string | null) ?? null;

function typeSql({ schema, name, properties }: CatalogObject): string {
  const type = quoteTable(schema, name);
  switch (properties['type']) {
    case 'e':
      return `CREATE TYPE ${type} AS ENUM (${texts(properties['labels'])
        .map((label) => quoteLiteral(label))
        .join(', ')})`;
    case 'c':
      return `CREATE TYPE ${type} AS (${texts(properties['attributes']).join(', ')})`;
    case 'r':
      return `CREATE TYPE ${type} AS RANGE (SUBTYPE = ${textOf(properties['subtype'])})`;
    default: {
      const constraints = Object.entries((properties['constraints'] ?? {}) as Record<string, string>);
      return [
        `CREATE DOMAIN ${type} AS ${textOf(properties['base'])}`,
        ...(properties['default'] === null ? [] : [`DEFAULT ${textOf(properties['default'])}`]),
        ...(properties['notNull'] === true && !constraints.some(([, definition]) => definition.startsWith('NOT NULL'))
          ? ['NOT NULL']
          : []),
        ...constraints.map(([constraint, definition]) => `CONSTRAINT ${quoteIdentifier(constraint)} ${definition}`),
      ].join(' ');
    }
  }
}

function tableSql(table: CatalogObject, objects: readonly CatalogObject[]): string {
  const { schema, name, properties } = table;
  const parents = bound(table) === null ? texts(properties['parents']) : [];
  const columns = objects
    .filter((object) => object.kind === 'column' && object.schema === schema && object.of === name)
    .filter((column) => parents.length === 0 || column.properties['local'] === true)
    .toSorted((a, b) => attribute(a) - attribute(b));
  return [
    `CREATE ${properties['persistence'] === 'u' ? 'UNLOGGED ' : ''}TABLE ${quoteTable(schema, name)}`,
    `(${columns.map((column) => columnSql(column, objects)).join(', ')})`,
    ...(parents.length === 0 ? [] : [`INHERITS (${parents.join(', ')})`]),
    ...(properties['partitionKey'] === null ? [] : [`PARTITION BY ${textOf(properties['partitionKey'])}`]),
  ].join(' ');
}

function columnSql(column: CatalogObject, objects: readonly CatalogObject[]): string {
  const { schema, of, name, properties } = column;
  const notNull = objects.find(
    (object) =>
      object.kind === 'constraint' &&
      object.schema === schema &&
      object.of === of &&
      object.properties['type'] === 'n' &&
      texts(object.properties['columns']).includes(name),
  );
  return [
    `${quoteIdentifier(name)} ${textOf(properties['type'])}`,
    ...(properties['collation'] === null ? [] : [`COLLATE ${textOf(properties['collation'])}`]),
    ...generatedSql(properties['generated']),
    ...identitySql(column, objects),
    ...(properties['notNull'] !== true
      ? []
      : [notNull === undefined ? 'NOT NULL' : `CONSTRAINT ${quoteIdentifier(notNull.name)} NOT NULL`]),
  ].join(' ');
}

/** The catalog has `s` or `v`, a space and the expression. */
function generatedSql(generated: unknown): string[] {
  if (typeof generated !== 'string') return [];
  return [`GENERATED ALWAYS AS (${generated.slice(2)}) ${generated.startsWith('v') ? 'VIRTUAL' : 'STORED'}`];
}

function identitySql({ schema, of, name, properties }: CatalogObject, objects: readonly CatalogObject[]): string[] {
  if (properties['identity'] === '') return [];
  const sequence = objects.find((object) => {
    const owner = object.properties['ownedBy'] as { schema: string; table: string; column: string } | null | undefined;
    return object.kind === 'sequence' && owner?.schema === schema && owner.table === of && owner.column === name;
  });
  const called = sequence === undefined ? '' : ` (SEQUENCE NAME ${quoteTable(sequence.schema, sequence.name)})`;
  return [`GENERATED ${properties['identity'] === 'a' ? 'ALWAYS' : 'BY DEFAULT'} AS IDENTITY${called}`];
}

function attachSql(table: CatalogObject): string[] {
  const [parent] = texts(table.properties['parents']);
  const values = bound(table);
  if (values === null || parent === undefined) return [];
  return [`ALTER TABLE ${parent} ATTACH PARTITION ${quoteTable(table.schema, table.name)} ${values}`];
}

function aggregateSql({ schema, of, name, properties }: CatalogObject): string {
  const [transition, final, state, initial] = properties['aggregate'] as [string, string, string, string | null];
  const functionName = (procedure: string): string => procedure.slice(0, procedure.indexOf('('));
  return [
    `CREATE AGGREGATE ${quoteTable(schema, name)}(${of === '' ? '*' : of}) (SFUNC = ${functionName(transition)}, STYPE = ${state}`,
    ...(final === '-' ? [] : [`FINALFUNC = ${functionName(final)}`]),
    ...(initial === null ? [] : [`INITCOND = ${quoteLiteral(initial)}`]),
  ]
    .join(', ')
    .concat(')');
}
