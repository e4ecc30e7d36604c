import type { CheckFinding } from '../messages/index.ts';
import type { Plan } from '../plan/index.ts';
import { evolve, relationOf, type SchemaFacts, type Statement, statementsOf } from '../sql/index.ts';
import { MISSING_TABLE } from '../sql/rules/step-rules.ts';
import { relationIn } from '../sql/tree.ts';

/** Statements of which the catalog doesn't show before what they will make. */
const UNSEEN = new Set(['DoStmt', 'CallStmt', 'CreateExtensionStmt', 'CreateSchemaStmt', 'CopyStmt']);

/**
 * Statements of a `ddl` step that change or index a table which is not in the catalog, nor made by a statement before.
 * Says nothing where something whose work can't be foreseen may make it: another migration, a `call`, a DO block.
 */
export function missingTables(
  { up, schema }: { up: string; schema: string },
  where: Pick<CheckFinding, 'database' | 'phase' | 'step' | 'path'>,
  { plan, facts }: { plan: Plan; facts: SchemaFacts },
): CheckFinding[] {
  if (mayMakeTablesUnseen(plan)) return [];
  const found: CheckFinding[] = [];
  let so = facts;
  for (const [index, statement] of statementsOf(up).entries()) {
    const table = tableOf(statement, schema);
    if (table !== null && relationOf(so, table.schema, table.name) === undefined) {
      const message = `table ${table.schema}.${table.name} is not in database "${where.database}"`;
      found.push(findingOf(message, { ...where, statement: index + 1 }));
    }
    so = evolve(so, statement, schema);
  }
  return found;
}

const mayMakeTablesUnseen = ({ spec }: Plan): boolean =>
  spec.requires.length > 0 ||
  spec.phases
    .flatMap(({ steps }) => steps)
    .some(
      (step) =>
        step.uses === 'call' || (step.uses === 'ddl' && statementsOf(step.up).some(({ kind }) => UNSEEN.has(kind))),
    );

/** The table of an ALTER TABLE or CREATE INDEX that fails without it. */
function tableOf({ kind, node }: Statement, schema: string): { schema: string; name: string } | null {
  if (node['missing_ok'] === true) return null;
  const alters = kind === 'AlterTableStmt' && node['objtype'] === 'OBJECT_TABLE';
  return alters || kind === 'IndexStmt' ? relationIn(node['relation'], schema) : null;
}

const findingOf = (
  message: string,
  where: Pick<CheckFinding, 'database' | 'phase' | 'step' | 'path' | 'statement'>,
): CheckFinding => ({
  ...where,
  line: null,
  column: null,
  rule: MISSING_TABLE.code,
  title: MISSING_TABLE.title,
  severity: MISSING_TABLE.severity,
  message,
  why: MISSING_TABLE.why,
  safeForm: MISSING_TABLE.safeForm,
  avoided: false,
  allowed: null,
  refused: true,
});
