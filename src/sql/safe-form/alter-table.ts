import { relationOf, type SchemaFacts } from '../facts.ts';
import { type SqlNode, type Statement, statementsOf } from '../parser.ts';
import { fieldsOf, relationIn } from '../tree.ts';
import { addColumnDangers, addColumnForm } from './add-column.ts';
import { alterAs, type AlteredTable } from './altered-table.ts';
import { checkForm, foreignKeyForm } from './constraint.ts';
import { addNotNullForm, isKnownNotNull, setNotNullForm } from './not-null.ts';
import { isUsed, NamesTaken } from './object-name.ts';
import { constraintBody, type WrittenCommand, writtenCommands } from './splice.ts';
import { uniqueForm } from './unique.ts';
import { joined, type SafeForm, unitsOf } from './unit.ts';

/**
 * ALTER TABLE: commands that need a safe form get units of their own, the others stay together. They run in the order in
 * which Postgres itself runs the commands of one statement.
 */
export function alterTableForm(statement: Statement, schema: string, facts: SchemaFacts): SafeForm | null {
  if (statement.node['objtype'] !== 'OBJECT_TABLE') return null;
  const { schema: of, name } = relationIn(statement.node['relation'], schema);
  const relation = relationOf(facts, of, name);
  if (!isUsed(relation) || (relation.kind !== 'table' && relation.kind !== 'partitioned')) return null;
  // Read alone, so that places in the tree are places in the statement's own text.
  const node = statementsOf(statement.text)[0]?.node ?? {};
  const written = writtenCommands(statement.text, node);
  if (written === null) return null;
  const table: AlteredTable = {
    node: node['relation'] as SqlNode,
    missingOk: node['missing_ok'] === true,
    relation,
    facts,
    schema,
    taken: new NamesTaken(facts),
  };
  const inOrder = written
    .map((command) => ({ command, pass: passOf(command.cmd) }))
    .toSorted((a, b) => a.pass - b.pass);
  const parts = inOrder.map(({ command }) => ({ command, form: formOf(command, table) }));
  if (parts.every(({ form }) => form === null)) return null;
  const why = [...new Set(parts.flatMap(({ form }) => form?.why ?? []))].join('; ');
  const form = joined(why, grouped(parts, table));
  const left = new Set(parts.flatMap(({ command, form: own }) => (own === null ? dangersOf(command, table) : [])));
  return form === null ? null : { ...form, avoids: form.avoids.filter((rule) => !left.has(rule)) };
}

/** What a command that runs as written among others may do: a rule is avoided only where no command breaks it. */
function dangersOf({ cmd }: WrittenCommand, table: AlteredTable): string[] {
  const { subtype, def, name } = fieldsOf(cmd, 'AlterTableCmd') ?? {};
  if (subtype === 'AT_SetNotNull') return isKnownNotNull(String(name), table.relation) ? [] : ['set-not-null-scan'];
  if (subtype === 'AT_AddColumn') return addColumnDangers(fieldsOf(def, 'ColumnDef') ?? {});
  const constraint = fieldsOf(def, 'Constraint');
  if (subtype !== 'AT_AddConstraint' || constraint === null || constraint['skip_validation'] === true) return [];
  return CONSTRAINT_DANGERS[String(constraint['contype'])] ?? [];
}
const CONSTRAINT_DANGERS: Readonly<Record<string, string[]>> = {
  CONSTR_CHECK: ['check-not-validated-apart'],
  CONSTR_FOREIGN: ['foreign-key-not-validated-apart'],
  CONSTR_NOTNULL: ['set-not-null-scan'],
  CONSTR_UNIQUE: ['unique-constraint-builds-index'],
  CONSTR_PRIMARY: ['primary-key-builds-index', 'set-not-null-scan'],
};

interface Part {
  command: WrittenCommand;
  form: SafeForm | null;
}

/** Neighbours that run as written share a statement. */
function grouped(parts: readonly Part[], table: AlteredTable): (Omit<SafeForm, 'why'> | null)[] {
  const forms: (Omit<SafeForm, 'why'> | null)[] = [];
  let together: WrittenCommand[] = [];
  const flush = (): void => {
    if (together.length > 0) forms.push(asWritten(together, table));
    together = [];
  };
  for (const { command, form } of parts) {
    if (form === null) {
      together.push(command);
      continue;
    }
    flush();
    forms.push(form);
  }
  flush();
  return forms;
}

function asWritten(commands: readonly WrittenCommand[], table: AlteredTable): Omit<SafeForm, 'why'> | null {
  const cmds = commands.map(({ cmd }) => cmd);
  const units = unitsOf(
    alterAs(table, cmds, () => `${commands[0]?.head} ${commands.map(({ text }) => text).join(', ')}`),
  );
  return units === null ? null : { units, avoids: [] };
}

function formOf(written: WrittenCommand, table: AlteredTable): SafeForm | null {
  const cmd = fieldsOf(written.cmd, 'AlterTableCmd') ?? {};
  switch (cmd['subtype']) {
    case 'AT_SetNotNull':
      return setNotNullForm(cmd, table);
    case 'AT_AddColumn':
      return addColumnForm({ ...written, cmd }, table);
    case 'AT_AddConstraint':
      return constraintForm(fieldsOf(cmd['def'], 'Constraint') ?? {}, table, constraintBody(written));
    default:
      return null;
  }
}

function constraintForm(constraint: SqlNode, table: AlteredTable, body: string | null): SafeForm | null {
  switch (constraint['contype']) {
    case 'CONSTR_CHECK':
      return checkForm(constraint, table);
    case 'CONSTR_FOREIGN':
      return foreignKeyForm(constraint, table);
    case 'CONSTR_NOTNULL':
      return addNotNullForm(constraint, table);
    case 'CONSTR_UNIQUE':
    case 'CONSTR_PRIMARY':
      return uniqueForm(constraint, table, body);
    default:
      return null;
  }
}

/** When Postgres runs a command among the others of its statement. Source: ATPrepCmd and AlterTablePass. */
function passOf(command: SqlNode): number {
  const cmd = fieldsOf(command, 'AlterTableCmd') ?? {};
  const subtype = String(cmd['subtype']);
  if (
    ['AT_DropColumn', 'AT_DropConstraint', 'AT_DropNotNull', 'AT_DropExpression', 'AT_DropIdentity'].includes(subtype)
  )
    return 0;
  if (subtype === 'AT_ColumnDefault') return cmd['def'] === undefined ? 0 : 5;
  if (subtype === 'AT_AlterColumnType') return 1;
  if (subtype === 'AT_AddColumn') return 2;
  if (subtype === 'AT_SetNotNull') return 3;
  if (subtype !== 'AT_AddConstraint') return 6;
  const { contype } = fieldsOf(cmd['def'], 'Constraint') ?? {};
  return contype === 'CONSTR_UNIQUE' || contype === 'CONSTR_PRIMARY' ? 4 : 5;
}
