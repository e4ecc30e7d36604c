import { type CatalogObject, describeObject, type Json } from './catalog.ts';
import { type CatalogChange, changedProperties } from './catalog-difference.ts';
import { alterTable, commentSql, createSql, dropSql, grantSql, objectSql, optionSql } from './catalog-statement.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';

/** Sets the changed properties of objects back to what they were. */
export interface Restored {
  statements: string[];
  irreversible: string[];
}
export interface RestoreContext {
  /** Something was renamed in the same statement: definitions that print its name follow by themselves. */
  renamed: boolean;
  notNullConstraintDropped(change: CatalogChange): boolean;
}
type Restore = (change: CatalogChange, context: RestoreContext) => string[] | null;

const of = (object: CatalogObject, property: string): Json => object.properties[property] ?? null;
const list = (object: CatalogObject, property: string): string[] => (of(object, property) ?? []) as string[];
const column = ({ before }: CatalogChange, action: string): string[] => [
  alterTable(before, `ALTER COLUMN ${quoteIdentifier(before.name)} ${action}`),
];
const relation = ({ before }: CatalogChange, action: string): string[] => [`ALTER ${objectSql(before)} ${action}`];
const STORAGE: Record<string, string> = { p: 'PLAIN', e: 'EXTERNAL', m: 'MAIN', x: 'EXTENDED' };
const COMPRESSION: Record<string, string> = { '': 'DEFAULT', p: 'pglz', l: 'lz4' };
const ENABLED: Record<string, string> = { O: 'ENABLE', D: 'DISABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' };
const DERIVED: Restore = () => [];

function options(change: CatalogChange, set: (action: string) => string[]): string[] {
  const [before, after] = [list(change.before, 'options'), list(change.after, 'options')];
  const nameOf = (option: string): string => option.slice(0, option.indexOf('='));
  const gone = after.map(nameOf).filter((name) => !before.map(nameOf).includes(name));
  const back = before.filter((option) => !after.includes(option));
  return [
    ...(gone.length === 0 ? [] : set(`RESET (${gone.join(', ')})`)),
    ...(back.length === 0 ? [] : set(`SET (${back.map(optionSql).join(', ')})`)),
  ];
}

const identity: Restore = (change) => {
  const [before, after] = [of(change.before, 'identity'), of(change.after, 'identity')];
  const kind = before === 'a' ? 'ALWAYS' : 'BY DEFAULT';
  if (before === '') return column(change, 'DROP IDENTITY');
  return after === '' ? null : column(change, `SET GENERATED ${kind}`);
};
const notNull: Restore = (change, context) => {
  if (of(change.before, 'notNull') === false) return column(change, 'DROP NOT NULL');
  return context.notNullConstraintDropped(change) ? [] : column(change, 'SET NOT NULL');
};
const byDefinition: Restore = ({ before, after }, { renamed }) => {
  if (renamed) return [];
  const made = createSql(before);
  if (made === null) return null;
  switch (before.kind) {
    case 'constraint':
      // Building a unique index anew inside a rollback would block writers for long.
      return 'pux'.includes(String(of(before, 'type'))) ? null : [dropSql(after), made];
    case 'trigger':
      return [
        made.replace(/^CREATE (CONSTRAINT )?TRIGGER/, (text) =>
          text.includes('CONSTRAINT') ? text : 'CREATE OR REPLACE TRIGGER',
        ),
      ];
    case 'rule':
      return [made.replace(/^CREATE RULE/, 'CREATE OR REPLACE RULE')];
    case 'function':
    case 'procedure':
      return [made];
    default:
      return null;
  }
};
const policy: Restore = ({ before, after }, { renamed }) => (renamed ? [] : [dropSql(after), createSql(before) ?? '']);
const enabled: Restore = ({ before }) => {
  const action = `${ENABLED[String(of(before, 'enabled'))] ?? 'ENABLE'} ${before.kind.toUpperCase()}`;
  return [alterTable(before, `${action} ${quoteIdentifier(before.name)}`)];
};
const sequence: Restore = (change) => {
  const before = change.before;
  return relation(
    change,
    `AS ${of(before, 'type')} INCREMENT ${of(before, 'increment')} MINVALUE ${of(before, 'min')} MAXVALUE ${of(before, 'max')} ` +
      `START ${of(before, 'start')} CACHE ${of(before, 'cache')} ${of(before, 'cycle') === true ? 'CYCLE' : 'NO CYCLE'}`,
  );
};
const ownedBy: Restore = (change, { renamed }) => {
  if (renamed) return [];
  const owner = of(change.before, 'ownedBy') as { schema: string; table: string; column: string } | null;
  const to = owner === null ? 'NONE' : `${quoteTable(owner.schema, owner.table)}.${quoteIdentifier(owner.column)}`;
  return relation(change, `OWNED BY ${to}`);
};

