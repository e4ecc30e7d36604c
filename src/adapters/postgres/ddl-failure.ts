import { SwitchbackError } from '../../messages/index.ts';
import { PostgresError } from './database-error.ts';
import { type DdlStatement, statementLabel } from './ddl-record.ts';

/** An error of Postgres with the statement it belongs to, and where in it. */
export function failedStatement(statement: DdlStatement, error: unknown): unknown {
  if (!(error instanceof PostgresError)) return error;
  const at = error.position === null ? '' : `, at character ${error.position}`;
  return new SwitchbackError('StatementFailed', `${statementLabel(statement)}: ${error.message}${at}`, {
    retry: error.retry,
    ...(error.hint !== null && { hint: error.hint }),
    fields: { ...error.fields, statement: statement.number, position: error.position },
    cause: error,
  });
}

const LOCK_NOT_AVAILABLE = '55P03';
const DEADLOCK = '40P01';

/** The error itself where another session was in the way, for the ladder to try again; else the statement's failure. */
export const lockErrorOrFailure = (statement: DdlStatement, error: unknown): unknown =>
  error instanceof PostgresError && (error.concurrent || [LOCK_NOT_AVAILABLE, DEADLOCK].includes(error.sqlState))
    ? error
    : failedStatement(statement, error);
