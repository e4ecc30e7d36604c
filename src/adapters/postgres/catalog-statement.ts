import type { CatalogObject } from './catalog.ts';
import { quoteIdentifier, quoteLiteral, quoteTable } from './identifier.ts';

/** How SQL names an object of the catalog, and the statements that bring one back to a definition. */
const KEYWORD: Partial<Record<CatalogObject['kind'], string>> = {
  table: 'TABLE',
  'foreign table': 'FOREIGN TABLE',
  view: 'VIEW',
  'materialized view': 'MATERIALIZED VIEW',
  index: 'INDEX',
  sequence: 'SEQUENCE',
  statistics: 'STATISTICS',
  function: 'FUNCTION',
  procedure: 'PROCEDURE',
  aggregate: 'AGGREGATE',
};

/** `TABLE "app"."users"`, `TRIGGER "t" ON "app"."users"`, `FUNCTION "app"."f"(integer)`; not for columns. */
export function objectSql({ kind, schema, of, name, properties }: CatalogObject): string {
  const quoted = quoteIdentifier(name);
  switch (kind) {
    case 'constraint':
    case 'trigger':
    case 'policy':
    case 'rule':
      return `${kind.toUpperCase()} ${quoted} ON ${quoteTable(schema, of)}`;
    case 'schema':
    case 'extension':
      return `${kind.toUpperCase()} ${quoted}`;
    case 'type':
      return `${properties['type'] === 'd' ? 'DOMAIN' : 'TYPE'} ${quoteTable(schema, name)}`;
    case 'function':
    case 'procedure':
    case 'aggregate':
      return `${KEYWORD[kind]} ${quoteTable(schema, name)}(${of === '' && kind === 'aggregate' ? '*' : of})`;
    case 'column':
      return `COLUMN ${quoteTable(schema, of)}.${quoted}`;
    default:
      return `${KEYWORD[kind]} ${quoteTable(schema, name)}`;
  }
}

export const alterTable = ({ schema, of }: CatalogObject, action: string): string =>
  `ALTER TABLE ${quoteTable(schema, of)} ${action}`;

/** Drops a created object. Never CASCADE: what others built on it is not ours to remove. */
export function dropSql(object: CatalogObject): string {
  if (object.kind === 'column') return alterTable(object, `DROP COLUMN ${quoteIdentifier(object.name)}`);
  if (object.kind === 'constraint') return alterTable(object, `DROP CONSTRAINT ${quoteIdentifier(object.name)}`);
  return `DROP ${objectSql(object)}`;
}

/** Gives a renamed object its name back; null where the new name belongs to something that is renamed with it. */
export function renameSql(before: CatalogObject, after: CatalogObject): string | null {
  if (before.name === after.name) return null;
  const name = quoteIdentifier(before.name);
  const from = quoteIdentifier(after.name);
  switch (after.kind) {
    case 'column':
      return alterTable(after, `RENAME COLUMN ${from} TO ${name}`);
    case 'constraint':
      return alterTable(after, `RENAME CONSTRAINT ${from} TO ${name}`);
    case 'extension':
      return null;
    default:
      return `ALTER ${objectSql(after)} RENAME TO ${name}`;
  }
}

/** Moves an object back into the schema that it was in. */
export const setSchemaSql = (before: CatalogObject, after: CatalogObject): string =>
  `ALTER ${objectSql(after)} SET SCHEMA ${quoteIdentifier(before.schema)}`;

const text = (value: unknown): string => String(value ?? '');
const POLICY_COMMAND: Record<string, string> = { r: 'SELECT', a: 'INSERT', w: 'UPDATE', d: 'DELETE', '*': 'ALL' };

/** Makes an object as it was from its definition; null where the definition isn't all of it (rows, values, members). */
export function createSql(object: CatalogObject): string | null {
  const { kind, schema, of, name, properties } = object;
  const definition = text(properties['definition']);
  switch (kind) {
    case 'constraint':
      return alterTable(object, `ADD CONSTRAINT ${quoteIdentifier(name)} ${definition}`);
    case 'policy':
      return [
        `CREATE POLICY ${quoteIdentifier(name)} ON ${quoteTable(schema, of)}`,
        `AS ${properties['permissive'] === true ? 'PERMISSIVE' : 'RESTRICTIVE'}`,
        `FOR ${POLICY_COMMAND[text(properties['command'])] ?? 'ALL'} TO ${(properties['roles'] as string[]).join(', ')}`,
        ...(properties['using'] === null ? [] : [`USING (${text(properties['using'])})`]),
        ...(properties['check'] === null ? [] : [`WITH CHECK (${text(properties['check'])})`]),
      ].join(' ');
    case 'view':
      return `CREATE VIEW ${quoteTable(schema, name)}${withOptions(properties['options'])} AS ${definition}`;
    case 'index':
    case 'trigger':
    case 'rule':
    case 'statistics':
    case 'function':
    case 'procedure':
      return definition;
    default:
      return null;
  }
}

const withOptions = (options: unknown): string => {
  const list = options as string[];
  return list.length === 0 ? '' : ` WITH (${list.map(optionSql).join(', ')})`;
};
/** `fillfactor=50` of the catalog as `fillfactor = '50'`. */
export const optionSql = (option: string): string => {
  const at = option.indexOf('=');
  return `${option.slice(0, at)} = ${quoteLiteral(option.slice(at + 1)).trim()}`;
};

export const commentSql = (object: CatalogObject, comment: unknown): string =>
  `COMMENT ON ${objectSql(object)} IS ${comment === null || comment === undefined ? 'NULL' : quoteLiteral(String(comment))}`;

/** Statements that turn the grants `from` into the grants `to`; entries are `grantee=privilege` and a star. */
export function grantSql(object: CatalogObject, from: readonly string[], to: readonly string[]): string[] {
  const { kind, schema, of, name } = object;
  const column = kind === 'column' ? ` (${quoteIdentifier(name)})` : '';
  const relation = kind === 'table' || kind === 'view' || kind === 'materialized view' || kind === 'foreign table';
  const on =
    kind === 'column'
      ? `TABLE ${quoteTable(schema, of)}`
      : relation
        ? `TABLE ${quoteTable(schema, name)}`
        : objectSql(object);
  const parts = (grant: string): { grantee: string; privilege: string; option: boolean } => {
    const at = grant.lastIndexOf('=');
    const privilege = grant.slice(at + 1);
    return { grantee: grant.slice(0, at), privilege: privilege.replace('*', ''), option: privilege.endsWith('*') };
  };
  return [
    ...from
      .filter((grant) => !to.includes(grant))
      .map(parts)
      .map(
        ({ grantee, privilege }) =>
          `REVOKE ${privilege}${column} ON ${on.replace(/^AGGREGATE/, 'FUNCTION')} FROM ${grantee}`,
      ),
    ...to
      .filter((grant) => !from.includes(grant))
      .map(parts)
      .map(
        ({ grantee, privilege, option }) =>
          `GRANT ${privilege}${column} ON ${on.replace(/^AGGREGATE/, 'FUNCTION')} TO ${grantee}${option ? ' WITH GRANT OPTION' : ''}`,
      ),
  ];
}
