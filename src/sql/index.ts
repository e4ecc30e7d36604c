export { type Claim, claimsOf } from './claims.ts';
export { ddlFaults, statementName } from './ddl-rules.ts';
export { columnsOf, expressionFault } from './expression.ts';
export { parseSql, SqlFault, type SqlNode, type Statement, statementsOf, walkSql } from './parser.ts';
export { queryFault } from './query.ts';
export { type TableRef, tablesTouched } from './tables.ts';
