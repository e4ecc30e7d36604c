import type { CatalogScope, RelationName } from '../adapters/postgres/catalog.ts';
import type { DdlStatement, IndexBuild, PlannedStatement, RecordedUnit } from '../adapters/postgres/ddl-record.ts';
import { SwitchbackError } from '../messages/index.ts';
import { SqlFault, type SqlNode, type Statement, statementsOf, tablesTouched, unseen, walkSql } from '../sql/index.ts';

/** Reads a step's SQL into the statements of the plan; `decide` works out the units of one. Throws `PlanInvalid`. */
export function plannedStatements(
  sql: string,
  schema: string,
  decide: (statement: Statement, number: number) => Promise<readonly RecordedUnit[]>,
): PlannedStatement[] {
  return parsed(sql).map((statement, index): PlannedStatement => {
    const number = index + 1;
    refuseNonTransactional(statement, number);
    return {
      number,
      text: statement.text,
      decide: () => decide(statement, number),
      read: (units) => units.map((unit, at) => ddlStatement(unit, schema, { number, part: at + 1, of: units.length })),
    };
  });
}

interface Place {
  /** The plan's statement, from 1. */
  number: number;
  /** The unit of it, from 1, and how many there are. */
  part: number;
  of: number;
}

/** Reads a unit into how it runs and where in the catalog it can have effects. */
export function ddlStatement(unit: RecordedUnit, schema: string, { number, ...part }: Place): DdlStatement {
  const [statement] = parsed(unit.text);
  if (statement === undefined) throw new Error('a unit without a statement');
  const { kind, node, text } = statement;
  const base = { number, part: { number: part.part, of: part.of }, text, unseen: unseen(statement) };
  const within = (relation: string, of: string): CatalogScope => ({ relations: [{ schema: of, name: relation }] });
  if (unit.fill !== undefined) {
    const { fill } = unit;
    return { ...base, unseen: null, scope: within(fill.table, fill.schema), runs: { as: 'column-fill', fill } };
  }
  if (kind === 'IndexStmt' && node['concurrent'] === true) {
    const index = indexBuild(statement, { schema, number });
    return { ...base, scope: within(index.table, index.schema), runs: { as: 'index-build', index } };
  }
  if (kind === 'DropStmt' && node['concurrent'] === true) {
    const index = namesIn((node['objects'] as SqlNode[])[0], schema);
    const runs = { schema: index.schema, index: index.name, ifExists: node['missing_ok'] === true };
    return { ...base, scope: within(index.name, index.schema), runs: { as: 'index-drop', ...runs } };
  }
  const refersTo = referredTo(statement, schema);
  return {
    ...base,
    scope: scopeOf(statement, schema),
    runs: { as: 'transaction' },
    ...(refersTo.length > 0 && { refersTo: { own: tableIn(node['relation'], schema), others: refersTo } }),
  };
}

/** Tables that foreign keys in the statement refer to, in its order. */
function referredTo({ node }: Statement, schema: string): RelationName[] {
  const tables: RelationName[] = [];
  walkSql(node, (kind, { contype, pktable }) => {
    if (kind !== 'Constraint' || contype !== 'CONSTR_FOREIGN') return;
    tables.push(tableIn(pktable, schema));
  });
  return tables;
}

function tableIn(relation: unknown, schema: string): RelationName {
  const { schemaname, relname } = (relation ?? {}) as SqlNode;
  return { schema: typeof schemaname === 'string' ? schemaname : schema, name: String(relname) };
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
  // An index that is attached or set is looked for with its table.
  if (kind === 'AlterTableStmt' && node['objtype'] === 'OBJECT_INDEX') {
    const { schemaname, relname } = node['relation'] as SqlNode;
    return { relations: [{ schema: typeof schemaname === 'string' ? schemaname : schema, name: String(relname) }] };
  }
  const tables = everywhere ? [] : tablesTouched(text, schema);
  return tables.length === 0 ? {} : { relations: tables.map(({ schema: of, table }) => ({ schema: of, name: table })) };
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
