import type { Severity } from './rule.ts';

/** A rule about a step of any kind, as far as the catalog shows: it has no statement to look at, and no `allow`. */
export interface StepRule {
  code: string;
  severity: Severity;
  title: string;
  why: string;
  safeForm: string;
}

export const MISSING_TABLE: StepRule = {
  code: 'step-missing-table',
  severity: 'error',
  title: 'The step’s table is not there',
  why: 'The step fails when its turn comes: the table that it names is not in the catalog, and no step before it makes it.',
  safeForm: 'Check `schema` and `table` of the step, or create the table in an earlier `ddl` step that it `needs`.',
};

export const MISSING_PRIVILEGE: StepRule = {
  code: 'step-missing-privilege',
  severity: 'error',
  title: 'The worker’s role lacks a right',
  why: 'The step fails when its turn comes. `dual-write` adds a trigger and a marker column, `retire` and `drop` change the table: Postgres lets only its owner do that. `backfill` reads and updates rows, `verify` reads them, and updates them where it repairs.',
  safeForm: 'Make the worker’s role a member of the table’s owner (`GRANT owner TO worker`), or grant what is missing.',
};

export const HIDDEN_ROWS: StepRule = {
  code: 'step-hidden-rows',
  severity: 'error',
  title: 'Row security hides rows from the worker',
  why: 'Under a policy a backfill would change the rows that the worker’s role may see, and a comparison would call the others clean. The worker’s sessions have `row_security = off`, so that Postgres raises an error instead.',
  safeForm:
    'Let the worker connect as a role with BYPASSRLS, or as the owner of a table without FORCE ROW LEVEL SECURITY.',
};

export const REPLICATED_TABLE: StepRule = {
  code: 'step-replicated-table',
  severity: 'error',
  title: 'The table is in logical replication',
  why: 'A subscriber would get what the step writes without the trigger that keeps both sides in step, and what a subscription writes here comes past it. So `dual-write`, `backfill` and `verify` refuse the table.',
  safeForm: 'Take the table out of the publication or subscription while the migration runs.',
};

export const STEP_RULES: readonly StepRule[] = [MISSING_TABLE, MISSING_PRIVILEGE, HIDDEN_ROWS, REPLICATED_TABLE];
