/**
 * What `switchback check` tells of a plan against the live databases, as the worker answers it and `--json` prints it.
 * Every part is there always; a database that can't be looked at has no steps.
 */
export interface LiveCheck {
  digest: string;
  /** What keeps the plan from running. */
  problems: string[];
  notes: string[];
  /** In the order of their names. */
  databases: DatabaseCheck[];
  /** In the order of the plan. Of very many, the first; a note says how many are left out. */
  findings: CheckFinding[];
  /** The digest of each database's schema, for `spec.baseState`. */
  schemas: Record<string, string>;
}

/** Postgres's table locks, weakest first. Source: PostgreSQL documentation, "Explicit Locking", table 13.2. */
export const LOCK_MODES = [
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
] as const;
export type LockMode = (typeof LOCK_MODES)[number];

export interface DatabaseCheck {
  name: string;
  /** `18.4`; null where it can't be reached. */
  version: string | null;
  /** Tables that the plan claims there, as far as they exist. */
  tables: TableSize[];
  /** Its `ddl` steps, in the order of the plan. */
  steps: StepCheck[];
}

export interface TableSize {
  schema: string;
  name: string;
  /** Postgres's estimate; null where the table was never analyzed. */
  rows: number | null;
  /** With indexes and partitions. */
  bytes: number;
}

export interface StepCheck {
  phase: string;
  step: string;
  /** `spec.phases[0].steps[1].up` */
  path: string;
  statements: CheckedStatement[];
}

export interface CheckedStatement {
  /** From 1, in the step's `up`. */
  number: number;
  /** As the plan has it. */
  text: string;
  /** Where it starts in `up`, in UTF-16 units. */
  offset: number;
  /** Where it starts in the plan, from 1: in its file, or in `JSON.stringify(plan, null, 2)`. */
  line: number | null;
  column: number | null;
  /** What will really run. */
  runs: CheckedRun[];
  /** Why it runs in another form than written; null where it runs as written. */
  safeForm: string | null;
  /** How a rollback takes it back, in words; null where the step needs a `down` for it and has none. */
  rollback: string | null;
}

export interface CheckedRun {
  text: string;
  concurrently: boolean;
  locks: CheckedLock[];
  /** Tables whose every row is written anew. */
  rewrites: CheckedWork[];
  /** Tables that are read through. */
  scans: CheckedWork[];
  /** What it adds to the disk, in bytes, by the catalog's estimates. */
  diskBytes: number;
}

export interface CheckedLock {
  schema: string;
  relation: string;
  mode: LockMode;
  held: 'moment' | 'scan' | 'rewrite';
  /** Who waits while it is held. */
  waits: 'nobody' | 'DDL' | 'writers' | 'readers and writers';
  /** An earlier statement of the plan makes the relation: nobody uses it yet. */
  fresh?: true;
}

export interface CheckedWork {
  schema: string;
  relation: string;
  why: string;
  /** null where the table was never analyzed. */
  rows: number | null;
  bytes: number;
}

export interface CheckFinding {
  database: string;
  phase: string;
  step: string;
  /** `spec.phases[0].steps[1].up` */
  path: string;
  line: number | null;
  column: number | null;
  /** The statement's number in `up`, from 1; null for a finding about the step. */
  statement: number | null;
  /** Stable code; docs/rules has a page of that name. */
  rule: string;
  /** What the rule is about, in a few words. */
  title: string;
  severity: 'error' | 'warning' | 'note';
  message: string;
  why: string;
  /** What to write instead, or what the engine does instead. */
  safeForm: string;
  /** The engine runs a safe form instead: nothing needs to be done. */
  avoided: boolean;
  /** The reason for which the plan allows it; null where it doesn't. */
  allowed: string | null;
  /** Keeps the plan from running. */
  refused: boolean;
}

/** A finding that keeps the plan from running, as one of `problems`. */
export const problemOf = ({ phase, step, message, rule }: CheckFinding): string =>
  `${phase}/${step}: ${message} (rule ${rule})`;
