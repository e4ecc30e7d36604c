import type { CheckFinding } from '../messages/index.ts';
import type { Plan, Step } from '../plan/index.ts';
import { relationOf, type RelationFacts, type SchemaFacts } from '../sql/index.ts';
import {
  HIDDEN_ROWS,
  MISSING_PRIVILEGE,
  MISSING_TABLE,
  REPLICATED_TABLE,
  type StepRule,
} from '../sql/rules/step-rules.ts';
import { backfillFindings } from './backfill-check.ts';
import type { PlacedStep } from './live-look.ts';
import { stepFinding } from './step-finding.ts';

/** The table that a step works on, and what it does there. */
export interface StepTable {
  database: string;
  schema: string;
  table: string;
  needs: 'ownership' | 'update' | 'select';
  /** It reads all rows, so that none may be hidden from it, and changes them past a subscriber. */
  rows: boolean;
  /** The columns that a backfill sets here; left out for other kinds. */
  sets?: readonly string[];
}

/** The tables of a step other than `ddl`; a backfill or a verification `of` a dual write has that one's. */
export function tablesOfStep(step: Step, plan: Plan): StepTable[] {
  const table = (
    database: string | undefined,
    schema: string,
    name: string | undefined,
    more: Pick<StepTable, 'needs' | 'rows' | 'sets'>,
  ): StepTable[] => (database === undefined || name === undefined ? [] : [{ database, schema, table: name, ...more }]);
  switch (step.uses) {
    case 'dual-write':
      return [step.table, step.from?.table, step.to?.table].flatMap((name) =>
        table(step.database, step.schema, name, { needs: 'ownership', rows: true }),
      );
    case 'backfill':
    case 'verify': {
      const needs = step.uses === 'backfill' || step.onMismatch === 'repair' ? 'update' : 'select';
      // A repair locks the left side's rows, which takes the same right as changing them.
      if (step.uses === 'verify' && step.left !== undefined)
        return [step.left, step.right].flatMap((side) =>
          table(side?.database, side?.schema ?? '', side?.table, { needs, rows: true }),
        );
      const own = step.uses === 'backfill' ? { sets: Object.keys(step.set ?? {}) } : {};
      if (step.of === undefined) return table(step.database, step.schema, step.table, { needs, rows: true, ...own });
      const of = plan.spec.phases.flatMap(({ steps }) => steps).find(({ id }) => id === step.of);
      if (of?.uses !== 'dual-write') return [];
      return [of.table, of.from?.table, of.to?.table].flatMap((name) =>
        table(of.database, of.schema, name, {
          needs,
          rows: true,
          ...(step.uses === 'backfill' && name === of.table && { sets: Object.keys(of.up) }),
        }),
      );
    }
    // What a `drop` removes has been looked at for its `retire`, and has another name since.
    case 'retire':
      return table(step.database, step.schema, step.table ?? step.column?.split('.')[0], {
        needs: 'ownership',
        rows: false,
      });
    default:
      return [];
  }
}

/** What keeps a step from its table: it isn't there, a right is missing, rows are hidden, or it is replicated. */
export function stepFindings(placed: PlacedStep, of: StepTable, facts: SchemaFacts): CheckFinding[] {
  const name = `${of.schema}.${of.table}`;
  const found = (rule: StepRule, message: string): CheckFinding => stepFinding(placed, of.database, rule, { message });
  const relation = relationOf(facts, of.schema, of.table);
  if (relation === undefined) return [found(MISSING_TABLE, `table ${name} is not in database "${of.database}"`)];
  const { role } = facts;
  const lacks = lackedRight(relation, of.needs);
  const hidden =
    relation.rowSecurity.enabled && !role.bypassesRowSecurity && (!relation.owned || relation.rowSecurity.forced);
  return [
    ...(lacks === null ? [] : [found(MISSING_PRIVILEGE, `the worker's role "${role.name}" ${lacks} ${name}`)]),
    ...(of.rows && hidden
      ? [found(HIDDEN_ROWS, `row security of ${name} would hide rows from the worker's role "${role.name}"`)]
      : []),
    ...(of.rows && relation.replicatedBy.length > 0
      ? [found(REPLICATED_TABLE, `${name} is in logical replication: ${relation.replicatedBy.join(', ')}`)]
      : []),
    ...backfillFindings(placed.step, of, { relation, roomBytes: facts.roomBytes }).map(([rule, message]) =>
      found(rule, message),
    ),
  ];
}

function lackedRight({ owned, may }: RelationFacts, needs: StepTable['needs']): string | null {
  if (needs === 'ownership') return owned ? null : 'does not own';
  if (may === undefined || may === null) return null;
  if (!may.select) return 'may not read';
  return needs === 'update' && !may.update ? 'may not update' : null;
}
