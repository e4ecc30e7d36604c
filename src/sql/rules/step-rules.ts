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

export const DUAL_WRITE_REFUSED: StepRule = {
  code: 'dual-write-refused',
  severity: 'error',
  title: 'The columns can’t be kept in step',
  why: 'The step makes the same checks before it creates its triggers, and stops with the same words: a new column has a DEFAULT, so that a client that never heard of it seems to have written it; a column is generated, an identity, of a domain that refuses NULL or part of a partition key; a BEFORE trigger of someone else runs after ours, or reads what ours derives after it; another dual write has the column; an expression is wrong.',
  safeForm: 'Do what the message says in an earlier `ddl` step, or leave the column out of the step.',
};

export const DUAL_WRITE_LOSSY: StepRule = {
  code: 'dual-write-lossy',
  severity: 'warning',
  title: 'Rows don’t come back from `down(up(x))`',
  why: 'When a new client writes one of these rows, even half of its new side, the old columns get what `down` makes of the new ones: another value than they had. Rows that nobody writes keep both sides. A later `drop` of the old column refuses while there are such rows, unless its `acceptedLoss` says how many.',
  safeForm: 'Write `up` and `down` so that they give each other back, clean the rows up first, or accept the number.',
};

export const DUAL_WRITE_FAILS: StepRule = {
  code: 'dual-write-fails',
  severity: 'warning',
  title: 'An expression fails on rows that are there',
  why: 'Until such a row is mended, every UPDATE of it fails, whatever it changes: the trigger computes `up` of the row first. The backfill sets it aside, up to `maxRowErrors`.',
  safeForm: 'Let the expression give NULL or a default for such values, or clean the rows up before the step.',
};

export const DUAL_WRITE_UPDATE_OF: StepRule = {
  code: 'dual-write-update-of',
  severity: 'warning',
  title: 'A trigger for UPDATE OF a derived column will not see it change',
  why: 'Postgres fires a trigger for `UPDATE OF` a column when the statement names the column. What our trigger derives is named by no statement, so the other trigger misses the changes that come from the other side.',
  safeForm: 'Let the trigger run on every UPDATE and compare OLD and NEW in its WHEN or its function.',
};

export const BACKFILL_ROOM: StepRule = {
  code: 'step-backfill-room',
  severity: 'error',
  title: 'Not enough disk for a backfill',
  why: 'An UPDATE leaves the old row where it is until a vacuum: until then a backfill can double the table and its indexes, and it writes about as much WAL. A disk that runs full stops every writer of the server. A backfill with `where` is judged when it begins, by how many rows Postgres expects to match.',
  safeForm: 'Make room, or raise [`room`](../configuration.md) of the database where it may grow further.',
};

export const BACKFILL_INDEX: StepRule = {
  code: 'step-backfill-index',
  severity: 'warning',
  title: 'An index holds a column that the backfill sets',
  why: 'Every row that is changed then gets a new entry in every index of the table: no update can be HOT (heap-only), which costs time, WAL and room in all of them.',
  safeForm: 'Create the index after the backfill: built in one go it is smaller, and the backfill is faster.',
};

export const STEP_RULES: readonly StepRule[] = [
  MISSING_TABLE,
  MISSING_PRIVILEGE,
  HIDDEN_ROWS,
  REPLICATED_TABLE,
  DUAL_WRITE_REFUSED,
  DUAL_WRITE_LOSSY,
  DUAL_WRITE_FAILS,
  DUAL_WRITE_UPDATE_OF,
  BACKFILL_ROOM,
  BACKFILL_INDEX,
];
