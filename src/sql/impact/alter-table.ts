import type { RelationFacts } from '../facts.ts';
import { LOCK_MODES, type LockMode } from '../impact.ts';
import type { SqlNode, Statement } from '../parser.ts';
import { isVolatile } from '../safe-form/volatile.ts';
import {
  type AlterCommand,
  alterCommands,
  type ColumnClause,
  columnClause,
  constraintClause,
  fieldsOf,
  listIn,
  type Name,
  nodeIn,
  relationIn,
  textIn,
} from '../tree.ts';
import { withoutDomain } from '../type-change.ts';
import { typeOf } from '../type-name.ts';
import { addConstraint, checkNotNull, lockForeignKeyEnds, lockReferencing } from './constraints.ts';
import { familyOf, type ImpactDraft, readersOf } from './draft.ts';
import { changeType } from './change-type.ts';
import { attachPartition, detachPartition } from './partitions.ts';
import { validateConstraint } from './validate.ts';

const IDENTITY_OF_PARTITIONS = 170_000;

/** Subcommands that take less than ACCESS EXCLUSIVE. Source: AlterTableGetLockLevel. */
const MODES: Readonly<Record<string, LockMode>> = {
  AT_SetStatistics: 'SHARE UPDATE EXCLUSIVE',
  AT_SetOptions: 'SHARE UPDATE EXCLUSIVE',
  AT_ResetOptions: 'SHARE UPDATE EXCLUSIVE',
  AT_ClusterOn: 'SHARE UPDATE EXCLUSIVE',
  AT_DropCluster: 'SHARE UPDATE EXCLUSIVE',
  AT_ValidateConstraint: 'SHARE UPDATE EXCLUSIVE',
  AT_AttachPartition: 'SHARE UPDATE EXCLUSIVE',
  AT_DetachPartitionFinalize: 'SHARE UPDATE EXCLUSIVE',
  AT_EnableTrig: 'SHARE ROW EXCLUSIVE',
  AT_EnableAlwaysTrig: 'SHARE ROW EXCLUSIVE',
  AT_EnableReplicaTrig: 'SHARE ROW EXCLUSIVE',
  AT_EnableTrigAll: 'SHARE ROW EXCLUSIVE',
  AT_EnableTrigUser: 'SHARE ROW EXCLUSIVE',
  AT_DisableTrig: 'SHARE ROW EXCLUSIVE',
  AT_DisableTrigAll: 'SHARE ROW EXCLUSIVE',
  AT_DisableTrigUser: 'SHARE ROW EXCLUSIVE',
};
/** Storage options that change how rows are found, or what a view shows. Source: reloptions.c. */
const EXCLUSIVE_OPTIONS = new Set([
  ...['user_catalog_table', 'security_barrier', 'security_invoker', 'check_option', 'fastupdate'],
  ...['gin_pending_list_limit', 'buffering', 'pages_per_range', 'autosummarize', 'length'],
]);
/** Subcommands that heirs and partitions get too. */
const INHERITED = new Set([
  ...['AT_AddColumn', 'AT_DropColumn', 'AT_ColumnDefault', 'AT_AlterColumnType', 'AT_SetStatistics', 'AT_SetStorage'],
  ...['AT_DropConstraint', 'AT_SetExpression', 'AT_DropExpression', 'AT_ValidateConstraint'],
]);
const OF_TRIGGERS = /^AT_(En|Dis)able(Always|Replica)?Trig/;
const OF_IDENTITY = /^AT_(Add|Set|Drop)Identity$/;
/** Files that are written anew, of the table and its indexes. */
const COPIES: Readonly<Record<string, string>> = {
  AT_SetTableSpace: 'it moves to another tablespace',
  AT_SetAccessMethod: 'another access method stores its rows',
  AT_SetLogged: 'its rows go to the write-ahead log',
  AT_SetUnLogged: 'its rows leave the write-ahead log',
};

/** ALTER TABLE, and what the parser reads as the same: ALTER INDEX, VIEW, MATERIALIZED VIEW, SEQUENCE. */
export function alterTable(draft: ImpactDraft, statement: Statement): void {
  const relation = nodeIn(statement.node['relation']);
  const table = draft.find(relationIn(relation, draft.schema));
  if (table === undefined) return;
  const only = relation['inh'] !== true;
  const commands = alterCommands(statement);
  const mode = commands.map((command) => modeOf(command, table)).reduce(stronger, 'ACCESS SHARE');
  draft.lock({ schema: table.schema, name: table.name }, mode);
  // Heirs are locked as the whole statement asks, whichever of its subcommands goes down to them.
  if (commands.some((command) => goesDown(draft, command, table))) draft.lock(familyOf(table, only), mode);
  for (const command of commands) act({ draft, table, only, command });
}

