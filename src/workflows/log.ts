import { log, workflowInfo } from '@temporalio/workflow';

/**
 * A line of the worker's log about this run; the worker adds whose it is. Only names and codes: what people and
 * servers wrote can hold anything.
 */
export function logEvent(event: string, fields: Record<string, string | undefined>): void {
  const known = Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
  log.info(event, { event, attempt: workflowInfo().attempt, ...known });
}
