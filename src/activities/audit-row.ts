import {
  type AuditedRow,
  type AuditedTable,
  clocksOf,
  imagesOf,
  linesCovering,
  locate,
  markerOf,
  type PairClocks,
  rescuedOf,
  rowOfKey,
  rowsOfHash,
  setAsideOf,
  type SyncInto,
  syncsInto,
  tablesNamed,
} from '../adapters/postgres/audited-row.ts';
import { plannedWalks, saltsOf } from '../adapters/postgres/audit-read.ts';
import { conditionName } from '../adapters/postgres/condition-names.ts';
import { findDualWrites } from '../adapters/postgres/dual-write.ts';
import { showKey } from '../adapters/postgres/hidden-values.ts';
import { quoteTable } from '../adapters/postgres/identifier.ts';
import { isKeyHash } from '../adapters/postgres/key-hash.ts';
import { instantOf, type LineageLine, linesOfTables } from '../adapters/postgres/lineage-read.ts';
import { findTableSyncs } from '../adapters/postgres/table-sync.ts';
import type { TableSyncDetail } from '../adapters/postgres/table-sync-shape.ts';
import { type RowAudit, type RowQuestion, SwitchbackError } from '../messages/index.ts';
import { type AuditView, shown } from './audit-view.ts';

/** All that the ledgers of the row's database know of it, whichever migration it was. */
export async function auditRow(
  view: AuditView,
  question: RowQuestion,
  { plainKeys }: { plainKeys: boolean },
): Promise<RowAudit> {
  const table = await tableAsked(view, question);
  const personal = await view.hides({ ...table, database: table.database.name, migration: view.name });
  const [hash = ''] = question.key;
  const byHash = question.key.length === 1 && isKeyHash(hash) && personal;
  if (personal && !byHash && !plainKeys) throw keyTold(table);
  const row = byHash ? await rowHashed(view, table, hash) : await rowOfKey(table, question.key);
  const { database, schema } = row;
  const covering = await coveringLines(view, row);
  const hides =
    personal ||
    (await anyHides(
      view,
      covering.map(({ line }) => line),
    ));
  const show = hides ? view.hash : showKey;
  const steps = [...new Map(covering.map(({ line }) => [JSON.stringify(stepOf(line)), stepOf(line)])).values()];
  return {
    database: database.name,
    schema,
    table: row.table,
    key: byHash ? hash : show(row.place),
    exists: row.exists,
    changes: covering.map(({ line, sure }) => ({ ...shown(line, show), sure })),
    markers: await markersOf(row),
    setAside: (await setAsideOf(row)).map(({ sqlState, message, at, ...step }) => ({
      ...step,
      reason: hides ? conditionName(sqlState) : message,
      at: instantOf(at),
    })),
    beforeImages: (await imagesOf(row, steps)).map((image) => ({ ...image, at: instantOf(image.at) })),
    rescued: (await rescuedOf(row)).map((one) => ({ ...one, at: instantOf(one.at) })),
  };
}

/** The lines of the row's own tables, and those by which a dual write between tables filled it from another one. */
async function coveringLines({ home }: AuditView, row: AuditedRow): ReturnType<typeof linesCovering> {
  const syncs = await syncsInto(row);
  const all = await linesOfTables(row.database, [...row.objects, ...syncs.map(({ object }) => object)]);
  const walks = await plannedWalks(home, [...new Set(all.map(({ migration }) => migration))]);
  const walkOf = ({ migration, step }: LineageLine) => walks.get(`${migration}/${step}`) ?? { key: null, of: null };
  const syncOf = (line: LineageLine): SyncInto | undefined =>
    syncs.find(
      (sync) =>
        sync.object === quoteTable(line.schema, line.table) &&
        sync.step === walkOf(line).of &&
        [sync.migration, sync.version, sync.epoch].join('/') === [line.migration, line.version, line.epoch].join('/'),
    );
  const lines = all.filter(
    (line) => row.objects.includes(quoteTable(line.schema, line.table)) || syncOf(line) !== undefined,
  );
  return linesCovering(row, lines, (line) => syncOf(line)?.key ?? walkOf(line).key);
}

