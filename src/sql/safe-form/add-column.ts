import { deparse } from '../deparse.ts';
import type { SqlNode } from '../parser.ts';
import { fieldsOf, listIn } from '../tree.ts';
import { checkForm, foreignKeyForm } from './constraint.ts';
import { alter, alterAs, type AlteredTable } from './altered-table.ts';
import { canBeFilled } from './fillable.ts';
import { notNullForm } from './not-null.ts';
import { serialDefault, withoutSerial } from './serial.ts';
import { beforeConstraints, type WrittenCommand } from './splice.ts';
import { command, rangeVar, stringNode, text } from './tree.ts';
import { uniqueForm } from './unique.ts';
import { joined, type SafeForm, type SafeUnit, transactional, unitsOf } from './unit.ts';
import { isVolatile } from './volatile.ts';

/**
 * A default that differs from row to row rewrites the table; inline constraints scan it or build an index. So: the column
 * alone, its default for what comes, the rows that are there in short chunks, then the constraints in their safe forms.
 */
export function addColumnForm(written: WrittenCommand, table: AlteredTable): SafeForm | null {
  const column = fieldsOf(written.cmd['def'], 'ColumnDef');
  const name = text(column?.['colname']);
  if (column === null || name === null) return null;
  // It is there: IF NOT EXISTS leaves the whole command out, and without it Postgres refuses.
  if (table.relation.columns.some((there) => there.name === name)) return null;
  const constraints = inlineConstraints(column);
  if (constraints.some(({ contype }) => contype === 'CONSTR_IDENTITY' || contype === 'CONSTR_GENERATED')) return null;
  const stated = constraints.find(({ contype }) => contype === 'CONSTR_DEFAULT')?.['raw_expr'];
  const serial = serialDefault(column, table);
  const fills = serial !== null || (stated !== undefined && isVolatile(stated, table.schema, table.facts));
  const apart = constraints.filter(({ contype }) => APART.includes(String(contype)));
  if (!fills && apart.length === 0) return null;
  if (fills && !canBeFilled(withoutSerial(column), name, table)) return null;
  const isNotNull = constraints.find(({ contype }) => contype === 'CONSTR_NOTNULL');
  const first = fills
    ? filledColumn(written, { column, name, value: serial?.value ?? stated, table })
    : alone(written, { column, constraints: constraints.filter((constraint) => !apart.includes(constraint)), table });
  if (first === null) return null;
  const forms = [
    { units: [...(serial?.before ?? []), ...first, ...(serial?.after ?? [])], avoids: [] },
    ...(fills && (isNotNull !== undefined || serial !== null)
      ? [notNullForm(name, text(isNotNull?.['conname']), table)]
      : []),
    ...apart.map((constraint) => inlineForm(constraint, name, table)),
  ];
  const why = fills
    ? 'the column is added without a value, new rows get the default, and the rows that are there get it in short chunks'
    : 'the column is added alone; what its constraints need of the rows that are there is done without holding up anyone';
  const form = joined(why, forms);
  return form === null
    ? null
    : {
        ...form,
        avoids: [
          ...new Set([
            ...(serial === null ? [] : ['add-column-identity-or-serial']),
            ...(fills ? ['add-column-volatile-default'] : []),
            ...apart.flatMap(ruleOf),
            ...form.avoids,
          ]),
        ],
      };
}

/** Of a column that is added as written: what its constraints may do that no form avoids. */
export function addColumnDangers(column: SqlNode): string[] {
  const constraints = inlineConstraints(column);
  const of = (...kinds: string[]): boolean => constraints.some(({ contype }) => kinds.includes(String(contype)));
  return [
    ...(of('CONSTR_IDENTITY') ? ['add-column-identity-or-serial'] : []),
    ...(of('CONSTR_UNIQUE', 'CONSTR_PRIMARY') ? ['add-column-unique'] : []),
    ...(of('CONSTR_FOREIGN') ? ['add-column-foreign-key'] : []),
  ];
}

const APART = ['CONSTR_CHECK', 'CONSTR_UNIQUE', 'CONSTR_PRIMARY', 'CONSTR_FOREIGN'];
const ruleOf = ({ contype }: SqlNode): string[] =>
  contype === 'CONSTR_FOREIGN' ? ['add-column-foreign-key'] : contype === 'CONSTR_CHECK' ? [] : ['add-column-unique'];

