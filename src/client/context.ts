import type { Client } from '@temporalio/client';
import type { Status } from '../messages/index.ts';
import type { ServerPlace } from './service-error.ts';

/** Reads what the home ledger last kept of a migration; null where it knows none of that name. */
export type LedgerStatus = (name: string) => Promise<Status | null>;

/** What every part of the client works with. */
export interface ClientContext {
  client: Client;
  place: ServerPlace;
  /** The address of Temporal's UI, for links; null where unknown. */
  ui: string | null;
  ledgerStatus: LedgerStatus | null;
}

/** No single call to the server takes longer; what waits for people or workers says so itself. */
export const CALL_TIMEOUT_MS = 5_000;
