import { longNameFaults } from './long-names.ts';
import { type SqlNode, SqlFault, type Statement, statementsOf, walkSql } from './parser.ts';
import { type Reversal, reversals } from './reversibility.ts';

/** Statements that a `ddl` step may hold: they change the catalog, transactionally, or CONCURRENTLY. */
const ALLOWED = new Set([
  'AlterCollationStmt',
  'AlterDefaultPrivilegesStmt',
  'AlterDomainStmt',
  'AlterEnumStmt',
  'AlterExtensionContentsStmt',
  'AlterExtensionStmt',
  'AlterFunctionStmt',
  'AlterObjectDependsStmt',
  'AlterObjectSchemaStmt',
  'AlterOpFamilyStmt',
  'AlterOperatorStmt',
  'AlterOwnerStmt',
  'AlterPolicyStmt',
  'AlterSeqStmt',
  'AlterStatsStmt',
  'AlterTSConfigurationStmt',
  'AlterTSDictionaryStmt',
  'AlterTableStmt',
  'AlterTypeStmt',
  'CommentStmt',
  'CompositeTypeStmt',
  'CreateCastStmt',
  'CreateConversionStmt',
  'CreateDomainStmt',
  'CreateEnumStmt',
  'CreateExtensionStmt',
  'CreateForeignTableStmt',
  'CreateFunctionStmt',
  'CreateOpClassStmt',
  'CreateOpFamilyStmt',
  'CreatePolicyStmt',
  'CreateRangeStmt',
  'CreateSchemaStmt',
  'CreateSeqStmt',
  'CreateStatsStmt',
  'CreateStmt',
  'CreateTableAsStmt',
  'CreateTransformStmt',
  'CreateTrigStmt',
  'DefineStmt',
  'DropStmt',
  'GrantStmt',
  'IndexStmt',
  'RefreshMatViewStmt',
  'RenameStmt',
  'RuleStmt',
  'SecLabelStmt',
  'ViewStmt',
]);

/**
 * Statements whose effects show only when they run. They may be in a step whose `allow` names the rule, and which has
 * a `down`, because the catalog can't tell what is to be undone.
 */
const UNSEEN_RULES: Readonly<Record<string, string>> = {
  DoStmt: 'do-block',
  CallStmt: 'procedure-call',
  CopyStmt: 'copy-program',
};

/** Why a statement isn't one of them, where there is more to say than that. */
const REASONS: Record<string, string> = {
  TransactionStmt: 'the engine begins and commits by itself, so that the change and its record are one',
  DoStmt: "what a DO block does can't be seen before it runs; write the statements themselves",
  CopyStmt: 'COPY moves data, not schema; use `backfill` or a `call` step',
  InsertStmt: 'it changes rows; use a `backfill` step, which is throttled and can be resumed, or a `call` step',
  UpdateStmt: 'it changes rows; use a `backfill` step, which is throttled and can be resumed',
  DeleteStmt: 'it changes rows; use a `call` step',
  MergeStmt: 'it changes rows; use a `backfill` or a `call` step',
  TruncateStmt: 'it throws rows away, and no rollback brings them back',
  SelectStmt: 'it changes nothing that rollback could see; use a `check` or a `call` step',
  CallStmt: "what a procedure does can't be seen before it runs; use a `call` step",
  VariableSetStmt: "settings of the session are the engine's (search_path, lock_timeout, …)",
  VacuumStmt: "it isn't a change of schema and can't be part of a transaction",
  ClusterStmt: 'it rewrites the table under the strongest lock',
  LockStmt: "locks are the engine's: each statement takes its own, under a short timeout",
  AlterSystemStmt: 'it changes the whole server',
  CreatedbStmt: 'databases are made outside of migrations',
  DropdbStmt: 'databases are dropped outside of migrations',
};

const COPY_PROGRAM = 'it runs a program on the database server, which no rollback takes back; use a `call` step';

/** `AlterTableStmt` → `ALTER TABLE`: the first words of the statement itself say it best. */
export const statementName = (text: string): string =>
  (
    /^[A-Za-z]+(\s+(TABLE|VIEW|INDEX|SCHEMA|DATABASE|SYSTEM|ROLE|USER|TABLESPACE|FUNCTION|PROCEDURE|SEQUENCE|TYPE|PREPARED|TRANSACTION)\b)?/i.exec(
      text,
    )?.[0] ?? text.slice(0, 20)
  )
    .toUpperCase()
    .replaceAll(/\s+/g, ' ');

