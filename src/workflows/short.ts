import { proxyActivities } from '@temporalio/workflow';
import type { Activities } from '../activities/index.ts';
import type { Released } from '../activities/release.ts';
import type { Audit, AuditQuestion, LiveCheck, RecordedDeprecation } from '../messages/index.ts';

const { checkLive, releaseClaims, listDeprecations, readAudit } = proxyActivities<
  Pick<Activities, 'checkLive' | 'releaseClaims' | 'listDeprecations' | 'readAudit'>
>({
  startToCloseTimeout: '60s',
  retry: { maximumInterval: '5s' },
});

/** The live part of `switchback check`: it needs the worker, who alone knows the databases. */
export async function check(input: { plan: unknown }): Promise<LiveCheck> {
  return checkLive(input);
}

/** Frees the tables of a dead run, on record; refused while the run is alive. */
export async function release(input: { name: string; by: string }): Promise<Released> {
  return releaseClaims(input);
}

/** What is deprecated now, from the home ledger, which only workers know. */
export async function deprecations(): Promise<RecordedDeprecation[]> {
  return listDeprecations();
}

/** Who changed what, from the ledgers of all databases, which only workers know. */
export async function audit(question: AuditQuestion): Promise<Audit> {
  return readAudit(question);
}
