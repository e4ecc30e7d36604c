import type { Direction } from './run.ts';

/** What `audit` asks a worker: of a migration, and of one row where a key is given. */
export interface AuditQuestion {
  name: string;
  row?: RowQuestion;
}
export interface RowQuestion {
  /** May be left out where one of the migration's databases has the table. */
  database: string | null;
  schema: string | null;
  table: string;
  /** The columns of the primary key as text, in its order; or one text, the hash by which a masked key was shown. */
  key: string[];
}

/** What the ledgers know of who changed what. Counts are text: they may be over 2^53. Times are ISO 8601. */
export interface Audit {
  name: string;
  version: number;
  epoch: number;
  state: string;
  owner: string;
  /** Temporal's, in which it runs; null where it was given up by `release`. */
  namespace: string | null;
  requestedBy: string;
  startedAt: string;
  endedAt: string | null;
  /** What people and the engine decided, of all versions, oldest first. */
  decisions: AuditedDecision[];
  /** Decisions that are left out, because an answer has a size: the oldest. */
  decisionsLeftOut: number;
  /** Steps that left a record in a target database, of the newest version and epoch. */
  steps: AuditedStep[];
  /** Ranges of rows that this migration altered, of all versions, oldest first. */
  ranges: AlteredRange[];
  /** As many ranges are left out: the oldest. */
  rangesLeftOut: number;
  row: RowAudit | null;
  /** Where the databases are, as OpenLineage names them: never with credentials. */
  places: Record<string, { namespace: string; database: string }>;
  /** Databases that could not be read, and why. */
  unread: { database: string; reason: string }[];
}
export interface AuditedDecision {
  /** Unique within the version and epoch. */
  key: string;
  at: string;
  version: number;
  epoch: number;
  type: string;
  by: string | null;
  identity: string | null;
  data: Record<string, unknown>;
}
export interface AuditedStep {
  database: string;
  version: number;
  epoch: number;
  step: string;
  phase: string;
  kind: string;
  state: string;
  intendedAt: string;
  appliedAt: string | null;
  undoneAt: string | null;
  /** Columns whose values the step derives, and the columns that each is derived from. */
  derives: DerivedColumns | null;
}
export interface DerivedColumns {
  schema: string;
  table: string;
  /** The table whose columns are read: another one where a dual write is between tables. */
  source: { schema: string; table: string };
  columns: { name: string; from: string[]; expression: string }[];
}
/** Rows of a table that one transaction, or one walk over a range of keys, altered. */
export interface AlteredRange {
  database: string;
  /** The table as it was called then. */
  schema: string;
  table: string;
  migration: string;
  version: number;
  epoch: number;
  step: string;
  /** `backfill`, `repair`, `rescue`, `drop`, `ddl` and the like. */
  kind: string;
  direction: Direction;
  /** The keys after `lower` up to `upper`, as people may read them; null: from the first, to the last. */
  lower: string | null;
  upper: string | null;
  rows: string;
  /** Keys that were visited in the range; null where nobody counted. */
  keys: string | null;
  /** `bit_xor` of the rows' hashes; null where nobody looked. */
  before: string | null;
  after: string | null;
  by: string | null;
  at: string;
}

/** What is known of one row. Never a value of it: those are in the database. */
export interface RowAudit {
  database: string;
  schema: string;
  table: string;
  /** As people may read it: hashed in a table with personal data. */
  key: string;
  /** Whether the row is there now. */
  exists: boolean;
  /** Altered ranges of all migrations that its key is in, oldest first: each altered so many of its rows. */
  changes: (AlteredRange & { sure: Sureness })[];
  /** Each dual write in force, and what its marker says of who wrote the row last. */
  markers: { migration: string; step: string; words: string }[];
  /** Steps that could not change it. */
  setAside: { migration: string; version: number; epoch: number; step: string; reason: string; at: string }[];
  /** Steps that kept what it held before. */
  beforeImages: { migration: string; version: number; epoch: number; step: string; at: string }[];
  /** Columns whose values were copied before a rollback dropped them; an empty name is the whole row. */
  rescued: { migration: string; version: number; epoch: number; step: string; column: string; at: string }[];
}
/**
 * `this-row`: the record is of this row alone. `in-range`: its key is among those of the range. `maybe`: the range is
 * told by a key that the row can't be compared with any more.
 */
export type Sureness = 'this-row' | 'in-range' | 'maybe';
