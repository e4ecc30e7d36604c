/** What services import: `import { Switchback, definePlan } from 'switchback'`. */
export {
  type AlteredRange,
  type Audit,
  type AuditedDecision,
  type AuditedStep,
  type CheckedLock,
  type CheckedRun,
  type CheckedStatement,
  type CheckedWork,
  type CheckFinding,
  type DatabaseCheck,
  type Decision,
  ERROR_CODES,
  type ErrorCode,
  type GateState,
  type GateStatus,
  isEnd,
  type LiveCheck,
  type MigrationInput,
  type MigrationResult,
  type PhaseState,
  type PhaseStatus,
  type Progress,
  type Receipt,
  type Refusal,
  RUN_STATUSES,
  type RowAudit,
  type RunStatus,
  type Status,
  type StatusError,
  type StepCheck,
  type StepState,
  type StepStatus,
  type Sureness,
  SwitchbackError,
} from '../messages/index.ts';
export { definePlan, type Plan, type PlanInput, type StepInput } from '../plan/index.ts';
export type { ConnectOptions } from './connect.ts';
export type { LedgerStatus } from './context.ts';
export type { Delivery } from './deliver.ts';
export type { Deprecation } from './deprecations.ts';
export type { MigrationSummary } from './list.ts';
export {
  type DecisionOptions,
  type GateDecisionOptions,
  MigrationHandle,
  type RetryOptions,
  type StepDecisionOptions,
  type ThrottleOptions,
} from './migration-handle.ts';
export {
  type AuditedKey,
  type Release,
  type StartedMigration,
  type StartOptions,
  Switchback,
  type SwitchbackOptions,
} from './switchback.ts';
export type { WatchOptions } from './watch.ts';
