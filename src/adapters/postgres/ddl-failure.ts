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
