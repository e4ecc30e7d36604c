import {
  auditedSteps,
  decisionsOf,
  planLabels,
  registeredMigration,
  type StepWithExpressions,
} from '../adapters/postgres/audit-read.ts';
import type { Database } from '../adapters/postgres/database.ts';
import { keyHash, saltOf } from '../adapters/postgres/key-hash.ts';
import { hasLedger, type LineageLine, linesOfMigration } from '../adapters/postgres/lineage-read.ts';
import { isPersonal } from '../adapters/postgres/personal-tables.ts';
import { showKey } from '../adapters/postgres/hidden-values.ts';
import {
  type AlteredRange,
  type Audit,
  type AuditedStep,
  type AuditQuestion,
  SwitchbackError,
} from '../messages/index.ts';
import type { PiiLabel } from '../plan/pii-label.ts';
import { columnsOf, SqlFault } from '../sql/index.ts';
import { auditRow } from './audit-row.ts';
import { type AuditView, shown } from './audit-view.ts';

/** Temporal takes 2 MiB in one answer; a range or a decision has up to a kilobyte. */
const RANGES_MAX = 1_000;
const DECISIONS_MAX = 500;

/**
 * Reads the ledgers. A database that can't be read is named in the answer. Throws `UnknownMigration`, `UsageInvalid`,
 * `KeyMissing`.
 *
 * @param plainKeys whether keys of tables with personal data may be given as they are: not where questions are recorded
 */
export async function readAudit(
  databases: readonly Database[],
  home: Database,
  { name, row }: AuditQuestion,
  { plainKeys }: { plainKeys: boolean },
): Promise<Audit> {
  const registered = await registeredMigration(home, name);
  if (registered === null) {
    throw new SwitchbackError('UnknownMigration', `the home ledger knows no migration "${name}"`, {
      hint: '`switchback list` shows what there is',
      fields: { migration: name },
    });
  }
  const run = { migration: name, version: registered.version, epoch: registered.epoch, digest: '', generation: 0 };
  const labels = await planLabels(home);
  const salt = await saltOf(home, run);
  const readable: Database[] = [];
  const unread: Audit['unread'] = [];
  for (const database of databases) {
    try {
      if (await hasLedger(database)) readable.push(database);
    } catch (error) {
      unread.push({ database: database.name, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  const view: AuditView = {
    name,
    databases: readable,
    home,
    hides: hidesBy(readable, labels),
    hash: (place) => keyHash(salt, place),
  };
  const lines: LineageLine[] = [];
  const steps: AuditedStep[] = [];
  let count = 0;
  for (const database of readable) {
    const altered = await linesOfMigration(database, name, RANGES_MAX);
    lines.push(...altered.lines);
    count += altered.all;
    steps.push(...(await auditedSteps(database, run)).map(withDerivation));
  }
  const kept = lines.toSorted((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).slice(-RANGES_MAX);
  const { decisions, all } = await decisionsOf(home, name, DECISIONS_MAX);
  const ranges: AlteredRange[] = [];
  for (const line of kept) ranges.push(shown(line, (await view.hides(line)) ? view.hash : showKey));
  return {
    name,
    ...registered,
    decisions,
    decisionsLeftOut: all - decisions.length,
    steps: steps.toSorted((a, b) => (a.intendedAt < b.intendedAt ? -1 : a.intendedAt > b.intendedAt ? 1 : 0)),
    ranges,
    rangesLeftOut: count - ranges.length,
    row: row === undefined ? null : await auditRow(view, row, { plainKeys }),
    places: Object.fromEntries(readable.map((database) => [database.name, database.place])),
    unread,
  };
}

function hidesBy(databases: readonly Database[], labels: ReadonlyMap<string, PiiLabel>): AuditView['hides'] {
  const known = new Map<string, Promise<boolean>>();
  return ({ database: name, schema, table, migration }) => {
    const database = databases.find((one) => one.name === name);
    if (database === undefined) return Promise.resolve(true);
    const of = JSON.stringify([name, schema, table, migration]);
    const hides = known.get(of) ?? isPersonal({ database, schema, table }, labels.get(migration) ?? []);
    known.set(of, hides);
    return hides;
  };
}

function withDerivation({ filled, ...step }: StepWithExpressions): AuditedStep {
  if (filled === null) return { ...step, derives: null };
  const { expressions, ...place } = filled;
  const columns = Object.entries(expressions).map(([name, expression]) => ({
    name,
    from: reads(expression),
    expression,
  }));
  return { ...step, derives: { ...place, columns } };
}

function reads(expression: string): string[] {
  try {
    return columnsOf(expression);
  } catch (error) {
    // The ledger may hold what another version's parser took.
    if (error instanceof SqlFault) return [];
    throw error;
  }
}
