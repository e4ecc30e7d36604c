import { createHash } from 'node:crypto';
import { type CatalogObject, type CatalogSnapshot, describeObject, type Json } from './catalog.ts';
import { type CatalogChange, changedProperties } from './catalog-difference.ts';
import { aloneMove, type Move, moveOf } from './catalog-move.ts';
import { restoreType } from './catalog-restore-type.ts';
import { alterTable, commentSql, createSql, dropSql, grantSql, objectSql, optionSql } from './catalog-statement.ts';
import { quoteIdentifier, quoteTable } from './identifier.ts';

/** Sets the changed properties of objects back to what they were. */
export interface Restored {
  /** Each as a bare statement, for where nobody waits for locks. */
  statements: string[];
  moves: Move[];
  irreversible: string[];
}
export interface RestoreContext {
  /** Something was renamed in the same statement: definitions that print its name follow by themselves. */
  renamed: boolean;
  notNullConstraintDropped(change: CatalogChange): boolean;
  /** What is there now, where something is being undone. */
  now?: CatalogSnapshot;
  /** Views that got columns in the same statement, by their quoted names. */
  widened?: ReadonlySet<string>;
  /** Tables that became a partition or an heir in the same statement, by their quoted names. */
  attached?: ReadonlySet<string>;
}
type Restore = (change: CatalogChange, context: RestoreContext) => (string | Move)[] | null;

const of = (object: CatalogObject, property: string): Json => object.properties[property] ?? null;
const text = (object: CatalogObject, property: string): string => String(of(object, property) ?? '');
const list = (object: CatalogObject, property: string): string[] => (of(object, property) ?? []) as string[];
const column = ({ before }: CatalogChange, action: string): string[] => [
  alterTable(before, `ALTER COLUMN ${quoteIdentifier(before.name)} ${action}`),
];
const relation = ({ before }: CatalogChange, action: string): string[] => [`ALTER ${objectSql(before)} ${action}`];
const STORAGE: Record<string, string> = { p: 'PLAIN', e: 'EXTERNAL', m: 'MAIN', x: 'EXTENDED' };
const COMPRESSION: Record<string, string> = { '': 'DEFAULT', p: 'pglz', l: 'lz4' };
const ENABLED: Record<string, string> = { O: 'ENABLE', D: 'DISABLE', R: 'ENABLE REPLICA', A: 'ENABLE ALWAYS' };
const DERIVED: Restore = () => [];

const options =
  (property: string, set: (change: CatalogChange, action: string) => string[], prefix = ''): Restore =>
  (change) => {
    const [before, after] = [list(change.before, property), list(change.after, property)];
    const nameOf = (option: string): string => option.slice(0, option.indexOf('='));
    const gone = after.map(nameOf).filter((name) => !before.map(nameOf).includes(name));
    const back = before.filter((option) => !after.includes(option));
    return [
      ...(gone.length === 0 ? [] : set(change, `RESET (${gone.map((name) => prefix + name).join(', ')})`)),
      ...(back.length === 0 ? [] : set(change, `SET (${back.map((option) => prefix + optionSql(option)).join(', ')})`)),
    ];
  };

const identity: Restore = (change) => {
  const [before, after] = [of(change.before, 'identity'), of(change.after, 'identity')];
  const kind = before === 'a' ? 'ALWAYS' : 'BY DEFAULT';
  if (before === '') return column(change, 'DROP IDENTITY');
  return after === '' ? null : column(change, `SET GENERATED ${kind}`);
};

/** The name of the check by which NOT NULL comes back to a column without a scan under the strongest lock. */
export const scaffoldName = ({ schema, of: table, name }: CatalogObject): string =>
  `zz_switchback_${createHash('sha256')
    .update(JSON.stringify([schema, table, name]))
    .digest('hex')
    .slice(0, 10)}`;

/** Only below Postgres 18: there it is a constraint that comes back by itself. */
const notNull: Restore = (change, context) => {
  const { before } = change;
  if (of(before, 'notNull') === false) return column(change, 'DROP NOT NULL');
  if (context.notNullConstraintDropped(change)) return [];
  const name = scaffoldName(before);
  const scaffold = [...(context.now?.values() ?? [])].find(
    (object) =>
      object.kind === 'constraint' &&
      object.schema === before.schema &&
      object.of === before.of &&
      object.name === name,
  );
  const quoted = quoteIdentifier(name);
  const check = `ADD CONSTRAINT ${quoted} CHECK (${quoteIdentifier(before.name)} IS NOT NULL) NOT VALID`;
  return [
    ...(scaffold === undefined ? [moveOf(before, alterTable(before, check))] : []),
    ...(scaffold?.properties['validated'] === true
      ? []
      : [aloneMove(before, alterTable(before, `VALIDATE CONSTRAINT ${quoted}`))]),
    ...column(change, 'SET NOT NULL'),
    alterTable(before, `DROP CONSTRAINT ${quoted}`),
  ];
};

