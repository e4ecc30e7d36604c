/** Identity of a run, as each activity gets it. Together with step, direction and range it is the idempotency key. */
export interface RunRef {
  migration: string;
  version: number;
  digest: string;
  /** Rises when a rolled-back migration is started again, so that up, down, up is three effects, not one. */
  epoch: number;
  /** The fence: rises with every start and every change of direction. An effect that meets a newer one stops. */
  generation: number;
}
export type Direction = 'up' | 'down';

/** The workflow's one argument as services give it. The plan is any JSON; `checkPlan` reads it. */
export interface MigrationInput {
  plan: unknown;
  requestedBy?: string;
}

/** Something that was decided or happened, as the home ledger keeps it on record. */
export interface AuditEvent {
  /** Unique within migration, version and epoch: the same event twice is one row. */
  key: string;
  type: string;
  by: string | null;
  data: Record<string, unknown>;
}
