import type { AlteredRange } from '../messages/index.ts';

/** What the ledgers know of one version and epoch of a migration. Counts are text: they may be over 2^53. */
export interface ReportFacts {
  run: RunFacts | null;
  /** Decisions of people and of the engine, in their order. */
  audit: AuditFact[];
  steps: StepFact[];
  /** Real failures of each step, by direction. */
  failures: FailureFact[];
  lineage: LineageFact[];
  /** The ranges of rows that were altered, oldest first, and how many older ones are left out. */
  ranges: AlteredRange[];
  rangesLeftOut: number;
  rowErrors: RowErrorFact[];
  /** Databases whose ledger could not be read, and why. */
  unread: { database: string; reason: string }[];
}
export interface RunFacts {
  version: number;
  epoch: number;
  generation: string;
  direction: string;
  state: string;
  startedAt: string;
  endedAt: string | null;
}
export interface AuditFact {
  at: string;
  type: string;
  by: string | null;
  /** How sure it is that it was them: `claimed` or `verified`; null where no person was involved. */
  identity: string | null;
  data: Record<string, unknown>;
}
export interface StepFact {
  database: string;
  step: string;
  phase: string;
  kind: string;
  state: string;
  note: string | null;
  intendedAt: string;
  appliedAt: string | null;
  undoneAt: string | null;
}
export interface FailureFact {
  step: string;
  direction: string;
  failures: number;
  lastError: string;
  at: string;
}
export interface LineageFact {
  database: string;
  object: string;
  step: string;
  direction: string;
  kind: string;
  rowsChanged: string;
  events: string;
  /** `bit_xor` of the rows' hashes, as far as anyone looked; null: nobody did. */
  before: string | null;
  after: string | null;
  from: string;
  to: string;
}
export interface RowErrorFact {
  database: string;
  step: string;
  sqlState: string;
  rows: string;
}

export const NO_FACTS: ReportFacts = {
  run: null,
  audit: [],
  steps: [],
  failures: [],
  lineage: [],
  ranges: [],
  rangesLeftOut: 0,
  rowErrors: [],
  unread: [],
};