const NOT_VALID = / NOT VALID$/;
const TIMING = / (NOT DEFERRABLE|DEFERRABLE( INITIALLY DEFERRED)?)(?= NOT VALID$|$)/;

/** Checked rows stay unlocked: the constraint comes back unchecked first, then it is checked under a weak lock. */
export function constraintMoves(object: CatalogObject, context: Pick<RestoreContext, 'now'>): Move[] {
  const made = createSql(object) ?? '';
  const table = [...(context.now?.values() ?? [])].find(
    ({ kind, schema, name }) => kind === 'table' && schema === object.schema && name === object.of,
  );
  // Below 18 a partitioned table takes no foreign key that isn't valid at once.
  const atOnce = text(object, 'type') === 'f' && table !== undefined && of(table, 'partitionKey') !== null;
  const stepwise = 'cfn'.includes(text(object, 'type')) && of(object, 'validated') === true && !atOnce;
  if (!stepwise) return [aloneMove(object, made)];
  return [moveOf(object, `${made} NOT VALID`), validateMove(object)];
}
const validateMove = (object: CatalogObject): Move =>
  aloneMove(object, alterTable(object, `VALIDATE CONSTRAINT ${quoteIdentifier(object.name)}`));

const constraint: Restore = ({ before, after }, { renamed, now }) => {
  if (renamed) return [];
  const [was, is] = [text(before, 'definition'), text(after, 'definition')];
  if (of(before, 'validated') === true && is.replace(NOT_VALID, '') === was) return [validateMove(before)];
  if (text(before, 'type') === 'f' && was.replace(TIMING, '') === is.replace(TIMING, '')) {
    const timing = TIMING.exec(was)?.[1] ?? 'NOT DEFERRABLE';
    return [alterTable(before, `ALTER CONSTRAINT ${quoteIdentifier(before.name)} ${timing}`)];
  }
  // Building a unique index anew inside a rollback would block writers for long.
  if ('pux'.includes(text(before, 'type'))) return null;
  const [first, ...others] = constraintMoves(before, now === undefined ? {} : { now });
  return first === undefined ? null : [dropSql(after), { ...first, alone: false }, ...others];
};

