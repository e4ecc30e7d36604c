import { getClient } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/common';
import { Claims } from '../adapters/postgres/claims.ts';
import { workflowIdOf } from '../messages/index.ts';
import type { Deps } from './deps.ts';

export interface Released {
  /** `database.schema.table` of each claim that was freed. */
  released: string[];
  reason: string;
}

/** Frees the claims of a migration whose workflow is no more, on record. */
export function createRelease(deps: Deps) {
  const claims = new Claims(deps.home.database);
  return {
    async releaseClaims({ name, by }: { name: string; by: string }): Promise<Released> {
      if (await isAlive(name)) {
        return { released: [], reason: `migration "${name}" is running: abort it, and it frees its tables itself` };
      }
      const run = await deps.home.registered(name);
      if (run === null) return { released: [], reason: `the home ledger knows no migration "${name}"` };
      const freed = (await claims.release(name)).map((claim) => `${claim.database}.${claim.schema}.${claim.table}`);
      await deps.home.disown(name);
      const key = `released/${run.generation}`;
      await deps.home.record(run, [{ key, type: 'claims-released', by, data: { released: freed } }], null);
      return {
        released: freed,
        reason: freed.length === 0 ? `migration "${name}" held no tables` : `freed ${freed.join(', ')}`,
      };
    },
  };
}

async function isAlive(name: string): Promise<boolean> {
  try {
    return (await getClient().workflow.getHandle(workflowIdOf(name)).describe()).status.name === 'RUNNING';
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return false;
    throw error;
  }
}
