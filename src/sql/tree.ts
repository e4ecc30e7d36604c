import type { SqlNode, Statement } from './parser.ts';

/** A relation, type or function by its schema and name, as stored, without quotes. */
export interface Name {
  schema: string;
  name: string;
}

/** One subcommand of ALTER TABLE (or of ALTER INDEX, VIEW, SEQUENCE, which the parser reads as the same). */
export interface AlterCommand {
  /** `AT_AddColumn`, `AT_SetNotNull`, … */
  subtype: string;
  /** The column, constraint or trigger that it is about; '' where there is none. */
  name: string;
  /** What the subcommand carries, and of which kind: `ColumnDef`, `Constraint`, `PartitionCmd`, … */
  kind: string;
  def: SqlNode;
  cascade: boolean;
  missingOk: boolean;
}

/** A column as ADD COLUMN or CREATE TABLE writes it. */
export interface ColumnClause {
  name: string;
  /** The parser's `TypeName`. */
  type: SqlNode;
  notNull: boolean;
  /** The expression of DEFAULT, or null. */
  default: unknown;
  generated: 'stored' | 'virtual' | null;
  identity: boolean;
  /** serial, bigserial, smallserial: an integer with a sequence of its own. */
  serial: boolean;
  collation: string | null;
  constraints: readonly ConstraintClause[];
}

/** A constraint as a statement writes it, of a column or of a table. */
export interface ConstraintClause {
  kind: 'primary' | 'unique' | 'check' | 'foreign' | 'exclusion' | 'not null';
  /** null where Postgres finds a name. */
  name: string | null;
  columns: readonly string[];
  references: (Name & { columns: readonly string[] }) | null;
  /** NOT VALID or NOT ENFORCED: the rows that are there aren't looked at. */
  notValid: boolean;
  deferrable: boolean;
  /** The index of USING INDEX, or null. */
  usingIndex: string | null;
  /** NO INHERIT: heirs don't get it. */
  noInherit: boolean;
  node: SqlNode;
}

export const isNode = (value: unknown): value is SqlNode =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const nodeIn = (value: unknown): SqlNode => (isNode(value) ? value : {});
export const listIn = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
export const textIn = (value: unknown): string => (typeof value === 'string' ? value : '');

/** The fields of `{ Kind: fields }`, or null where the value is of another kind. */
export const fieldsOf = (value: unknown, kind: string): SqlNode | null => {
  const fields = nodeIn(value)[kind];
  return isNode(fields) ? fields : null;
};
/** `{ Kind: fields }` taken apart; an empty kind where there is nothing. */
export const kindOf = (value: unknown): { kind: string; fields: SqlNode } => {
  const [kind, fields] = Object.entries(nodeIn(value))[0] ?? ['', {}];
  return { kind, fields: nodeIn(fields) };
};

/** `[{ String: { sval } }]`, a List of them, one by itself, or an object with arguments, as texts. */
export const textsIn = (value: unknown): string[] => {
  const single = fieldsOf(value, 'String')?.['sval'];
  if (typeof single === 'string') return [single];
  const items = Array.isArray(value)
    ? value
    : (fieldsOf(value, 'List')?.['items'] ??
      fieldsOf(value, 'ObjectWithArgs')?.['objname'] ??
      fieldsOf(value, 'TypeName')?.['names']);
  return listIn(items).flatMap((item) => {
    const text = fieldsOf(item, 'String')?.['sval'];
    return typeof text === 'string' ? [text] : [];
  });
};

/** `['app', 'users']` or `['users']` as a name. */
export const nameIn = (texts: readonly string[], schema: string): Name => ({
  schema: texts.length > 1 ? (texts.at(-2) ?? schema) : schema,
  name: texts.at(-1) ?? '',
});
/** A RangeVar, wrapped in its kind or not, as a name. */
export const relationIn = (value: unknown, schema: string): Name => {
  const fields = fieldsOf(value, 'RangeVar') ?? nodeIn(value);
  return { schema: textIn(fields['schemaname']) || schema, name: textIn(fields['relname']) };
};
export const sameName = (a: Name, b: Name): boolean => a.schema === b.schema && a.name === b.name;

/** What a DROP, COMMENT or RENAME is about: `OBJECT_TABLE`, `OBJECT_INDEX`, … */
export const objectType = ({ node }: Statement): string =>
  textIn(node['removeType'] ?? node['renameType'] ?? node['objectType'] ?? node['objtype'] ?? node['kind']);