const byDefinition: Restore = (change, context) => {
  const { before } = change;
  if (before.kind === 'constraint') return constraint(change, context);
  if (context.renamed) return [];
  const made = createSql(before);
  if (made === null) return null;
  switch (before.kind) {
    case 'trigger':
      return [
        made.replace(/^CREATE (CONSTRAINT )?TRIGGER/, (words) =>
          words.includes('CONSTRAINT') ? words : 'CREATE OR REPLACE TRIGGER',
        ),
      ];
    case 'rule':
      return [made.replace(/^CREATE RULE/, 'CREATE OR REPLACE RULE')];
    case 'function':
    case 'procedure':
      return [made];
    case 'view':
      // A view that got a column can't be made narrow again while others may read it.
      return context.widened?.has(quoteTable(before.schema, before.name)) === true
        ? []
        : [made.replace(/^CREATE VIEW/, 'CREATE OR REPLACE VIEW')];
    default:
      return null;
  }
};
const policy: Restore = ({ before, after }, { renamed }) => (renamed ? [] : [dropSql(after), createSql(before) ?? '']);
const enabled: Restore = ({ before }) => {
  const action = `${ENABLED[text(before, 'enabled')] ?? 'ENABLE'} ${before.kind.toUpperCase()}`;
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

/** A table that became a partition or an heir leaves its parents; what they gave it is dropped in the next look. */
const parents: Restore = ({ before, after }, { renamed }) => {
  if (renamed) return [];
  const gone = list(before, 'parents').filter((parent) => !list(after, 'parents').includes(parent));
  if (gone.length > 0) return null;
  const table = quoteTable(after.schema, after.name);
  // Parents are printed as `regclass`, so they are quoted already.
  return list(after, 'parents')
    .filter((parent) => !list(before, 'parents').includes(parent))
    .map((parent) =>
      of(after, 'partitionBound') === null
        ? aloneMove(after, `ALTER TABLE ${table} NO INHERIT ${parent}`)
        : aloneMove(after, `ALTER TABLE ${parent} DETACH PARTITION ${table}`),
    );
};

/** What a table gave to its heirs follows it back. Only what was there before and became a part of the parent's doesn't. */
const followsParent: Restore = ({ before }, { attached }) =>
  attached?.has(quoteTable(before.schema, before.of)) === true ? [] : null;
/** A partition's own check becomes its table's alone, and would go with that; an heir's stays its own as well. */
const becameInherited: Restore = (change, context) => {
  const { before, after } = change;
  if (before.kind !== 'constraint') return [];
  const isLost =
    'pfux'.includes(text(before, 'type')) ||
    (text(before, 'type') === 'c' && of(before, 'local') === true && of(after, 'local') === false);
  return isLost ? followsParent(change, context) : [];
};

const ANY: Record<string, Restore> = {
  comment: ({ before }) => [commentSql(before, of(before, 'comment'))],
  grants: ({ before, after }) => grantSql(before, list(after, 'grants'), list(before, 'grants')),
  owner: (change) => relation(change, `OWNER TO ${of(change.before, 'owner')}`),
  definition: byDefinition,
  enabled,
  validated: byDefinition,
  inherited: becameInherited,
  local: DERIVED,
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
  storage: (change) => column(change, `SET STORAGE ${STORAGE[text(change.before, 'storage')] ?? 'DEFAULT'}`),
  compression: (change) =>
    column(change, `SET COMPRESSION ${COMPRESSION[text(change.before, 'compression')] ?? 'DEFAULT'}`),
  statistics: (change) => column(change, `SET STATISTICS ${of(change.before, 'statistics') ?? -1}`),
  options: options('options', column),
};
const RELATION: Record<string, Restore> = {
  options: options('options', relation),
  toastOptions: options('toastOptions', relation, 'toast.'),
  rowSecurity: (change) =>
    relation(change, `${of(change.before, 'rowSecurity') === true ? 'ENABLE' : 'DISABLE'} ROW LEVEL SECURITY`),
  forceRowSecurity: (change) =>
    relation(change, `${of(change.before, 'forceRowSecurity') === true ? 'FORCE' : 'NO FORCE'} ROW LEVEL SECURITY`),
  replicaIdentity: (change) => {
    const named = { d: 'DEFAULT', n: 'NOTHING', f: 'FULL' }[text(change.before, 'replicaIdentity')];
    return named === undefined ? null : relation(change, `REPLICA IDENTITY ${named}`);
  },
  persistence: (change) => relation(change, `SET ${of(change.before, 'persistence') === 'u' ? 'UNLOGGED' : 'LOGGED'}`),
  parents,
  partitionBound: (change, context) => (of(change.before, 'partitionBound') === null ? [] : parents(change, context)),
};
const SEQUENCE: Record<string, Restore> = {
  ...Object.fromEntries(['increment', 'min', 'max', 'start', 'cache', 'cycle', 'type'].map((name) => [name, sequence])),
  ownedBy,
};
const POLICY: Record<string, Restore> = Object.fromEntries(
  ['command', 'permissive', 'roles', 'using', 'check'].map((name) => [name, policy]),
);
const INDEX: Record<string, Restore> = {
  constraint: ({ before }, { renamed }) => (renamed && of(before, 'constraint') !== null ? [] : null),
  replicaIdentity: DERIVED,
  parents: (change, context) => (context.renamed ? [] : followsParent(change, context)),
  options: options('options', relation),
  // What an index is made of never changes; its options are printed with it.
  definition: ({ before, after }, { renamed }) =>
    renamed || JSON.stringify(of(before, 'options')) !== JSON.stringify(of(after, 'options')) ? [] : null,
  clustered: ({ before }) => [
    alterTable(
      before,
      of(before, 'clustered') === true ? `CLUSTER ON ${quoteIdentifier(before.name)}` : 'SET WITHOUT CLUSTER',
    ),
  ],
};
const STATISTICS: Record<string, Restore> = {
  target: (change) => relation(change, `SET STATISTICS ${of(change.before, 'target') ?? -1}`),
};
const BY_KIND: Partial<Record<CatalogObject['kind'], Record<string, Restore>>> = {
  column: COLUMN,
  table: RELATION,
  view: RELATION,
  'materialized view': RELATION,
  sequence: SEQUENCE,
  policy: POLICY,
  index: INDEX,
  statistics: STATISTICS,
};

/** An heir's constraint that has become its own beside its parent's: nothing makes it the parent's alone again. */
const madeOwn = ({ before, after }: CatalogChange, name: string): boolean =>
  before.kind === 'constraint' && name === 'local' && of(after, 'local') === true && of(after, 'inherited') === true;

export function restoreProperties(change: CatalogChange, context: RestoreContext): Restored {
  const restored: Restored = { statements: [], moves: [], irreversible: [] };
  const { before } = change;
  const inherited = before.properties['inherited'] === true && before.kind !== 'column';
  for (const name of changedProperties(change)) {
    const restore = BY_KIND[before.kind]?.[name] ?? ANY[name];
    const found =
      before.kind === 'type' ? (restoreType(change, name) ?? restore?.(change, context)) : restore?.(change, context);
    // What is inherited follows its parent's.
    const moves = inherited ? (madeOwn(change, name) ? null : []) : (found ?? null);
    if (moves === null) {
      const [was, is] = [before, change.after].map((object) => JSON.stringify(of(object, name)));
      restored.irreversible.push(`${name} of ${describeObject(before)} changed from ${was} to ${is}`);
    } else {
      // Several properties can come back by one statement: a policy's, a sequence's.
      const known = restored.moves.map(({ sql }) => sql);
      const fresh = moves.map((move) => (typeof move === 'string' ? moveOf(before, move) : move));
      restored.moves.push(...fresh.filter(({ sql }) => !known.includes(sql)));
    }
  }
  restored.statements = restored.moves.map(({ sql }) => sql);
  return restored;
}
