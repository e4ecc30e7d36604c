/**
 * The names by which people, services and the engine find each other. They are a public promise: histories, search
 * attributes and other teams' clients depend on them.
 */
export const WORKFLOW_TYPE = 'migration';
export const DEFAULT_TASK_QUEUE = 'switchback';

/** The workflow ID of a migration. One run of a migration exists at a time because Temporal refuses a second such ID. */
export const workflowIdOf = (migration: string): string => `${WORKFLOW_TYPE}/${migration}`;

/** Query that answers with a `Status` (see status.ts). */
export const STATUS_QUERY = 'status';

/**
 * The signal by which an activity of a run tells it that someone is in its step's way, for the current details: those
 * are brought up to date only now and then. Not a decision: nobody else sends it, and it is no handler that UI lists.
 */
export const STEP_BLOCKED_SIGNAL = 'switchback-step-blocked';
export interface StepBlocked {
  step: string;
  note: string;
  /** Of the run that the activity belongs to. */
  generation: number;
}

/** Search attributes, by name and Temporal type; the worker refuses to start where one is missing. */
export const SEARCH_ATTRIBUTES = {
  SwitchbackStatus: 'Keyword',
  SwitchbackPhase: 'Keyword',
  SwitchbackOwner: 'Keyword',
  SwitchbackServices: 'KeywordList',
  SwitchbackRisk: 'Keyword',
} as const;
export type SearchAttributeName = keyof typeof SEARCH_ATTRIBUTES;