/** The objects of a DROP, each as its texts (`['app', 'users']`). */
export const droppedObjects = ({ node }: Statement): string[][] => listIn(node['objects']).map((item) => textsIn(item));

export const cascades = ({ node }: Statement): boolean => node['behavior'] === 'DROP_CASCADE';

export function alterCommands({ kind, node }: Statement): AlterCommand[] {
  if (kind !== 'AlterTableStmt') return [];
  return listIn(node['cmds']).map((item) => {
    const fields = fieldsOf(item, 'AlterTableCmd') ?? {};
    const def = kindOf(fields['def']);
    return {
      subtype: textIn(fields['subtype']),
      name: textIn(fields['name']),
      kind: def.kind,
      def: def.fields,
      cascade: fields['behavior'] === 'DROP_CASCADE',
      missingOk: fields['missing_ok'] === true,
    };
  });
}

const CONSTRAINT_KINDS: Readonly<Record<string, ConstraintClause['kind']>> = {
  CONSTR_PRIMARY: 'primary',
  CONSTR_UNIQUE: 'unique',
  CONSTR_CHECK: 'check',
  CONSTR_FOREIGN: 'foreign',
  CONSTR_EXCLUSION: 'exclusion',
  CONSTR_NOTNULL: 'not null',
};

/** A `Constraint` node; null for what is none by itself (DEFAULT, NULL, GENERATED, DEFERRABLE). */
export function constraintClause(fields: SqlNode, schema: string, column?: string): ConstraintClause | null {
  const kind = CONSTRAINT_KINDS[textIn(fields['contype'])];
  if (kind === undefined) return null;
  const keys = textsIn(fields[kind === 'foreign' ? 'fk_attrs' : 'keys']);
  const excluded = listIn(fields['exclusions']).flatMap((item) => {
    const element = fieldsOf(listIn(fieldsOf(item, 'List')?.['items'])[0], 'IndexElem');
    return typeof element?.['name'] === 'string' ? [element['name']] : [];
  });
  const own = keys.length > 0 ? keys : excluded;
  return {
    kind,
    name: textIn(fields['conname']) || null,
    columns: own.length > 0 || column === undefined ? own : [column],
    references:
      kind === 'foreign' ? { ...relationIn(fields['pktable'], schema), columns: textsIn(fields['pk_attrs']) } : null,
    notValid: fields['skip_validation'] === true,
    deferrable: fields['deferrable'] === true,
    usingIndex: textIn(fields['indexname']) || null,
    noInherit: fields['is_no_inherit'] === true,
    node: fields,
  };
}

const SERIAL = /^(small|big)?serial[248]?$/;

export function columnClause(fields: SqlNode, schema: string): ColumnClause {
  const name = textIn(fields['colname']);
  const type = nodeIn(fields['typeName']);
  const all = listIn(fields['constraints']).map((item) => fieldsOf(item, 'Constraint') ?? {});
  const byType = (contype: string): SqlNode | undefined => all.find((one) => one['contype'] === contype);
  const constraints = all.flatMap((one) => constraintClause(one, schema, name) ?? []);
  const generated = byType('CONSTR_GENERATED');
  const serial = SERIAL.test(textsIn(type['names']).at(-1) ?? '');
  const identity = byType('CONSTR_IDENTITY') !== undefined;
  return {
    name,
    type,
    notNull: serial || identity || constraints.some(({ kind }) => kind === 'not null' || kind === 'primary'),
    default: byType('CONSTR_DEFAULT')?.['raw_expr'] ?? null,
    generated: generated === undefined ? null : generated['generated_kind'] === 'v' ? 'virtual' : 'stored',
    identity,
    serial,
    collation: textsIn(nodeIn(fields['collClause'])['collname']).at(-1) ?? null,
    constraints,
  };
}

/** The columns, constraints and LIKE clauses of CREATE TABLE. */
export function tableElements(
  { node }: Statement,
  schema: string,
): { columns: ColumnClause[]; constraints: ConstraintClause[]; like: Name[] } {
  const elements = listIn(node['tableElts']).map((item) => kindOf(item));
  const of = (kind: string): SqlNode[] => elements.filter((one) => one.kind === kind).map(({ fields }) => fields);
  return {
    columns: of('ColumnDef').map((fields) => columnClause(fields, schema)),
    constraints: of('Constraint').flatMap((fields) => constraintClause(fields, schema) ?? []),
    like: of('TableLikeClause').map((fields) => relationIn(fields['relation'], schema)),
  };
}
