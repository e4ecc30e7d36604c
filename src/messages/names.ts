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

/** Search attributes, by name and Temporal type; the worker refuses to start where one is missing. */
export const SEARCH_ATTRIBUTES = {
  SwitchbackStatus: 'Keyword',
  SwitchbackPhase: 'Keyword',
  SwitchbackOwner: 'Keyword',
  SwitchbackServices: 'KeywordList',
  SwitchbackRisk: 'Keyword',
} as const;
export type SearchAttributeName = keyof typeof SEARCH_ATTRIBUTES;
