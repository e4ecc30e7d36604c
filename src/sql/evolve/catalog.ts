import type { ColumnFacts, ConstraintFacts, IndexFacts, RelationFacts, RelationKind, SchemaFacts } from '../facts.ts';
import type { ColumnClause, ConstraintClause, Name } from '../tree.ts';
import { sameName } from '../tree.ts';
import { typeOf, typeText } from '../type-name.ts';
import { deparseExpression } from './expression-text.ts';

/** A relation that a statement has just made: nobody uses it, it has no rows. */
export const newRelation = (name: Name, kind: RelationKind): RelationFacts => ({
  schema: name.schema,
  name: name.name,
  kind,
  fresh: true,
  rows: 0,
  heapBytes: 0,
  indexBytes: 0,
  owned: true,
  rowSecurity: { enabled: false, forced: false },
  replicatedBy: [],
  columns: [],
  constraints: [],
  indexes: [],
  triggers: [],
  partitions: [],
  parents: [],
  readBy: [],
  referencedBy: [],
  of: null,
});

export const changed = (
  facts: SchemaFacts,
  names: readonly Name[] | Name,
  change: (relation: RelationFacts) => RelationFacts,
): SchemaFacts => {
  const all = Array.isArray(names) ? (names as readonly Name[]) : [names as Name];
  return {
    ...facts,
    relations: facts.relations.map((relation) =>
      all.some((name) => sameName(name, relation)) ? change(relation) : relation,
    ),
  };
};
export const eachRelation = (facts: SchemaFacts, change: (relation: RelationFacts) => RelationFacts): SchemaFacts => ({
  ...facts,
  relations: facts.relations.map(change),
});
export const added = (facts: SchemaFacts, ...relations: RelationFacts[]): SchemaFacts => ({
  ...facts,
  relations: [...facts.relations.filter((one) => !relations.some((relation) => sameName(one, relation))), ...relations],
});

/** Takes relations away, with what others remember of them. */
export function removed(facts: SchemaFacts, names: readonly Name[]): SchemaFacts {
  const gone = (name: Name): boolean => names.some((one) => sameName(one, name));
  return {
    ...facts,
    relations: facts.relations
      .filter((relation) => !gone(relation) && !(relation.of !== null && gone(relation.of)))
      .map((relation) => ({
        ...relation,
        partitions: relation.partitions.filter((one) => !gone(one)),
        parents: relation.parents.filter((one) => !gone(one)),
        readBy: relation.readBy.filter((one) => !gone(one)),
        referencedBy: relation.referencedBy.filter(({ schema, table }) => !gone({ schema, name: table })),
        constraints: relation.constraints.filter(({ references }) => references === null || !gone(references)),
        indexes: relation.indexes.filter(({ name }) => !gone({ schema: relation.schema, name })),
      })),
    types: facts.types.map((type) => ({
      ...type,
      usedBy: type.usedBy.filter(({ schema, table }) => !gone({ schema, name: table })),
    })),
  };
}

const NOT_NULL_HAS_A_NAME_SINCE = 180_000;

export const columnFacts = (column: ColumnClause, schema: string): ColumnFacts => ({
  name: column.name,
  type: typeText(typeOf(column.type, schema)),
  notNull: column.notNull,
  default: column.serial ? "nextval('…')" : column.default === null ? null : deparseExpression(column.default),
  generated: column.generated !== null,
  identity: column.identity,
  collation: column.collation,
  nullShare: null,
  widthBytes: null,
});

/** `users_email_key`: the name that Postgres gives where the statement gives none. Source: ChooseConstraintName. */
export function constraintName(table: RelationFacts, { kind, name, columns }: ConstraintClause): string {
  if (name !== null) return name;
  const middle = kind === 'primary' || columns.length === 0 ? '' : `_${columns.join('_')}`;
  const suffix = {
    primary: 'pkey',
    unique: 'key',
    check: 'check',
    foreign: 'fkey',
    exclusion: 'excl',
    'not null': 'not_null',
  };
  const base = `${table.name}${middle}_${suffix[kind]}`;
  const taken = (candidate: string): boolean => table.constraints.some((one) => one.name === candidate);
  if (!taken(base)) return base;
  for (let number = 1; ; number += 1) if (!taken(`${base}${number}`)) return `${base}${number}`;
}

