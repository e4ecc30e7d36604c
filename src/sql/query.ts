import { longNameFaults } from './long-names.ts';
import { SqlFault, type Statement, statementsOf, walkSql } from './parser.ts';
import { statementName } from './ddl-rules.ts';

const WRITES: Record<string, string> = {
  InsertStmt: 'INSERT',
  UpdateStmt: 'UPDATE',
  DeleteStmt: 'DELETE',
  MergeStmt: 'MERGE',
};

/** What is wrong with the query of a condition; null when it is one SELECT that only reads. */
export function queryFault(sql: string): SqlFault | null {
  let statements: Statement[];
  try {
    statements = statementsOf(sql);
  } catch (error) {
    if (error instanceof SqlFault) return error;
    throw error;
  }
  const first = statements[0];
  if (first === undefined) return new SqlFault('there is no query in it', 0);
  if (first.kind !== 'SelectStmt') {
    return new SqlFault(`a condition only reads: one SELECT, not ${statementName(first.text)}`, first.offset);
  }
  const second = statements[1];
  if (second !== undefined)
    return new SqlFault('a condition is one SELECT; a second statement starts here', second.offset);
  if (first.node['intoClause'] !== undefined)
    return new SqlFault('a condition only reads: SELECT INTO makes a table', first.offset);
  let fault: SqlFault | null = null;
  walkSql(first.node, (kind) => {
    const write = WRITES[kind];
    if (write !== undefined)
      fault ??= new SqlFault(`a condition only reads: there is ${write} in its WITH`, first.offset);
    if (kind === 'LockingClause')
      fault ??= new SqlFault('a condition only reads: FOR UPDATE and FOR SHARE lock rows', first.offset);
  });
  return fault ?? longNameFaults(sql)[0] ?? null;
}
