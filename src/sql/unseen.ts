import type { Statement } from './parser.ts';
import { alterCommands, objectType } from './tree.ts';

/** What the catalog snapshot has no eyes for. Each of these needs a `down`. */
const UNSEEN = new Set([
  'AlterCollationStmt',
  'AlterDefaultPrivilegesStmt',
  'AlterExtensionContentsStmt',
  'AlterObjectDependsStmt',
  'AlterOpFamilyStmt',
  'AlterOperatorStmt',
  'AlterTSConfigurationStmt',
  'AlterTSDictionaryStmt',
  // What these three do shows only when they run: the plan allows them with a reason.
  'CallStmt',
  'CopyStmt',
  'DoStmt',
  'CreateCastStmt',
  'CreateConversionStmt',
  'CreateOpClassStmt',
  'CreateOpFamilyStmt',
  'CreateTransformStmt',
  'SecLabelStmt',
]);
const SEEN_OBJECTS = new Set([
  'OBJECT_AGGREGATE',
  'OBJECT_ATTRIBUTE',
  'OBJECT_COLUMN',
  'OBJECT_DOMAIN',
  'OBJECT_EXTENSION',
  'OBJECT_FOREIGN_TABLE',
  'OBJECT_FUNCTION',
  'OBJECT_INDEX',
  'OBJECT_MATVIEW',
  'OBJECT_POLICY',
  'OBJECT_PROCEDURE',
  'OBJECT_ROUTINE',
  'OBJECT_RULE',
  'OBJECT_SCHEMA',
  'OBJECT_SEQUENCE',
  'OBJECT_STATISTIC_EXT',
  'OBJECT_TABCONSTRAINT',
  'OBJECT_TABLE',
  'OBJECT_TRIGGER',
  'OBJECT_TYPE',
  'OBJECT_VIEW',
]);
/** The triggers of foreign keys, which these reach too, are Postgres's own. */
const ALL_TRIGGERS = ['AT_EnableTrigAll', 'AT_DisableTrigAll'];

/** Why the catalog doesn't show what a statement changes, so that no rollback could find it; null where it does. */
export function unseen(statement: Statement): string | null {
  const { kind, node } = statement;
  const object = objectType(statement);
  const aimsElsewhere = object.startsWith('OBJECT_') && !SEEN_OBJECTS.has(object);
  const isShell = kind === 'DefineStmt' && object === 'OBJECT_TYPE';
  const reachesInside = alterCommands(statement).some(
    ({ subtype }) =>
      ALL_TRIGGERS.includes(subtype) || (node['objtype'] === 'OBJECT_INDEX' && subtype === 'AT_SetStatistics'),
  );
  return UNSEEN.has(kind) || aimsElsewhere || isShell || reachesInside
    ? "what it changes can't be found in the catalog snapshot"
    : null;
}