const stronger = (a: LockMode, b: LockMode): LockMode => (LOCK_MODES.indexOf(a) >= LOCK_MODES.indexOf(b) ? a : b);

function modeOf({ subtype, kind, def }: AlterCommand, table: RelationFacts): LockMode {
  if (subtype === 'AT_AddConstraint' && kind === 'Constraint' && def['contype'] === 'CONSTR_FOREIGN') {
    return 'SHARE ROW EXCLUSIVE';
  }
  if (subtype === 'AT_SetRelOptions' || subtype === 'AT_ResetRelOptions') {
    const exclusive = optionNames(def).some((name) => EXCLUSIVE_OPTIONS.has(name));
    return exclusive || table.kind === 'view' ? 'ACCESS EXCLUSIVE' : 'SHARE UPDATE EXCLUSIVE';
  }
  if (subtype === 'AT_DetachPartition' && def['concurrent'] === true) return 'SHARE UPDATE EXCLUSIVE';
  return MODES[subtype] ?? 'ACCESS EXCLUSIVE';
}
const optionNames = (def: SqlNode): string[] =>
  listIn(def['items']).map((item) => textIn(fieldsOf(item, 'DefElem')?.['defname']));

function goesDown({ facts }: ImpactDraft, { subtype, name }: AlterCommand, table: RelationFacts): boolean {
  const column = table.columns.find((one) => one.name === name);
  if (subtype === 'AT_DropNotNull' || subtype === 'AT_SetNotNull') {
    return column === undefined || column.notNull === (subtype === 'AT_DropNotNull') || facts.serverVersion < 180_000;
  }
  if (subtype === 'AT_ValidateConstraint') return false;
  if (OF_TRIGGERS.test(subtype)) return table.kind === 'partitioned' && table.triggers.length > 0;
  if (OF_IDENTITY.test(subtype)) return table.kind === 'partitioned' && facts.serverVersion >= IDENTITY_OF_PARTITIONS;
  if (subtype === 'AT_AlterConstraint') return table.kind === 'partitioned';
  return INHERITED.has(subtype);
}

interface Act {
  draft: ImpactDraft;
  table: RelationFacts;
  only: boolean;
  command: AlterCommand;
}

function act({ draft, table, only, command }: Act): void {
  const { subtype, name, def, kind, cascade } = command;
  if (table.kind === 'index') return actOnIndex(draft, table, command);
  const names = { schema: table.schema, name: table.name };
  const family = familyOf(table, only);
  switch (subtype) {
    case 'AT_AddColumn':
      if (table.columns.some((column) => column.name === textIn(def['colname']))) return;
      return addColumn(draft, table, columnClause(def, draft.schema), family);
    case 'AT_DropColumn':
      return dropColumn(draft, table, name, cascade);
    case 'AT_AlterColumnType':
      for (const each of family) changeType(draft, each, { column: name, def });
      return;
    case 'AT_SetNotNull':
      return checkNotNull(draft, family, name);
    case 'AT_AddConstraint': {
      const clause = kind === 'Constraint' ? constraintClause(def, draft.schema) : null;
      return clause === null ? undefined : addConstraint(draft, table, clause, only);
    }
    case 'AT_DropConstraint':
      return dropConstraint(draft, table, name, cascade);
    case 'AT_ValidateConstraint':
      return validateConstraint(draft, table, name, family);
    case 'AT_AttachPartition':
      return attachPartition(draft, table, relationIn(def['name'], draft.schema), nodeIn(def['bound']));
    case 'AT_DetachPartition':
      return detachPartition(draft, table, relationIn(def['name'], draft.schema), def['concurrent'] === true);
    case 'AT_AddInherit':
      return draft.lock(relationIn({ [kind]: def }, draft.schema), 'SHARE UPDATE EXCLUSIVE');
    case 'AT_DropInherit':
      return draft.lock(relationIn({ [kind]: def }, draft.schema), 'ACCESS SHARE');
    case 'AT_SetExpression':
      for (const each of family) rewriteWhole(draft, each, `${name} is computed anew for every row`);
      return;
    case 'AT_SetAccessMethod':
      // All tables are heaps unless somebody has installed another method.
      if (name === 'heap') return;
      return rewriteWhole(draft, names, COPIES[subtype] ?? '');
    default:
      if (COPIES[subtype] === undefined || isThereAlready(table, command)) return;
      return rewriteWhole(draft, names, COPIES[subtype]);
  }
}

