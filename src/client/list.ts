import type { WorkflowExecutionInfo } from '@temporalio/client';
import { RUN_STATUSES, type RunStatus, WORKFLOW_TYPE, workflowIdOf } from '../messages/index.ts';
import { CALL_TIMEOUT_MS, type ClientContext } from './context.ts';
import { serviceError } from './service-error.ts';

/** One migration as Temporal's visibility store knows it; a second or two behind the run itself. */
export interface MigrationSummary {
  name: string;
  status: RunStatus;
  phase: string | null;
  owner: string | null;
  risk: string | null;
  services: string[];
  version: number | null;
  startedAt: string;
  endedAt: string | null;
  runId: string;
}

const ID_PREFIX = workflowIdOf('');
/** More runs than this are not looked at; a list for people ends long before. */
const RUNS_MAX = 5_000;

/** All migrations that Temporal still knows, the latest run of each, newest first. */
export async function listMigrations(context: ClientContext): Promise<MigrationSummary[]> {
  const { client, place } = context;
  const latest = new Map<string, WorkflowExecutionInfo>();
  let seen = 0;
  try {
    await client.withDeadline(Date.now() + CALL_TIMEOUT_MS, async () => {
      for await (const run of client.workflow.list({ query: `WorkflowType = '${WORKFLOW_TYPE}'`, pageSize: 500 })) {
        if (!run.workflowId.startsWith(ID_PREFIX)) continue;
        const known = latest.get(run.workflowId);
        if (known === undefined || known.startTime < run.startTime) latest.set(run.workflowId, run);
        seen += 1;
        if (seen >= RUNS_MAX) break;
      }
    });
  } catch (error) {
    throw serviceError(error, place);
  }
  return [...latest.values()].toSorted((a, b) => b.startTime.getTime() - a.startTime.getTime()).map(summaryOf);
}

export const migrationNames = async (context: ClientContext): Promise<string[]> =>
  (await listMigrations(context)).map(({ name }) => name);

function summaryOf(run: WorkflowExecutionInfo): MigrationSummary {
  const attribute = (key: string): string | null => {
    const value: unknown = run.searchAttributes[key]?.[0];
    return typeof value === 'string' ? value : null;
  };
  return {
    name: run.workflowId.slice(ID_PREFIX.length),
    status: statusOf(run, attribute('SwitchbackStatus')),
    phase: attribute('SwitchbackPhase'),
    owner: attribute('SwitchbackOwner'),
    risk: attribute('SwitchbackRisk'),
    services: (run.searchAttributes['SwitchbackServices'] ?? []).map(String),
    version: typeof run.memo?.['version'] === 'number' ? run.memo['version'] : null,
    startedAt: run.startTime.toISOString(),
    endedAt: run.closeTime?.toISOString() ?? null,
    runId: run.runId,
  };
}

/** Temporal's own word about the end counts where the attribute was not set any more (terminated, timed out). */
function statusOf(run: WorkflowExecutionInfo, attribute: string | null): RunStatus {
  const said = (RUN_STATUSES as readonly (string | null)[]).includes(attribute) ? (attribute as RunStatus) : 'running';
  switch (run.status.name) {
    case 'COMPLETED':
      return 'completed';
    case 'CANCELLED':
      return 'rolled-back';
    case 'FAILED':
      return said === 'rolled-back' ? 'rolled-back' : 'failed';
    case 'TERMINATED':
    case 'TIMED_OUT':
      return 'failed';
    default:
      return said;
  }
}
