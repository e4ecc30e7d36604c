export { type Claim, claimsOf } from './claims.ts';
export { ddlFaults } from './ddl-rules.ts';
export { columnsOf, expressionFault } from './expression.ts';
export { SqlFault, type SqlNode, type Statement, statementsOf } from './parser.ts';
export { queryFault } from './query.ts';
export { type ColumnFill, safeForm, type SafeForm, type SafeUnit } from './safe-form.ts';
export { usesName } from './statement-use.ts';
export { type TableRef, tablesTouched } from './tables.ts';
