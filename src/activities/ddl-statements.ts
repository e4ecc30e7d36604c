import type { CatalogScope } from '../adapters/postgres/catalog.ts';
import type { DdlStatement, IndexBuild } from '../adapters/postgres/ddl-record.ts';
import { SwitchbackError } from '../messages/index.ts';
import { SqlFault, type SqlNode, type Statement, statementsOf, tablesTouched } from '../sql/index.ts';

/** Reads a step's SQL into statements that say how they run and where in the catalog they can have effects. */
export function ddlStatements(sql: string, schema: string): DdlStatement[] {
  return parsed(sql).map((statement, index): DdlStatement => {
    const number = index + 1;
    const base = { number, text: statement.text, unseen: unseen(statement) };
    if (statement.kind === 'IndexStmt' && statement.node['concurrent'] === true) {
      const build = indexBuild(statement, { schema, number });
      return {
        ...base,
        scope: { relations: [{ schema: build.schema, name: build.table }] },
        runs: { as: 'index-build', index: build },
      };
    }
    if (statement.kind === 'DropStmt' && statement.node['concurrent'] === true) {
      const { schema: of, name } = namesIn((statement.node['objects'] as SqlNode[])[0], schema);
      const runs = {
        as: 'index-drop' as const,
        schema: of,
        index: name,
        ifExists: statement.node['missing_ok'] === true,
      };
      return { ...base, scope: { relations: [{ schema: of, name }] }, runs };
    }
    refuseNonTransactional(statement, number);
    return { ...base, scope: scopeOf(statement, schema), runs: { as: 'transaction' } };
  });
}

function parsed(sql: string): Statement[] {
  try {
    return statementsOf(sql);
  } catch (error) {
    if (!(error instanceof SqlFault)) throw error;
    throw new SwitchbackError(
      'PlanInvalid',
      `the SQL can't be read: ${error.message} (at character ${error.offset + 1})`,
      {
        hint: 'correct the SQL of the step',
      },
    );
  }
}

/** Statements whose effects stay within the relations that they name. All others are looked for everywhere. */
const WITHIN_RELATIONS = new Set([
  'AlterPolicyStmt',
  'AlterTableStmt',
  'CommentStmt',
  'CreatePolicyStmt',
  'CreateStmt',
  'CreateTableAsStmt',
  'CreateTrigStmt',
  'GrantStmt',
  'IndexStmt',
  'RuleStmt',
  'ViewStmt',
]);

function scopeOf({ kind, node, text }: Statement, schema: string): CatalogScope {
  const everywhere = !WITHIN_RELATIONS.has(kind) || JSON.stringify(node).includes('"DROP_CASCADE"');
  const tables = everywhere ? [] : tablesTouched(text, schema);
  return tables.length === 0 ? {} : { relations: tables.map(({ schema: of, table }) => ({ schema: of, name: table })) };
}

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

function unseen({ kind, node }: Statement): string | null {
  const object = node['removeType'] ?? node['renameType'] ?? node['objtype'] ?? node['objectType'] ?? node['kind'];
  const aimsElsewhere = typeof object === 'string' && object.startsWith('OBJECT_') && !SEEN_OBJECTS.has(object);
  const isShell = kind === 'DefineStmt' && object === 'OBJECT_TYPE';
  return UNSEEN.has(kind) || aimsElsewhere || isShell ? "what it changes can't be found in the catalog snapshot" : null;
}

function refuseNonTransactional({ kind, node, text }: Statement, number: number): void {
  const detaches =
    kind === 'AlterTableStmt' && /"subtype":"AT_DetachPartition".*"concurrent":true/.test(JSON.stringify(node));
  if (!detaches) return;
  throw new SwitchbackError(
    'Unsupported',
    `statement ${number} (${text.split('\n', 1)[0]}) can't run in a transaction`,
    {
      hint: 'write DETACH PARTITION without CONCURRENTLY: the lock ladder keeps its lock short',
      fields: { statement: number },
    },
  );
}

function indexBuild({ node, text }: Statement, { schema, number }: { schema: string; number: number }): IndexBuild {
  const relation = node['relation'] as SqlNode;
  const name = node['idxname'];
  if (typeof name !== 'string' || name === '') {
    throw new SwitchbackError('PlanInvalid', `statement ${number}: CREATE INDEX CONCURRENTLY without a name`, {
      hint: 'name the index: after a crash it is found by its name',
      fields: { statement: number },
    });
  }
  // The statement was parsed as part of the whole text; by itself its positions count from its own start.
  const alone = statementsOf(text)[0]?.node['relation'] as SqlNode;
  const location = Number(alone['location'] ?? 0);
  return {
    schema: typeof relation['schemaname'] === 'string' ? relation['schemaname'] : schema,
    table: String(relation['relname']),
    name,
    unique: node['unique'] === true,
    ifNotExists: node['if_not_exists'] === true,
    rest: afterName(Buffer.from(text, 'utf8').subarray(location).toString('utf8')),
  };
}

/** What follows a (qualified) name: `users (email)` → `(email)`. */
const afterName = (text: string): string =>
  text.replace(/^(?:"(?:[^"]|"")*"|[^\s".(]+)(?:\s*\.\s*(?:"(?:[^"]|"")*"|[^\s".(]+))*\s*/, '');

function namesIn(object: unknown, schema: string): { schema: string; name: string } {
  const items = ((object as SqlNode)['List'] as { items: { String: { sval: string } }[] }).items.map(
    (item) => item.String.sval,
  );
  return { schema: items.length > 1 ? (items.at(-2) ?? schema) : schema, name: items.at(-1) ?? '' };
}
