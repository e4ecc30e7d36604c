/**
 * Every failure that people can meet has a code. A code never changes its meaning; docs/errors.md lists them all with
 * what to do, and a test keeps the two in step.
 */
export const ERROR_CODES = {
  PlanInvalid: 'The plan is wrong; the message has path, line and column of each problem.',
  PlanChanged: 'A migration of this name and version exists with another digest.',
  BaseStateDiffers: 'The schema is not the one that the plan was written for.',
  VersionUnfinished: 'An earlier version of this migration has neither completed nor rolled back.',
  RequirementUnmet: 'A migration that this one requires has not completed.',
  RolledBack: 'The migration was rolled back; everything it changed is as it was before.',
  MigrationFailed: 'The migration ended without completing or rolling back.',
  UnknownDatabase: 'The plan names a database that the worker has no URL for.',
  DatabaseUnreachable:
    "A database can't be reached, refuses the credentials, has no connection left, or takes no writes.",
  UnleashUnreachable: "Unleash can't be reached, or refuses the token.",
  TemporalUnreachable: "The Temporal server can't be reached.",
  NoAnswer: 'The run exists, but no worker answers for it and no ledger could be read.',
  MetricsUnreachable: 'A source of metrics does not answer.',
  ConfigInvalid: 'The configuration is wrong; the message names the key.',
  UsageInvalid: 'The command line was used wrongly.',
  UnknownMigration: 'There is no migration of that name.',
  LockNotObtained: 'A lock was not obtained within the tries of the ladder; the message names the blockers.',
  StatementFailed: 'Postgres refused a statement.',
  RuleViolated: 'A statement would do harm that the plan does not allow; the message names the rule.',
  NotReversible: "What a step changed can't be undone from the catalog and the plan has no `down`.",
  ForeignObject: 'An object of that name exists and is not ours; it is left alone.',
  StillInUse: 'Something still uses what is to go out of use or away; the message names it.',
  ValuesLost: 'A drop would lose values that nothing else keeps, more than the plan accepts.',
  NotDueYet: 'What is to be dropped is within its retention, or before its sunset.',
  SchemaDrift: 'The schema is no longer as the migration left it.',
  KeyMissing: 'The table has no primary key or unique not-null index to walk along.',
  RowErrors: 'More rows than `maxRowErrors` could not be changed; they are listed by key.',
  VerifyMismatch: 'Rows differ from what the plan expects.',
  FlagChanged: 'Someone else changed the flag meanwhile.',
  FlagUnseen: 'Nobody would see the flag: one that it depends on keeps it off.',
  FlagRefused: 'Unleash refuses what was asked of a flag; the message has its reason.',
  StageRefused: 'A path is at a stage from which it can not go where the plan says, or someone else changed it.',
  NotAcknowledged: 'Service instances do not act on a change by the time-out; the message names them.',
  RepairsOpen: 'Writes that reached one side of a path only are not repaired by the deadline; the message counts them.',
  OldPathStale: 'The old side lacks what was written at `complete`; a person decides whether it may answer again.',
  GateFailed: 'The new path is worse than the old one; the message has the evidence.',
  GateInconclusive: 'A stop has baked without the evidence that passes it; a person decides.',
  GateNoData: 'A metric gives no data, and the plan says that this fails the step.',
  ConditionUnmet: 'A condition did not hold by its deadline.',
  GuardTripped: 'A guard was breached.',
  NoWorker: 'No worker polls the task queue of a `call` step.',
  CallFailed: 'The activity of another team failed.',
  RetriesExhausted: 'A step failed as often as its `retry.attempts` allow.',
  StepTimeout: 'A step took longer than its `timeout`.',
  GateRejected: 'An approval was refused by a person.',
  GateExpired: 'An approval was not given in time.',
  Fenced: 'A newer run or the rollback has taken over; this worker stopped without acting.',
  OtherNamespace: 'The migration is under way in another Temporal namespace.',
  WebhookFailed: 'A webhook could not be told of an event; the migration is not concerned.',
  Unsupported: 'The plan uses a kind or field whose engine this version does not have.',
} as const;
export type ErrorCode = keyof typeof ERROR_CODES;

/** The fields that go with a failure through Temporal (`ApplicationFailure.details[0]`), to status and to people. */
export interface FailureDetails {
  hint: string | null;
  fields: Record<string, string | number | boolean | null>;
}

/**
 * A failure with a code. `retry` says whether doing the same again may help; what is not retryable goes to a person
 * or rolls back. `hint` tells that person what to do. Never put a secret or a row's value in it.
 */
export class SwitchbackError extends Error {
  override readonly name = 'SwitchbackError';
  readonly code: ErrorCode;
  readonly retry: boolean;
  readonly hint: string | null;
  readonly fields: Record<string, string | number | boolean | null>;

  constructor(
    code: ErrorCode,
    message: string,
    options: {
      retry?: boolean;
      hint?: string;
      fields?: Record<string, string | number | boolean | null>;
      cause?: unknown;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? false;
    this.hint = options.hint ?? null;
    this.fields = options.fields ?? {};
  }
}
