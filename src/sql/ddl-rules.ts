import { type SqlNode, SqlFault, type Statement, statementsOf } from './parser.ts';

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
 * What is wrong with the statements of a `ddl` step, all of it. `lossy` says whether statements that lose data are
 * allowed: in `down`, and in an `up` that has its own `down`.
 */
export function ddlFaults(sql: string, { lossy }: { lossy: boolean }): SqlFault[] {
  let statements: Statement[];
  try {
    statements = statementsOf(sql);
  } catch (error) {
    if (error instanceof SqlFault) return [error];
    throw error;
  }
  if (statements.length === 0) return [new SqlFault('there is no statement in it', 0)];
  return statements.flatMap((statement) => {
    const fault = ddlFault(statement, lossy);
    return fault === null ? [] : [new SqlFault(fault, statement.offset)];
  });
}

function ddlFault(statement: Statement, lossy: boolean): string | null {
  const { kind, text } = statement;
  if (!ALLOWED.has(kind)) {
    const reason = REASONS[kind];
    return `${statementName(text)} can't be in a ddl step${reason === undefined ? ': it is not a change of the schema' : `: ${reason}`}`;
  }
  const lost = lossy ? null : lossyPart(statement);
  return lost === null
    ? null
    : `${lost} loses data that no rollback brings back; use a \`retire\` step, or write \`down\` yourself`;
}