const LOSSY_DROPS: Record<string, string> = {
  OBJECT_TABLE: 'DROP TABLE',
  OBJECT_SCHEMA: 'DROP SCHEMA',
  OBJECT_FOREIGN_TABLE: 'DROP FOREIGN TABLE',
  OBJECT_MATVIEW: 'DROP MATERIALIZED VIEW',
  OBJECT_SEQUENCE: 'DROP SEQUENCE',
};

/** The part of a statement that destroys data, in words (`DROP COLUMN a`), or null. */
function lossyPart({ kind, node }: Statement): string | null {
  if (kind === 'DropStmt') return LOSSY_DROPS[String(node['removeType'])] ?? null;
  if (kind !== 'AlterTableStmt') return null;
  for (const command of (node['cmds'] as SqlNode[] | undefined) ?? []) {
    const fields = command['AlterTableCmd'] as SqlNode | undefined;
    if (fields?.['subtype'] === 'AT_DropColumn') return `DROP COLUMN ${String(fields['name'])}`;
  }
  return null;
}

/**
 * What is wrong with the statements of a `ddl` step, all of it. `lossy` says whether statements that lose data, and
 * those that the catalog can't undo, may be there: in `down`, and in an `up` that has its own `down`. `allow` names the
 * rules that the step may break.
 */
export function ddlFaults(
  sql: string,
  { lossy, allow = [], schema = 'public' }: { lossy: boolean; allow?: readonly string[]; schema?: string },
): SqlFault[] {
  let statements: Statement[];
  try {
    statements = statementsOf(sql);
  } catch (error) {
    if (error instanceof SqlFault) return [error];
    throw error;
  }
  if (statements.length === 0) return [new SqlFault('there is no statement in it', 0)];
  const back = lossy ? [] : reversals(statements, schema, null);
  const found = statements.flatMap((statement, index) => {
    const fault = ddlFault(statement, lossy, allow) ?? reversalFault(statement, back[index]);
    return fault === null ? [] : [new SqlFault(fault, statement.offset)];
  });
  return [...found, ...longNameFaults(sql)].toSorted((a, b) => a.offset - b.offset);
}

const reversalFault = (statement: Statement, reversal: Reversal | undefined): string | null =>
  reversal === undefined || reversal.needsDown === null
    ? null
    : `rollback can't take ${statementName(statement.text)} back: ${reversal.needsDown}; write \`down\``;

function ddlFault(statement: Statement, lossy: boolean, allow: readonly string[]): string | null {
  const { kind, text } = statement;
  if (!ALLOWED.has(kind)) {
    const rule = unseenRule(statement);
    const reason = reasonOf(statement);
    const refused = `${statementName(text)} can't be in a ddl step${reason === null ? ': it is not a change of the schema' : `: ${reason}`}`;
    if (rule === null) return refused;
    if (!allow.includes(rule)) return `${refused}; or allow \`${rule}\` with a reason`;
    return lossy
      ? null
      : `${statementName(text)} is allowed here, but rollback can't tell what it changes: write \`down\``;
  }
  const write = kind === 'CreateTableAsStmt' ? writeIn(statement) : null;
  if (write !== null)
    return `${statementName(text)} with ${write} in it can't be in a ddl step: it changes rows; use a \`backfill\` or a \`call\` step`;
  const lost = lossy ? null : lossyPart(statement);
  return lost === null
    ? null
    : `${lost} loses data that no rollback brings back; use a \`retire\` step, or write \`down\` yourself`;
}

/** The rule that lets the statement be there; null where none does: other forms of COPY only move rows. */
function unseenRule({ kind, node }: Statement): string | null {
  if (kind === 'CopyStmt' && (node['is_program'] !== true || node['is_from'] !== true)) return null;
  return UNSEEN_RULES[kind] ?? null;
}

function reasonOf({ kind, node }: Statement): string | null {
  if (kind === 'SelectStmt' && node['intoClause'] !== undefined)
    return 'SELECT INTO makes a table; write CREATE TABLE … AS';
  if (kind === 'CopyStmt' && node['is_program'] === true) return COPY_PROGRAM;
  return REASONS[kind] ?? null;
}

const WRITES: Readonly<Record<string, string>> = {
  InsertStmt: 'INSERT',
  UpdateStmt: 'UPDATE',
  DeleteStmt: 'DELETE',
  MergeStmt: 'MERGE',
};
/** The first statement in its WITH that changes rows: `DELETE`. */
function writeIn({ node }: Statement): string | null {
  let found: string | null = null;
  walkSql(node, (kind) => {
    found ??= WRITES[kind] ?? null;
  });
  return found;
}
