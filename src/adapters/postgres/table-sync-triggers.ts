import { quoteIdentifier, quoteTable } from './identifier.ts';
import { emptyFunction, guardFunction, keyChanged, newSide, syncFunction } from './table-sync-functions.ts';
import type { SyncShapes, TableSyncDetail } from './table-sync-shape.ts';
import { differs, isOurs, LEAVING, NOW, storedReads, target } from './table-sync-sql.ts';

/**
 * The triggers that call the functions. Those AFTER a write sort before all others: before the ones of foreign keys, so
 * that the pair is gone when Postgres looks for rows that still refer to it, and before a client's, so that what those
 * write in turn comes later. The guards run BEFORE a write and sort last.
 */
const after = (detail: TableSyncDetail, event: 'i' | 'u' | 'd' | 't'): string =>
  quoteIdentifier(`AA_switchback_${detail.hash}_${event}`);
const guard = (detail: TableSyncDetail, event: 'i' | 'u'): string =>
  quoteIdentifier(`zz_switchback_${detail.hash}_${event}`);

/** CREATE TRIGGER for both tables. */
export function syncTriggers({ detail, up, down }: SyncShapes): string[] {
  const marker = quoteIdentifier(detail.marker);
  const from = quoteTable(up.source.shape.schema, up.source.table);
  const to = target(up);
  const ours = isOurs(`old.${marker}`, `new.${marker}`);
  const client = `(${ours}) IS NOT TRUE`;
  const oldMarker = `old.${marker}`;
  const kept = `new.${marker} IS DISTINCT FROM ${oldMarker} OR ${oldMarker} < 0`;
  const touched = differs(newSide(up, down));
  const unknown = down === null ? `${oldMarker} IS DISTINCT FROM 0` : `${oldMarker} IS NULL`;
  const row = (name: string, event: string, table: string, when: string | null, call: string): string =>
    `CREATE TRIGGER ${name} ${event} ON ${table} FOR EACH ROW ${when === null ? '' : `WHEN (${when}) `}EXECUTE FUNCTION ${call}()`;
  const statement = (table: string): string =>
    `CREATE TRIGGER ${after(detail, 't')} AFTER TRUNCATE ON ${table} FOR EACH STATEMENT EXECUTE FUNCTION ${emptyFunction(detail)}()`;
  const follows = (side: 'from' | 'to'): string[] => {
    const table = side === 'from' ? from : to;
    const way = side === 'from' ? up : down;
    if (way === null) return [];
    const call = syncFunction(detail, side);
    const marked = side === 'to' || down !== null;
    const changed = `(${differs(storedReads(way.source))} OR ${keyChanged(way.source)})`;
    return [
      row(after(detail, 'i'), 'AFTER INSERT', table, marked ? `coalesce(abs(new.${marker}), 0) <= ${NOW}` : null, call),
      row(after(detail, 'u'), 'AFTER UPDATE', table, marked ? `${client} AND ${changed}` : changed, call),
      row(after(detail, 'd'), 'AFTER DELETE', table, marked ? `old.${marker} IS DISTINCT FROM ${LEAVING}` : null, call),
      statement(table),
    ];
  };
  return [
    ...follows('from'),
    ...follows('to'),
    row(guard(detail, 'i'), 'BEFORE INSERT', to, `new.${marker} IS NULL`, guardFunction(detail, 'to')),
    row(
      guard(detail, 'u'),
      'BEFORE UPDATE',
      to,
      `${client} AND (${kept} OR (${unknown} AND ${touched}))`,
      guardFunction(detail, 'to'),
    ),
    ...(down === null
      ? []
      : [row(guard(detail, 'u'), 'BEFORE UPDATE', from, `${client} AND (${kept})`, guardFunction(detail, 'from'))]),
  ];
}

/** The names that the triggers may have on either table. */
export const triggerNames = (detail: TableSyncDetail): string[] => [
  ...(['i', 'u', 'd', 't'] as const).map((event) => after(detail, event)),
  ...(['i', 'u'] as const).map((event) => guard(detail, event)),
];
