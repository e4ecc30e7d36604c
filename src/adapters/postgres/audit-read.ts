import type { AuditedDecision, AuditedStep } from '../../messages/index.ts';
import { PII, type PiiLabel } from '../../plan/pii-label.ts';
import type { Database } from './database.ts';
import { instantOf } from './lineage-read.ts';
import { piiOf } from './personal-tables.ts';

/** A migration as the home ledger has it now. */
export interface RegisteredMigration {
  version: number;
  epoch: number;
  state: string;
  owner: string;
  namespace: string | null;
  requestedBy: string;
  startedAt: string;
  endedAt: string | null;
}

export async function registeredMigration(home: Database, name: string): Promise<RegisteredMigration | null> {
  const [table] = await home.query("SELECT to_regclass('switchback.migrations')::text AS name");
  if (table?.['name'] == null) return null;
  const [row] = await home.query(
    `SELECT version, epoch, state, owner, namespace, requested_by, to_json(started_at) #>> '{}' AS started, to_json(ended_at) #>> '{}' AS ended
     FROM switchback.migrations WHERE migration = $1`,
    [name],
  );
  if (row === undefined) return null;
  return {
    version: Number(row['version']),
    epoch: Number(row['epoch']),
    state: row['state'] ?? '',
    owner: row['owner'] ?? '',
    namespace: row['namespace'] ?? null,
    requestedBy: row['requested_by'] ?? '',
    startedAt: instantOf(row['started']),
    endedAt: row['ended'] === null || row['ended'] === undefined ? null : instantOf(row['ended']),
  };
}

/** What the plans of all migrations say of personal data, by migration. */
export async function planLabels(home: Database): Promise<ReadonlyMap<string, PiiLabel>> {
  const rows = await home.query(
    'SELECT migration, plan #>> $1 AS label FROM switchback.migrations WHERE plan #>> $1 IS NOT NULL',
    [['metadata', 'labels', PII]],
  );
  return new Map(rows.map((row) => [row['migration'] ?? '', piiOf(row['label'])]));
}

/** Salts of all runs of a migration, the newest first. */
export async function saltsOf(home: Database, name: string): Promise<string[]> {
  const rows = await home.query(
    'SELECT salt FROM switchback.salts WHERE migration = $1 ORDER BY version DESC, epoch DESC',
    [name],
  );
  return rows.map((row) => row['salt'] ?? '');
}

/** The newest `max` decisions of all versions, oldest first, and how many there are. */
export async function decisionsOf(
  home: Database,
  name: string,
  max: number,
): Promise<{ decisions: AuditedDecision[]; all: number }> {
  const [counted] = await home.query('SELECT count(*) AS events FROM switchback.audit WHERE migration = $1', [name]);
  const rows = await home.query(
    `SELECT version, epoch, event_key, type, by, identity, data, to_json(at) #>> '{}' AS at FROM switchback.audit
     WHERE migration = $1 ORDER BY id DESC LIMIT $2`,
    [name, max],
  );
  const decisions = rows.map((row) => ({
    key: row['event_key'] ?? '',
    at: instantOf(row['at']),
    version: Number(row['version']),
    epoch: Number(row['epoch']),
    type: row['type'] ?? '',
    by: row['by'] ?? null,
    identity: row['identity'] ?? null,
    data: JSON.parse(row['data'] ?? '{}') as Record<string, unknown>,
  }));
  return { decisions: decisions.toReversed(), all: Number(counted?.['events']) };
}

/** A step, with the expressions from which its columns follow. */
export type StepWithExpressions = Omit<AuditedStep, 'derives'> & {
  filled: {
    schema: string;
    table: string;
    source: { schema: string; table: string };
    expressions: Record<string, string>;
  } | null;
};

/** Steps of one version and epoch that left a record here. */
export async function auditedSteps(
  database: Database,
  { migration, version, epoch }: { migration: string; version: number; epoch: number },
): Promise<StepWithExpressions[]> {
  const rows = await database.query(
    `SELECT step, phase, kind, state, coalesce(detail -> 'dualWrite', detail -> 'tableSync', detail -> 'filled')::text AS filled,
       to_json(intended_at) #>> '{}' AS intended, to_json(applied_at) #>> '{}' AS applied, to_json(undone_at) #>> '{}' AS undone
     FROM switchback.steps WHERE migration = $1 AND version = $2 AND epoch = $3 ORDER BY intended_at, step`,
    [migration, version, epoch],
  );
  const instant = (at: string | null | undefined): string | null =>
    at === null || at === undefined ? null : instantOf(at);
  return rows.map((row) => ({
    database: database.name,
    version,
    epoch,
    step: row['step'] ?? '',
    phase: row['phase'] ?? '',
    kind: row['kind'] ?? '',
    state: row['state'] ?? '',
    intendedAt: instantOf(row['intended']),
    appliedAt: instant(row['applied']),
    undoneAt: instant(row['undone']),
    filled: filledOf(row['filled']),
  }));
}

/** A dual write says it of its sides, one between tables of the new one, a backfill of the columns that it sets. */
function filledOf(json: string | null | undefined): StepWithExpressions['filled'] {
  if (json === null || json === undefined) return null;
  const detail = JSON.parse(json) as {
    schema: string;
    table?: string;
    from?: { table: string };
    to?: { table: string };
    up?: Record<string, string>;
    down?: Record<string, string> | null;
    set?: Record<string, string>;
  };
  const { schema, from, to } = detail;
  if (from !== undefined && to !== undefined)
    return { schema, table: to.table, source: { schema, table: from.table }, expressions: detail.up ?? {} };
  const table = detail.table ?? '';
  const expressions = { ...detail.set, ...detail.up, ...detail.down };
  return Object.keys(expressions).length === 0 ? null : { schema, table, source: { schema, table }, expressions };
}

/** What the newest plans of these migrations say of the walks of their steps. */
export interface PlannedWalk {
  /** The columns that it walks along, where the plan names them. */
  key: string[] | null;
  /** The dual write that it is `of`. */
  of: string | null;
}

/** By `migration/step`; steps that say neither are left out. */
export async function plannedWalks(
  home: Database,
  migrations: readonly string[],
): Promise<ReadonlyMap<string, PlannedWalk>> {
  const rows = await home.query(
    `SELECT migration || '/' || (step ->> 'id') AS name, step -> 'key' AS key, step ->> 'of' AS of FROM switchback.migrations,
       jsonb_path_query(plan, '$.spec.phases[*].steps[*] ? (exists (@.key) || exists (@.of))') AS step
     WHERE migration = ANY ($1)`,
    [migrations],
  );
  return new Map(
    rows.map((row) => [
      row['name'] ?? '',
      {
        key: row['key'] == null ? null : [JSON.parse(row['key']) as string | string[]].flat(),
        of: row['of'] ?? null,
      },
    ]),
  );
}
