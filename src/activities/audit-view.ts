import type { Database } from '../adapters/postgres/database.ts';
import type { LineageLine } from '../adapters/postgres/lineage-read.ts';
import type { Place } from '../adapters/postgres/range-ledger.ts';
import type { AlteredRange } from '../messages/index.ts';

/** What an audit is read from, and how it may show what it reads. */
export interface AuditView {
  name: string;
  /** Databases whose ledger can be read. */
  databases: readonly Database[];
  home: Database;
  /** Whether a table holds personal data, by the configuration or by the plan of that migration. */
  hides(of: { database: string; schema: string; table: string; migration: string }): Promise<boolean>;
  hash(place: Place): string;
}

/** A line of the lineage as people may read it. */
export function shown(line: LineageLine, show: (key: Place) => string): AlteredRange {
  // A small table without a key is one range, which ends nowhere.
  const bound = (place: Place | null): string | null => (place === null || place.length === 0 ? null : show(place));
  const { database, schema, table, migration, version, epoch, step, kind, direction } = line;
  const { rows, keys, before, after, by, at } = line;
  const of = { database, schema, table, migration, version, epoch, step, kind, direction };
  return { ...of, lower: bound(line.lower), upper: bound(line.upper), rows, keys, before, after, by, at };
}