/** A table with one more constraint, and the index that comes with it. */
export function withConstraint(table: RelationFacts, clause: ConstraintClause, facts: SchemaFacts): RelationFacts {
  const checked = clause.kind === 'check' ? deparseExpression(clause.node['raw_expr']) : '';
  const read = columnsNamed(table, checked);
  // A check is named after its column, where it reads one only.
  const name = constraintName(
    table,
    clause.kind === 'check' ? { ...clause, columns: read.length === 1 ? read : [] } : clause,
  );
  if (clause.kind === 'not null')
    return withNotNull(table, clause.columns, facts, { name, validated: !clause.notValid });
  const hasIndex = clause.kind === 'primary' || clause.kind === 'unique' || clause.kind === 'exclusion';
  const existing = table.indexes.find((index) => index.name === clause.usingIndex);
  const columns = existing === undefined ? clause.columns : existing.columns.flatMap((column) => column ?? []);
  const constraint: ConstraintFacts = {
    name,
    kind: clause.kind,
    columns: clause.kind === 'check' ? read : columns,
    validated: !clause.notValid,
    deferrable: clause.deferrable,
    definition: definitionOf(clause, columns, checked),
    references: clause.references === null ? null : referenced(clause.references, facts),
  };
  const index: IndexFacts = {
    ...(existing ?? newIndex(name, columns, table)),
    name,
    unique: clause.kind !== 'exclusion',
    constraint: name,
  };
  const withKey =
    clause.kind === 'primary' ? withNotNull(table, columns, facts, { name: null, validated: true }) : table;
  return {
    ...withKey,
    constraints: [...withKey.constraints, constraint],
    indexes: hasIndex ? [...table.indexes.filter((one) => one !== existing), index] : table.indexes,
  };
}

function definitionOf(
  { kind, references, notValid }: ConstraintClause,
  columns: readonly string[],
  checked: string,
): string {
  const list = `(${columns.join(', ')})`;
  const words = {
    primary: `PRIMARY KEY ${list}`,
    unique: `UNIQUE ${list}`,
    check: `CHECK ((${checked}))`,
    foreign: `FOREIGN KEY ${list} REFERENCES ${references?.schema}.${references?.name}(${references?.columns.join(', ')})`,
    exclusion: `EXCLUDE ${list}`,
    'not null': `NOT NULL ${columns.join(', ')}`,
  };
  return `${words[kind]}${notValid ? ' NOT VALID' : ''}`;
}

/** Without columns, REFERENCES means the primary key. */
export function referenced(
  references: NonNullable<ConstraintClause['references']>,
  facts: SchemaFacts,
): NonNullable<ConstraintFacts['references']> {
  if (references.columns.length > 0) return references;
  const target = facts.relations.find((one) => sameName(one, references));
  return { ...references, columns: target?.constraints.find(({ kind }) => kind === 'primary')?.columns ?? [] };
}

export const newIndex = (name: string, columns: readonly (string | null)[], table: RelationFacts): IndexFacts => ({
  name,
  columns,
  unique: false,
  valid: true,
  partial: false,
  constraint: null,
  method: 'btree',
  definition: `CREATE INDEX ${name} ON ${table.schema}.${table.name} USING btree (${columns.join(', ')})`,
  bytes: 0,
});

export function withNotNull(
  table: RelationFacts,
  columns: readonly string[],
  { serverVersion }: SchemaFacts,
  { name, validated }: { name: string | null; validated: boolean },
): RelationFacts {
  const isNew = columns.filter((column) => !table.columns.some((one) => one.name === column && one.notNull));
  const named =
    serverVersion < NOT_NULL_HAS_A_NAME_SINCE
      ? []
      : isNew.map(
          (column): ConstraintFacts => ({
            name: name ?? `${table.name}_${column}_not_null`,
            kind: 'not null',
            columns: [column],
            validated,
            deferrable: false,
            definition: `NOT NULL ${column}${validated ? '' : ' NOT VALID'}`,
            references: null,
          }),
        );
  return {
    ...table,
    columns: table.columns.map((column) => (columns.includes(column.name) ? { ...column, notNull: true } : column)),
    constraints: [
      // One that was there without having been validated is validated by it.
      ...table.constraints.map((one) =>
        validated && one.kind === 'not null' && one.columns.some((column) => columns.includes(column))
          ? { ...one, validated: true, definition: one.definition.replace(/ NOT VALID$/, '') }
          : one,
      ),
      ...named,
    ],
  };
}

/** The columns of a table that an expression's text has as words. */
export const columnsNamed = (table: RelationFacts, text: string): string[] => {
  const words = new Set(text.split(/[^\p{L}\p{N}_$]+/u));
  return table.columns.map(({ name }) => name).filter((name) => words.has(name) || text.includes(`"${name}"`));
};
