/**
 * How long to wait for the next refresh of what people see, by how long the run has worked: every 60 s at first, then
 * ever more rarely, so that a step of weeks stays within the budget of 500 events a day. Live figures are elsewhere:
 * the heartbeats have them.
 */
const FIRST_MS = 60_000;
const LAST_MS = 30 * 60_000;

/** A timer and its end, a workflow task (three), two local activities: read the figures, write the status. */
export const EVENTS_PER_REFRESH = 7;

export const refreshEveryMs = (workedMs: number): number =>
  Math.round(Math.min(LAST_MS, Math.max(FIRST_MS, workedMs / 4)));
