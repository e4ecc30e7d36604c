import { readAudit } from '../activities/read-audit.ts';
import { registeredMigration } from '../adapters/postgres/audit-read.ts';
import { Database, type Row } from '../adapters/postgres/database.ts';
import type { Status } from '../messages/index.ts';
import { NO_FACTS, type ReportFacts } from '../report/report-facts.ts';
import { keptStatus } from './home-ledger.ts';
import type { Settings } from './settings.ts';

/** The ledgers that a report is made of: the home ledger and those of the target databases. */
export interface Ledgers {
  status(name: string): Promise<Status | null>;
  facts(status: Status): Promise<ReportFacts>;
}
type Key = readonly [migration: string, version: number, epoch: number];

const KEY = 'migration = $1 AND version = $2 AND epoch = $3';
const text = (row: Row, column: string): string => row[column] ?? '';
/** Postgres writes `2026-03-01 10:00:00.5+00` (our sessions are in UTC); JSON has the form of ISO 8601. */
const iso = (at: string | null | undefined): string | null =>
  at == null ? null : new Date(at.replace(' ', 'T').replace(/\+00$/, 'Z')).toISOString();
const isoOf = (row: Row, column: string): string => iso(row[column]) ?? '';

/** Opens the ledgers for the time of `work`. A database that can't be read is named in the facts, not an error. */
export async function withLedgers<T>(settings: Settings, work: (ledgers: Ledgers) => Promise<T>): Promise<T> {
  const urls = settings.config?.databases ?? {};
  const databases = Object.entries(urls).map(([name, of]) => new Database(name, of));
  const home = databases.find(({ name }) => name === settings.config?.ledger) ?? null;
  try {
    return await work({
      status: async (name) => (home === null ? null : keptStatus(home, name)),
      facts: (status) => readFacts(databases, home, status, settings),
    });
  } finally {
    await Promise.all(databases.map((database) => database.close()));
  }
}

async function readFacts(
  databases: readonly Database[],
  home: Database | null,
  status: Status,
  settings: Settings,
): Promise<ReportFacts> {
  if (home === null) {
    const reason = settings.configProblem?.message ?? 'no home ledger is configured';
    return { ...NO_FACTS, unread: [{ database: 'the home ledger', reason }] };
  }
  const key: Key = [status.name, status.version, status.epoch];
  const parts = await Promise.all([
    part(home, () => readHome(home, key)),
    ...databases.map((database) => part(database, () => readTarget(database, key))),
    part(home, () => readRanges(databases, home, status)),
  ]);
  const facts: ReportFacts = { ...NO_FACTS };
  for (const one of parts) {
    facts.run ??= one.run ?? null;
    facts.rangesLeftOut += one.rangesLeftOut ?? 0;
    for (const list of ['audit', 'steps', 'failures', 'lineage', 'ranges', 'rowErrors', 'unread'] as const) {
      facts[list] = [...facts[list], ...(one[list] ?? [])] as never;
    }
  }
  facts.steps.sort((a, b) => (a.intendedAt < b.intendedAt ? -1 : 1));
  return facts;
}

async function part(database: Database, read: () => Promise<Partial<ReportFacts>>): Promise<Partial<ReportFacts>> {
  try {
    return await read();
  } catch (error) {
    return { unread: [{ database: database.name, reason: (error as Error).message }] };
  }
}

const hasTable = async (database: Database, table: string): Promise<boolean> =>
  (await database.query('SELECT to_regclass($1)::text AS name', [`switchback.${table}`]))[0]?.['name'] != null;

