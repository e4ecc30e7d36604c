import type { RelationFacts } from '../facts.ts';
import type { SqlNode } from '../parser.ts';
import { textsIn } from '../tree.ts';
import { alter, type AlteredTable, validate } from './altered-table.ts';
import { command, stringNode, text } from './tree.ts';
import { type SafeForm, unitsOf } from './unit.ts';

/** NOT NULL is a constraint with a name, which can be added without a scan, from this version on. */
const NAMED_NOT_NULL = 180_000;
const WHY = 'rows are checked under a lock that lets readers and writers go on, before the column is declared NOT NULL';

/** SET NOT NULL reads the whole table under the strongest lock, unless a valid constraint says it already. */
export function setNotNullForm(cmd: SqlNode, table: AlteredTable): SafeForm | null {
  const column = text(cmd['name']);
  return column === null ? null : notNullForm(column, null, table);
}

/** ADD CONSTRAINT … NOT NULL, which Postgres 18 has. */
export function addNotNullForm(constraint: SqlNode, table: AlteredTable): SafeForm | null {
  const [column] = textsIn(constraint['keys']);
  if (column === undefined || constraint['is_no_inherit'] === true || constraint['skip_validation'] === true)
    return null;
  return table.facts.serverVersion < NAMED_NOT_NULL ? null : notNullForm(column, text(constraint['conname']), table);
}

export function notNullForm(column: string, name: string | null, table: AlteredTable): SafeForm | null {
  if (isKnownNotNull(column, table.relation)) return null;
  const parts = { schema: table.relation.schema, table: table.relation.name, columns: [column], label: 'not_null' };
  const constraint = name ?? table.taken.constraint(parts);
  const units =
    table.facts.serverVersion >= NAMED_NOT_NULL
      ? unitsOf(
          alter(table, addConstraint({ contype: 'CONSTR_NOTNULL', conname: constraint, keys: [stringNode(column)] })),
          validate(table, constraint),
        )
      : unitsOf(
          alter(
            table,
            addConstraint({
              contype: 'CONSTR_CHECK',
              conname: constraint,
              is_enforced: true,
              raw_expr: isNotNull(column),
            }),
          ),
          validate(table, constraint),
          alter(table, command('AT_SetNotNull', { name: column })),
          // Apart: in one statement Postgres would drop the check first, and then scan.
          alter(table, command('AT_DropConstraint', { name: constraint })),
        );
  return units === null ? null : { units, why: WHY, avoids: ['set-not-null-scan'] };
}

/** Postgres needs no scan where the column is NOT NULL, or a valid check says the same. */
export const isKnownNotNull = (column: string, { columns, constraints }: RelationFacts): boolean =>
  columns.some(({ name, notNull }) => name === column && notNull) ||
  constraints.some(
    (constraint) =>
      constraint.kind === 'check' &&
      constraint.validated &&
      constraint.columns.length === 1 &&
      constraint.columns[0] === column &&
      /^CHECK \(\((?:"(?:[^"]|"")*"|[^\s"]+) IS NOT NULL\)\)$/.test(constraint.definition),
  );

const addConstraint = (constraint: SqlNode): SqlNode =>
  command('AT_AddConstraint', { def: { Constraint: { ...constraint, skip_validation: true } } });
const isNotNull = (column: string): SqlNode => ({
  NullTest: { arg: { ColumnRef: { fields: [stringNode(column)] } }, nulltesttype: 'IS_NOT_NULL' },
});
