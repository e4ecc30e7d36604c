import type { Plan, Step } from '../plan/index.ts';
import { order, tablesTouched, type TableRef } from './tables.ts';

/** A table that a migration claims for itself while it runs. */
export interface Claim extends TableRef {
  database: string;
}

/**
 * All tables that the steps of a plan touch, in the one order in which every migration claims them: database, schema,
 * table, by UTF-16 unit. The plan must have been checked: its SQL parses.
 */
export function claimsOf(plan: Plan): Claim[] {
  const steps = plan.spec.phases.flatMap((phase) => phase.steps);
  const byId = new Map(steps.map((step) => [step.id, step]));
  const claims = new Map<string, Claim>();
  for (const step of steps) {
    for (const claim of stepClaims(step, byId)) {
      claims.set(JSON.stringify([claim.database, claim.schema, claim.table]), claim);
    }
  }
  return [...claims.values()].toSorted(
    (a, b) => order(a.database, b.database) || order(a.schema, b.schema) || order(a.table, b.table),
  );
}

/** The tables that one step of a plan touches. */
export const claimsOfStep = (plan: Plan, step: Step): Claim[] =>
  stepClaims(step, new Map(plan.spec.phases.flatMap((phase) => phase.steps).map((one) => [one.id, one])));

function stepClaims(step: Step, byId: ReadonlyMap<string, Step>): Claim[] {
  const claim = (database: string | undefined, schema: string, table: string | undefined): Claim[] =>
    database === undefined || table === undefined ? [] : [{ database, schema, table }];
  switch (step.uses) {
    case 'ddl':
      return [step.up, ...(step.down === undefined ? [] : [step.down])]
        .flatMap((sql) => tablesTouched(sql, step.schema))
        .map((ref) => ({ database: step.database, ...ref }));
    case 'dual-write':
      return [step.table, step.from?.table, step.to?.table].flatMap((table) =>
        claim(step.database, step.schema, table),
      );
    case 'backfill':
    case 'verify': {
      const of = step.of === undefined ? undefined : byId.get(step.of);
      if (of?.uses === 'dual-write') return stepClaims(of, byId);
      const sides = step.uses === 'verify' ? [step.left, step.right] : [];
      return [
        ...claim(step.database, step.schema, step.table),
        ...sides.flatMap((side) => (side === undefined ? [] : claim(side.database, side.schema, side.table))),
      ];
    }
    case 'move':
      return [step.from, step.to].flatMap((side) => claim(side.database, side.schema, side.table));
    case 'retire':
    case 'drop':
      return claim(step.database, step.schema, step.table ?? step.column?.split('.')[0]);
    default:
      return [];
  }
}