/** Its constraints with the attributes that stand after them (DEFERRABLE, INITIALLY DEFERRED) as fields of their own. */
function inlineConstraints(column: SqlNode): SqlNode[] {
  const found: SqlNode[] = [];
  for (const item of listIn(column['constraints'])) {
    const constraint = fieldsOf(item, 'Constraint') ?? {};
    const last = found.at(-1);
    const attribute = ATTRIBUTES[String(constraint['contype'])];
    if (attribute === undefined || last === undefined) found.push({ ...constraint });
    else found[found.length - 1] = { ...last, ...attribute };
  }
  return found;
}
const ATTRIBUTES: Record<string, SqlNode> = {
  CONSTR_ATTR_DEFERRABLE: { deferrable: true },
  CONSTR_ATTR_NOT_DEFERRABLE: {},
  CONSTR_ATTR_DEFERRED: { deferrable: true, initdeferred: true },
  CONSTR_ATTR_IMMEDIATE: {},
  CONSTR_ATTR_ENFORCED: {},
  CONSTR_ATTR_NOT_ENFORCED: { is_enforced: false, skip_validation: true, initially_valid: undefined },
};

/** ADD COLUMN with what costs nothing of its constraints: a constant default, NOT NULL with one. */
function alone(
  written: WrittenCommand,
  { column, constraints, table }: { column: SqlNode; constraints: readonly SqlNode[]; table: AlteredTable },
): SafeUnit[] | null {
  const kept = constraints.map((Constraint) => ({ Constraint }));
  return unitsOf(addColumn(written, { column, kept, table }));
}

function addColumn(
  written: WrittenCommand,
  { column, kept, table }: { column: SqlNode; kept: readonly SqlNode[]; table: AlteredTable },
): string | null {
  const { constraints: _constraints, ...rest } = column;
  const def = { ColumnDef: { ...rest, ...(kept.length > 0 && { constraints: kept }) } };
  return alterAs(table, [command('AT_AddColumn', { def })], () => {
    // What the deparser loses (STORAGE, COMPRESSION) stands before the constraints, in the author's own words.
    const definition = beforeConstraints(written, column);
    return definition === null ? null : `${written.head} ${definition.replace(IF_NOT_EXISTS, '')}`;
  });
}
const IF_NOT_EXISTS = /\bIF\s+NOT\s+EXISTS\b/i;

/** The column without a value, its default for rows to come, and the default for the rows that are there. */
function filledColumn(
  written: WrittenCommand,
  { column, name, value, table }: { column: SqlNode; name: string; value: unknown; table: AlteredTable },
): SafeUnit[] | null {
  const { schema, name: relation } = table.relation;
  const setDefault = command('AT_ColumnDefault', { name, def: value });
  const { constraints: _constraints, ...bare } = withoutSerial(column);
  const both = alter(table, command('AT_AddColumn', { def: { ColumnDef: bare } }), setDefault);
  const added =
    both === null
      ? unitsOf(addColumn(written, { column, kept: [], table }), alter(table, setDefault))
      : [transactional(both)];
  const filled = deparse({
    kind: 'UpdateStmt',
    node: {
      relation: rangeVar({ schema, name: relation }),
      targetList: [{ ResTarget: { name, val: { SetToDefault: {} } } }],
      whereClause: {
        NullTest: { arg: { ColumnRef: { fields: [stringNode(name)] } }, nulltesttype: 'IS_NULL' },
      },
    },
  });
  if (added === null || filled === null) return null;
  return [...added, { text: filled, concurrently: false, fill: { schema, table: relation, column: name } }];
}

/** An inline constraint as one of the table, in its safe form. */
function inlineForm(constraint: SqlNode, column: string, table: AlteredTable): SafeForm | null {
  const keys = [stringNode(column)];
  switch (constraint['contype']) {
    case 'CONSTR_CHECK':
      return constraint['is_enforced'] === true ? checkForm(constraint, table) : null;
    case 'CONSTR_FOREIGN':
      return foreignKeyForm({ ...constraint, fk_attrs: keys }, table);
    default:
      return uniqueForm({ ...constraint, keys }, table);
  }
}