const ANY: Record<string, Restore> = {
  comment: ({ before }) => [commentSql(before, of(before, 'comment'))],
  grants: ({ before, after }) => grantSql(before, list(after, 'grants'), list(before, 'grants')),
  owner: (change) => relation(change, `OWNER TO ${of(change.before, 'owner')}`),
  definition: byDefinition,
  enabled,
  validated: byDefinition,
  // A constraint or index that follows a rename lists the new column names.
  columns: (_change, { renamed }) => (renamed ? [] : null),
};
const COLUMN: Record<string, Restore> = {
  default: (change, { renamed }) => {
    const before = of(change.before, 'default');
    if (renamed && before !== null && of(change.after, 'default') !== null) return [];
    return column(change, before === null ? 'DROP DEFAULT' : `SET DEFAULT ${before}`);
  },
  generated: (_change, { renamed }) => (renamed ? [] : null),
  notNull,
  identity,
  storage: (change) => column(change, `SET STORAGE ${STORAGE[String(of(change.before, 'storage'))] ?? 'DEFAULT'}`),
  compression: (change) =>
    column(change, `SET COMPRESSION ${COMPRESSION[String(of(change.before, 'compression'))] ?? 'DEFAULT'}`),
  statistics: (change) => column(change, `SET STATISTICS ${of(change.before, 'statistics') ?? -1}`),
  options: (change) => options(change, (action) => column(change, action)),
};
const RELATION: Record<string, Restore> = {
  options: (change) => options(change, (action) => relation(change, action)),
  rowSecurity: (change) =>
    relation(change, `${of(change.before, 'rowSecurity') === true ? 'ENABLE' : 'DISABLE'} ROW LEVEL SECURITY`),
  forceRowSecurity: (change) =>
    relation(change, `${of(change.before, 'forceRowSecurity') === true ? 'FORCE' : 'NO FORCE'} ROW LEVEL SECURITY`),
  replicaIdentity: (change) => {
    const named = { d: 'DEFAULT', n: 'NOTHING', f: 'FULL' }[String(of(change.before, 'replicaIdentity'))];
    return named === undefined ? null : relation(change, `REPLICA IDENTITY ${named}`);
  },
  persistence: (change) => relation(change, `SET ${of(change.before, 'persistence') === 'u' ? 'UNLOGGED' : 'LOGGED'}`),
  parents: (_change, { renamed }) => (renamed ? [] : null),
};
const SEQUENCE: Record<string, Restore> = {
  ...Object.fromEntries(['increment', 'min', 'max', 'start', 'cache', 'cycle', 'type'].map((name) => [name, sequence])),
  ownedBy,
};
const POLICY: Record<string, Restore> = Object.fromEntries(
  ['command', 'permissive', 'roles', 'using', 'check'].map((name) => [name, policy]),
);
const INDEX: Record<string, Restore> = {
  constraint: (_change, { renamed }) => (renamed ? [] : null),
  replicaIdentity: DERIVED,
};
const BY_KIND: Partial<Record<CatalogObject['kind'], Record<string, Restore>>> = {
  column: COLUMN,
  table: RELATION,
  view: RELATION,
  'materialized view': RELATION,
  sequence: SEQUENCE,
  policy: POLICY,
  index: INDEX,
};

export function restoreProperties(change: CatalogChange, context: RestoreContext): Restored {
  const restored: Restored = { statements: [], irreversible: [] };
  const inherited = change.before.properties['inherited'] === true && change.before.kind !== 'column';
  for (const name of changedProperties(change)) {
    const restore = BY_KIND[change.before.kind]?.[name] ?? ANY[name];
    const statements = inherited ? [] : (restore?.(change, context) ?? null);
    if (statements === null) {
      const [before, after] = [change.before, change.after].map((object) => JSON.stringify(of(object, name)));
      restored.irreversible.push(`${name} of ${describeObject(change.before)} changed from ${before} to ${after}`);
    } else {
      // Several properties can come back by one statement: a policy's, a sequence's.
      restored.statements.push(...statements.filter((statement) => !restored.statements.includes(statement)));
    }
  }
  return restored;
}
