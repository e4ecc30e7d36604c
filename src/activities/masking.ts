import type { Place } from '../adapters/postgres/range-ledger.ts';
import { showKey } from '../adapters/postgres/backfill-errors.ts';
import type { RunRef } from '../messages/index.ts';
import type { Deps } from './deps.ts';

export interface MaskedTable {
  database: string;
  schema: string;
  table: string;
}
/** How keys and texts of one table may be told to people: in errors, notes, logs and reports. */
export interface Mask {
  /** True for a table labelled `pii`: its values are never told, its keys only hashed. */
  readonly hides: boolean;
  key(place: Place): string;
  /** What Postgres said, which may quote values. */
  message(text: string, sqlState: string): string;
}

export async function maskOf(_deps: Deps, _run: RunRef, _table: MaskedTable): Promise<Mask> {
  return { hides: false, key: showKey, message: (text) => text };
}
