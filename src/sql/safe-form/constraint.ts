import { walkSql, type SqlNode } from '../parser.ts';
import { fieldsOf, listIn, textsIn } from '../tree.ts';
import { alter, type AlteredTable, validate } from './altered-table.ts';
import { command, rangeVar, text } from './tree.ts';
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

/**
 * The same for a foreign key. A partitioned table of older versions takes none without checking it: there each partition
 * gets it, apart, and the table's own takes over what the partitions have, and checks nothing again.
 */
export function foreignKeyForm(constraint: SqlNode, table: AlteredTable): SafeForm | null {
  if (isUnchecked(constraint)) return null;
  const isOlder = table.relation.kind === 'partitioned' && table.facts.serverVersion < PARTITIONED_NOT_VALID;
  const columns = textsIn(constraint['fk_attrs']);
  const form = isOlder
    ? perPartition(constraint, { columns, table })
    : apart(constraint, { columns, label: 'fkey', table });
  return form === null
    ? null
    : {
        ...form,
        why: 'rows that are there are checked by VALIDATE, apart',
        avoids: ['foreign-key-not-validated-apart'],
      };
}

function perPartition(
  constraint: SqlNode,
  { columns, table }: { columns: readonly string[]; table: AlteredTable },
): Pick<SafeForm, 'units'> | null {
  const { relation, node } = table;
  if (node['inh'] !== true) return null;
  const names = { schema: relation.schema, table: relation.name, columns, label: 'fkey' };
  const name = text(constraint['conname']) ?? table.taken.constraint(names);
  // What the partitions inherit has the name of the table's own.
  const leaves = relation.partitions.filter(({ leaf }) => leaf);
  const forms = leaves.map((leaf) => {
    const on = { ...table, node: rangeVar(leaf), missingOk: false, relation: { ...relation, ...leaf } };
    return apart({ ...constraint, conname: name }, { columns, label: 'fkey', table: on });
  });
  const { location: _location, ...own } = constraint;
  const ofTable = unitsOf(
    alter(table, command('AT_AddConstraint', { def: { Constraint: { ...own, conname: name } } })),
  );
  const units = forms.map((form) => form?.units ?? null);
  if (ofTable === null || units.includes(null)) return null;
  return { units: [...units.flatMap((unit) => unit ?? []), ...ofTable] };
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
    const last = listIn(fields['fields']).at(-1);
    names.add(text(fieldsOf(last, 'String')?.['sval']) ?? '*');
  });
  return [...names];
}