/** ALTER INDEX: the index is locked, which holds up whoever plans a query of its table. */
function actOnIndex(draft: ImpactDraft, index: RelationFacts, { subtype, name, def }: AlterCommand): void {
  if (subtype === 'AT_SetTableSpace' && index.tablespace !== name) {
    // The facts of a table have its indexes' sizes.
    const own = index.of === null ? undefined : draft.find(index.of)?.indexes.find((one) => one.name === index.name);
    draft.disk(own?.bytes ?? index.heapBytes);
  }
  if (subtype !== 'AT_AttachPartition') return;
  const attached = relationIn(def['name'], draft.schema);
  draft.lock(attached, 'ACCESS EXCLUSIVE');
  // Node's type stripping can't read a variable named like the keyword.
  for (const table of [index.of, draft.find(attached)?.of]) {
    if (table !== null && table !== undefined) draft.lock(table, 'ACCESS SHARE');
  }
}

const isThereAlready = (table: RelationFacts, { subtype, name }: AlterCommand): boolean =>
  (subtype === 'AT_SetTableSpace' && table.tablespace === name) ||
  (subtype === 'AT_SetLogged' && table.unlogged === false) ||
  (subtype === 'AT_SetUnLogged' && table.unlogged === true);

/** The rows and the indexes are written to new files, and the old ones stay until the transaction ends. */
export function rewriteWhole(draft: ImpactDraft, name: Name, why: string): void {
  const relation = draft.find(name);
  if (relation === undefined || relation.kind === 'partitioned') return;
  draft.rewrite(name, why);
  if (relation.kind !== 'index') draft.disk(relation.heapBytes + relation.indexBytes);
}

function addColumn(draft: ImpactDraft, table: RelationFacts, column: ColumnClause, family: readonly Name[]): void {
  const why = rewriteReason(draft, column);
  if (why !== null) for (const name of family) rewriteWhole(draft, name, why);
  for (const clause of column.constraints) {
    if (clause.kind === 'foreign') {
      // A column without values has no references to check.
      addConstraint(draft, table, { ...clause, notValid: why === null && column.default === null }, false);
    } else if (clause.kind !== 'not null') {
      addConstraint(draft, table, clause, false);
    }
  }
}

/** Why ADD COLUMN writes every row anew; null where the catalog's entry is enough. Source: ATExecAddColumn. */
export function rewriteReason(draft: Pick<ImpactDraft, 'facts' | 'schema'>, column: ColumnClause): string | null {
  const { facts, schema } = draft;
  if (column.generated === 'stored') return `${column.name} is computed for every row`;
  if (column.identity || column.serial) return `${column.name} gets a number in every row`;
  if (column.generated === 'virtual') return null;
  if (column.default !== null && isVolatile(column.default, schema, facts)) {
    return `the default of ${column.name} is another value for each row`;
  }
  return withoutDomain(typeOf(column.type, schema), facts) === null
    ? `the domain of ${column.name} checks the value of every row`
    : null;
}

function dropColumn(draft: ImpactDraft, table: RelationFacts, column: string, cascade: boolean): void {
  const named = (columns: readonly string[]): boolean => columns.includes(column);
  lockForeignKeyEnds(draft, table, named);
  if (!cascade) return;
  lockReferencing(draft, table, named);
  draft.lock(readersOf(table, draft, column), 'ACCESS EXCLUSIVE');
}

function dropConstraint(draft: ImpactDraft, table: RelationFacts, name: string, cascade: boolean): void {
  const constraint = table.constraints.find((one) => one.name === name);
  if (constraint === undefined) return;
  if (constraint.kind === 'foreign') {
    lockForeignKeyEnds(draft, { ...table, constraints: [constraint] }, () => true);
  }
  if (!cascade || (constraint.kind !== 'primary' && constraint.kind !== 'unique')) return;
  const key = [...constraint.columns].sort().join('\n');
  lockReferencing(draft, table, (columns) => [...columns].sort().join('\n') === key);
}