async function readHome(home: Database, key: Key): Promise<Partial<ReportFacts>> {
  if (!(await hasTable(home, 'migrations')))
    return { unread: [{ database: home.name, reason: 'it holds no home ledger' }] };
  const [row] = await home.query(
    `SELECT version, epoch, generation, direction, state, started_at, ended_at
     FROM switchback.migrations WHERE ${KEY}`,
    [...key],
  );
  const audit = await home.query(`SELECT at, type, by, identity, data FROM switchback.audit WHERE ${KEY} ORDER BY id`, [
    ...key,
  ]);
  const failures = await home.query(
    `SELECT step, direction, failures, last_error, at FROM switchback.failures WHERE ${KEY} AND failures > 0 ORDER BY at`,
    [...key],
  );
  return {
    failures: failures.map((one) => ({
      step: text(one, 'step'),
      direction: text(one, 'direction'),
      failures: Number(one['failures']),
      lastError: text(one, 'last_error'),
      at: isoOf(one, 'at'),
    })),
    run:
      row === undefined
        ? null
        : {
            version: Number(row['version']),
            epoch: Number(row['epoch']),
            generation: text(row, 'generation'),
            direction: text(row, 'direction'),
            state: text(row, 'state'),
            startedAt: isoOf(row, 'started_at'),
            endedAt: iso(row['ended_at']),
          },
    audit: audit.map((event) => ({
      at: isoOf(event, 'at'),
      type: text(event, 'type'),
      by: event['by'] ?? null,
      identity: event['identity'] ?? null,
      data: JSON.parse(event['data'] ?? '{}') as Record<string, unknown>,
    })),
  };
}

/** The newest ranges, with keys as people may read them. A ledger that can't be read is told by those who count. */
async function readRanges(
  databases: readonly Database[],
  home: Database,
  { name, version, epoch }: Status,
): Promise<Partial<ReportFacts>> {
  if ((await registeredMigration(home, name)) === null) return {};
  const audit = await readAudit(databases, home, { name }, { plainKeys: true });
  const ranges = audit.ranges.filter((range) => range.version === version && range.epoch === epoch);
  const shown = ranges.slice(-RANGES_SHOWN_MAX);
  return { ranges: shown, rangesLeftOut: audit.rangesLeftOut + ranges.length - shown.length };
}
const RANGES_SHOWN_MAX = 100;

async function readTarget(database: Database, key: Key): Promise<Partial<ReportFacts>> {
  if (!(await hasTable(database, 'steps'))) return {};
  const values = [...key];
  const steps = await database.query(
    `SELECT step, phase, kind, state, note, intended_at, applied_at, undone_at
     FROM switchback.steps WHERE ${KEY}`,
    values,
  );
  const lineage = await database.query(
    `SELECT object, step, direction, kind, sum(rows_changed)::text AS rows, count(*)::text AS events, min(at) AS since, max(at) AS until,
       bit_xor((to_jsonb(l) ->> 'before_digest')::bigint) AS before, bit_xor((to_jsonb(l) ->> 'after_digest')::bigint) AS after
     FROM switchback.lineage l WHERE ${KEY} GROUP BY object, step, direction, kind ORDER BY min(id)`,
    values,
  );
  const errors = await database.query(
    `SELECT step, sql_state, count(*)::text AS rows FROM switchback.row_errors WHERE ${KEY} GROUP BY step, sql_state ORDER BY 1, 2`,
    values,
  );
  const { name } = database;
  return {
    steps: steps.map((row) => ({
      database: name,
      step: text(row, 'step'),
      phase: text(row, 'phase'),
      kind: text(row, 'kind'),
      state: text(row, 'state'),
      note: row['note'] ?? null,
      intendedAt: isoOf(row, 'intended_at'),
      appliedAt: iso(row['applied_at']),
      undoneAt: iso(row['undone_at']),
    })),
    lineage: lineage.map((row) => ({
      database: name,
      object: text(row, 'object'),
      step: text(row, 'step'),
      direction: text(row, 'direction'),
      kind: text(row, 'kind'),
      rowsChanged: text(row, 'rows'),
      events: text(row, 'events'),
      before: row['before'] ?? null,
      after: row['after'] ?? null,
      from: isoOf(row, 'since'),
      to: isoOf(row, 'until'),
    })),
    rowErrors: errors.map((row) => ({
      database: name,
      step: text(row, 'step'),
      sqlState: text(row, 'sql_state'),
      rows: text(row, 'rows'),
    })),
  };
}