const stepOf = ({ migration, version, epoch, step }: LineageLine) => ({ migration, version, epoch, step });

async function anyHides(view: AuditView, lines: readonly LineageLine[]): Promise<boolean> {
  for (const line of lines) if (await view.hides(line)) return true;
  return false;
}

async function tableAsked(view: AuditView, question: RowQuestion): Promise<AuditedTable> {
  const name = [question.schema, question.table].filter((part) => part !== null).join('.');
  const wanted = view.databases.filter(({ name: of }) => question.database === null || of === question.database);
  if (wanted.length === 0) {
    throw new SwitchbackError('UnknownDatabase', `no database "${question.database}" with a ledger can be read`, {
      hint: `there are: ${view.databases.map((database) => database.name).join(', ') || 'none'}`,
      fields: { database: question.database },
    });
  }
  const tables = (await Promise.all(wanted.map((database) => tablesNamed(database, question)))).flat();
  const [table, ...others] = tables;
  if (table !== undefined && others.length === 0) return table;
  const places = tables.map(({ database, schema, table: of }) => `${database.name}/${schema}.${of}`).join(', ');
  throw new SwitchbackError(
    'UsageInvalid',
    table === undefined ? `there is no table "${name}"` : `several tables are called "${name}": ${places}`,
    {
      hint: table === undefined ? 'give TABLE as it is called now' : 'give TABLE as database/schema.table',
      fields: { table: name },
    },
  );
}

const keyTold = ({ schema, table }: AuditedTable): SwitchbackError =>
  new SwitchbackError('UsageInvalid', `"${schema}.${table}" holds personal data: its keys are no part of a question`, {
    hint: 'give the hash by which the key was shown (#…); or run `audit` where the databases are configured: it then asks them itself',
    fields: { schema, table },
  });

async function rowHashed({ home, name }: AuditView, table: AuditedTable, hash: string): Promise<AuditedRow> {
  const places = await rowsOfHash(table, await saltsOf(home, name), hash);
  const [place] = places;
  if (place !== undefined && places.length === 1) return locate(table, place);
  throw new SwitchbackError(
    'UsageInvalid',
    place === undefined
      ? `no row of "${table.schema}.${table.table}" has a key that migration "${name}" shows as ${hash}`
      : `${places.length} rows have a key that is shown as ${hash}`,
    { hint: 'hashes differ from run to run: name the migration that showed it', fields: { table: table.table } },
  );
}

const MARKERS: Readonly<Record<string, string>> = {
  0: 'the old side was written last; the new one follows it',
  1: 'the new side was written last; the old one follows it',
  2: 'the backfill filled it, and no client has written it since',
};

/** Of two tables the row with the later clock is the derived one; see `table-sync-sql.ts`. */
function pairWords({ from, to }: TableSyncDetail, clocks: PairClocks | null): string {
  if (clocks === null) return `it has no pair: there is no row of its key in the other table`;
  if (clocks.from === null && clocks.to === null) return `not paired yet: neither table follows the other one for it`;
  const later = (clock: string | null): bigint => {
    const amount = BigInt(clock ?? 0);
    return amount < 0n ? -amount : amount;
  };
  return later(clocks.to) > later(clocks.from)
    ? `"${from.table}" was written last; "${to.table}" follows it`
    : `"${to.table}" was written last; "${from.table}" ${clocks.from === null ? 'does not follow it' : 'follows it'}`;
}

async function markersOf(row: AuditedRow): Promise<RowAudit['markers']> {
  if (!row.exists) return [];
  const markers: RowAudit['markers'] = [];
  for (const { run, step, detail } of await findDualWrites(row.database, row.schema, row.table)) {
    const marker = await markerOf(row, detail.marker);
    const words =
      marker === null
        ? 'not migrated yet: its new side counts for nothing'
        : (MARKERS[marker] ?? 'a repair filled it, and no client has written it since');
    markers.push({ migration: run.migration, step, words });
  }
  for (const { run, step, detail } of await findTableSyncs(row.database, row.schema, row.table)) {
    markers.push({ migration: run.migration, step, words: pairWords(detail, await clocksOf(row, detail)) });
  }
  return markers;
}
