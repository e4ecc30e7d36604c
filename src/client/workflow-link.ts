import type { ServerPlace } from './service-error.ts';

/** The page of a run in Temporal's UI; null where no UI is known. A slash in the workflow ID is escaped. */
export function workflowLink(
  { place, ui }: { place: ServerPlace; ui: string | null },
  workflowId: string,
  runId: string,
): string | null {
  const base = ui ?? (place.address.endsWith('.tmprl.cloud:7233') ? 'https://cloud.temporal.io' : null);
  if (base === null) return null;
  const parts = ['namespaces', place.namespace, 'workflows', workflowId, runId].map(encodeURIComponent);
  return `${base.replace(/\/+$/, '')}/${parts.join('/')}`;
}
