import { walkSql, type SqlNode } from '../parser.ts';
import { alter, type AlteredTable, validate } from './altered-table.ts';
import { command, fieldsOf, list, strings, text } from './tree.ts';
import { type SafeForm, unitsOf } from './unit.ts';

/** A partitioned table takes a foreign key without checking its rows from this version on. */
const PARTITIONED_NOT_VALID = 180_000;

/** A check is added for new rows at once; those that are there are checked under a lock that nobody waits for. */
export function checkForm(constraint: SqlNode, table: AlteredTable): SafeForm | null {
  if (isUnchecked(constraint)) return null;
  const columns = columnsIn(constraint['raw_expr']);
  const form = apart(constraint, { columns: columns.length === 1 ? columns : [], label: 'check', table });
  return form === null
    ? null
    : { ...form, why: `rows that are there are checked by VALIDATE, apart`, avoids: ['check-not-validated-apart'] };
}

export function foreignKeyForm(constraint: SqlNode, table: AlteredTable): SafeForm | null {
  if (isUnchecked(constraint)) return null;
  if (table.relation.kind === 'partitioned' && table.facts.serverVersion < PARTITIONED_NOT_VALID) return null;
  const form = apart(constraint, { columns: strings(constraint['fk_attrs']), label: 'fkey', table });
  return form === null
    ? null
    : {
        ...form,
        why: 'rows that are there are checked by VALIDATE, apart',
        avoids: ['foreign-key-not-validated-apart'],
      };
}

const isUnchecked = (constraint: SqlNode): boolean =>
  constraint['skip_validation'] === true || constraint['is_enforced'] !== true;

function apart(
  constraint: SqlNode,
  { columns, label, table }: { columns: readonly string[]; label: string; table: AlteredTable },
): Pick<SafeForm, 'units'> | null {
  const { schema, name: relation } = table.relation;
  const name = text(constraint['conname']) ?? table.taken.constraint({ schema, table: relation, columns, label });
  const { initially_valid: _valid, location: _location, ...rest } = constraint;
  const added = { ...rest, conname: name, skip_validation: true };
  const units = unitsOf(
    alter(table, command('AT_AddConstraint', { def: { Constraint: added } })),
    validate(table, name),
  );
  return units === null ? null : { units };
}

/** The columns that an expression names, each once. */
function columnsIn(expression: unknown): string[] {
  const names = new Set<string>();
  walkSql(expression, (kind, fields) => {
    if (kind !== 'ColumnRef') return;
    const last = list(fields['fields']).at(-1);
    names.add(text(fieldsOf(last, 'String')?.['sval']) ?? '*');
  });
  return [...names];
}
