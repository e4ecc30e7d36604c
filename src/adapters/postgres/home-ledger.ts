import {
  type AuditEvent,
  type Direction,
  type Heartbeat,
  type RunRef,
  type Status,
  SwitchbackError,
} from '../../messages/index.ts';
import type { Database, Queryable } from './database.ts';
import { jsonOf, writable } from './json-text.ts';
import type { Notice } from './notifications.ts';

/**
 * The home ledger: one row per migration with its direction, epoch and generation, and what was decided. It is the
 * truth across terminations and resets of the workflow: a start finds what is recorded here and goes on in it.
 */
export interface Registration {
  migration: string;
  version: number;
  digest: string;
  owner: string;
  requestedBy: string;
  runId: string;
  /** Temporal's namespace: within one, Temporal sees to it that a migration runs once. */
  namespace: string;
  plan: unknown;
  /** The highest fence in the databases: above the ledger's own generation where that is an older copy of itself. */
  fence?: number;
}
export type BeginOutcome =
  | { kind: 'run'; run: RunRef; direction: Direction; resumed: boolean; requestedBy: string; startedAt: string }
  | { kind: 'nothing-to-do'; endedAt: string };

const VERSION_KEY = 'migration = $1 AND version = $2 AND epoch = $3';
const versionKey = (run: RunRef): [string, number, number] => [run.migration, run.version, run.epoch];

export class HomeLedger {
  readonly database: Database;
  constructor(database: Database) {
    this.database = database;
  }

  /** Whether `begin` would start this version anew, in a new epoch: nothing of it has been done yet. */
  async startsAnew(migration: string, version: number): Promise<boolean> {
    const [row] = await this.database.query(
      'SELECT version, state, generation FROM switchback.migrations WHERE migration = $1',
      [migration],
    );
    if (row === undefined || row['generation'] === '0') return true;
    return row['version'] === String(version) ? row['state'] === 'rolled-back' : Number(row['version']) < version;
  }

  /** Registers a run, or takes over the recorded one: raises the generation and answers with the direction to go. */
  async begin(of: Registration): Promise<BeginOutcome> {
    const requestedBy = writable(of.requestedBy);
    const fence = of.fence ?? 0;
    return this.database.transaction(async (session) => {
      await session.query(
        `INSERT INTO switchback.migrations
           (migration, version, digest, epoch, generation, direction, state, owner, requested_by, run_id, plan, namespace)
         VALUES ($1, $2, $3, 1, 0, 'up', 'running', $4, $5, $6, $7, $8) ON CONFLICT (migration) DO NOTHING`,
        [of.migration, of.version, of.digest, of.owner, requestedBy, of.runId, jsonOf(of.plan), of.namespace],
      );
      const [row] = await session.query('SELECT * FROM switchback.migrations WHERE migration = $1 FOR UPDATE', [
        of.migration,
      ]);
      if (row === undefined) throw new Error('the row just written is not there');
      const owner = row['namespace'] ?? of.namespace;
      if (row['state'] === 'running' && owner !== of.namespace) throw otherNamespace(of, owner);
      const known = Number(row['version']);
      const unfinished = row['state'] === 'running' || row['state'] === 'failed';
      if (known > of.version || (known < of.version && unfinished)) throw versionError(of, known, row['state'] ?? '');
      if (known === of.version) {
        if (row['digest'] !== of.digest) throw planChanged(of.migration, of.version, row['digest'] ?? '', of.digest);
        if (row['state'] === 'completed') return { kind: 'nothing-to-do', endedAt: row['ended_at'] ?? '' };
      }
      // The answer to an earlier call of this same run was lost: nothing more to raise.
      if (row['run_id'] === of.runId && row['generation'] !== '0' && Number(row['generation']) >= fence)
        return outcomeOf(row, of, true);
      const anew = known !== of.version || row['state'] === 'rolled-back';
      const [updated] = await session.query(
        `UPDATE switchback.migrations SET version = $2, digest = $3, run_id = $4, requested_by = $5, owner = $6, plan = $7,
           namespace = $9, generation = greatest(generation, $10) + 1, state = 'running', ended_at = NULL,
           epoch = CASE WHEN version <> $2 THEN 1 WHEN $8 THEN epoch + 1 ELSE epoch END,
           direction = CASE WHEN $8 THEN 'up' ELSE direction END,
           started_at = CASE WHEN $8 OR generation = 0 THEN clock_timestamp() ELSE started_at END
         WHERE migration = $1 RETURNING *`,
        [
          of.migration,
          of.version,
          of.digest,
          of.runId,
          requestedBy,
          of.owner,
          jsonOf(of.plan),
          anew,
          of.namespace,
          fence,
        ],
      );
      return outcomeOf(updated ?? row, of, row['generation'] !== '0' && !anew);
    });
  }

  /** Throws `Fenced` unless `run` is the newest generation and `runId` is the workflow run that registered it. */
  async assertRun(run: RunRef, runId: string): Promise<void> {
    const [row] = await this.database.query(
      'SELECT generation, run_id FROM switchback.migrations WHERE migration = $1',
      [run.migration],
    );
    if (row?.['run_id'] === runId && row['generation'] === String(run.generation)) return;
    throw anotherRun(run);
  }

  /**
   * Turns the run round, once: from here on it goes down. Answers with the run under its new generation. Throws
   * `Fenced` where `runId` is not the workflow run that is registered.
   */
  async turnDown(run: RunRef, runId: string): Promise<RunRef> {
    return this.database.transaction(async (session) => {
      const [row] = await session.query(
        'SELECT generation, direction, run_id FROM switchback.migrations WHERE migration = $1 FOR UPDATE',
        [run.migration],
      );
      if (row?.['run_id'] !== runId) throw anotherRun(run);
      if (row?.['direction'] === 'down') return { ...run, generation: Number(row['generation']) };
      await session.query(
        "UPDATE switchback.migrations SET direction = 'down', generation = generation + 1 WHERE migration = $1",
        [run.migration],
      );
      return { ...run, generation: Number(row?.['generation']) + 1 };
    });
  }

  /**
   * Raises the generation without turning the run round: what was under way under the old one can't take effect any
   * more. Throws `Fenced` where `runId` is not the workflow run that is registered.
   */
  async raise(run: RunRef, runId: string): Promise<RunRef> {
    const [row] = await this.database.query(
      'UPDATE switchback.migrations SET generation = generation + 1 WHERE migration = $1 AND run_id = $2 RETURNING generation',
      [run.migration, runId],
    );
    if (row === undefined) throw anotherRun(run);
    return { ...run, generation: Number(row['generation']) };
  }

  /** Ends the run: its state, and its claims freed, in one transaction. Does nothing where another run came since. */
  async end(run: RunRef, state: 'completed' | 'rolled-back' | 'failed', status: Status): Promise<void> {
    await this.database.transaction(async (session) => {
      const [ended] = await session.query(
        `UPDATE switchback.migrations SET state = $2, ended_at = coalesce(ended_at, clock_timestamp()), status = $3
         WHERE migration = $1 AND generation <= $4 RETURNING migration`,
        [run.migration, state, jsonOf(status), run.generation],
      );
      if (ended === undefined) return;
      await session.query('DELETE FROM switchback.claims WHERE migration = $1', [run.migration]);
      await session.query(`DELETE FROM switchback.progress WHERE ${VERSION_KEY}`, versionKey(run));
    });
  }

  /**
   * Writes decisions and other events, the status as people see it, and what is to be told to webhooks. An event that is
   * there already stays, and is not told again.
   */
  async record(
    run: RunRef,
    events: readonly AuditEvent[],
    status: Status | null,
    { notices = [], session = this.database }: { notices?: readonly Notice[]; session?: Queryable } = {},
  ): Promise<void> {
    // One statement: this is written at every step of every run.
    await session.query(
      `WITH noted AS (
         INSERT INTO switchback.audit (migration, version, epoch, event_key, type, by, identity, data)
         SELECT $1::text, $2::integer, $3::integer, event->>'key', event->>'type', event->>'by', 'claimed', (event->'data')::jsonb
         FROM json_array_elements($4::json) WITH ORDINALITY events (event, number) ORDER BY number
         ON CONFLICT (migration, version, epoch, event_key) DO NOTHING RETURNING event_key, at)${notices.length === 0 ? '' : OUTBOX}
       UPDATE switchback.migrations SET status = $5::jsonb WHERE migration = $1 AND generation <= $6 AND $5::jsonb IS NOT NULL`,
      [
        ...versionKey(run),
        jsonOf(events),
        status === null ? null : jsonOf(status),
        run.generation,
        ...(notices.length === 0 ? [] : [noticesJson(notices)]),
      ],
    );
  }

  /** Events of these types in this version and epoch, oldest first. */
  async events(
    run: RunRef,
    types: readonly string[],
  ): Promise<{ key: string; by: string | null; data: Record<string, unknown> }[]> {
    const rows = await this.database.query(
      `SELECT event_key, by, data FROM switchback.audit WHERE ${VERSION_KEY} AND type = ANY ($4) ORDER BY id`,
      [...versionKey(run), types],
    );
    return rows.map((row) => ({
      key: row['event_key'] ?? '',
      by: row['by'] ?? null,
      data: JSON.parse(row['data'] ?? '{}') as Record<string, unknown>,
    }));
  }

  /** Counts a real failure of a step and answers with the count; Temporal's attempts count other things too. */
  async countFailure(run: RunRef, step: string, direction: Direction, message: string): Promise<number> {
    const [row] = await this.database.query(
      `INSERT INTO switchback.failures (migration, version, epoch, step, direction, failures, last_error)
       VALUES ($1, $2, $3, $4, $5, 1, $6)
       ON CONFLICT (migration, version, epoch, step, direction)
       DO UPDATE SET failures = switchback.failures.failures + 1, last_error = excluded.last_error, at = clock_timestamp()
       RETURNING failures`,
      [...versionKey(run), step, direction, writable(message.slice(0, 2000))],
    );
    return Number(row?.['failures']);
  }

  /** Starts the count of failures anew: a person said 'retry'. */
  async forgiveFailures(run: RunRef, step: string): Promise<void> {
    await this.database.query(`DELETE FROM switchback.failures WHERE ${VERSION_KEY} AND step = $4`, [
      ...versionKey(run),
      step,
    ]);
  }

  /** Keeps the newest heartbeat of a step where status and board find it. */
  async saveProgress(run: RunRef, heartbeat: Heartbeat): Promise<void> {
    await this.database.query(
      `INSERT INTO switchback.progress (migration, version, epoch, step, details) VALUES ($1, $2, $3, $4, $5)
       ON CONFLICT (migration, version, epoch, step) DO UPDATE SET details = excluded.details, at = clock_timestamp()`,
      [...versionKey(run), heartbeat.step, jsonOf(heartbeat)],
    );
  }

  async readProgress(run: RunRef): Promise<Heartbeat[]> {
    const rows = await this.database.query(
      `SELECT details FROM switchback.progress WHERE ${VERSION_KEY}`,
      versionKey(run),
    );
    return rows.map((row) => JSON.parse(row['details'] ?? 'null') as Heartbeat);
  }

  /** The run on record under a name; null where there is none. */
  async registered(migration: string): Promise<RunRef | null> {
    const [row] = await this.database.query(
      'SELECT version, digest, epoch, generation FROM switchback.migrations WHERE migration = $1',
      [migration],
    );
    if (row === undefined) return null;
    return {
      migration,
      version: Number(row['version']),
      digest: row['digest'] ?? '',
      epoch: Number(row['epoch']),
      generation: Number(row['generation']),
    };
  }

  /** Lets a run of any namespace take the migration over. */
  async disown(migration: string): Promise<void> {
    await this.database.query('UPDATE switchback.migrations SET namespace = NULL WHERE migration = $1', [migration]);
  }

  /** States of the migrations named: null where there is none of that name. */
  async statesOf(migrations: readonly string[]): Promise<Record<string, string | null>> {
    const rows = await this.database.query(
      'SELECT migration, state FROM switchback.migrations WHERE migration = ANY($1)',
      [migrations],
    );
    const states = new Map(rows.map((row) => [row['migration'], row['state'] ?? null]));
    return Object.fromEntries(migrations.map((name) => [name, states.get(name) ?? null]));
  }
}

/** What is told of events goes with them; the payload is JSON in a text, so that it is sent as it was written. */
const OUTBOX = `, outbox AS (
         INSERT INTO switchback.notifications (migration, version, epoch, event_key, webhook, namespace, event, payload, at)
         SELECT $1, $2, $3, noted.event_key, notice->>'webhook', notice->>'namespace', notice->>'event', (notice->>'payload')::json, noted.at
         FROM json_array_elements($7::json) WITH ORDINALITY notices (notice, number) JOIN noted ON noted.event_key = notice->>'key'
         ORDER BY number ON CONFLICT DO NOTHING)`;

const noticesJson = (notices: readonly Notice[]): string =>
  jsonOf(notices.map((notice) => ({ ...notice, payload: jsonOf(notice.payload) })));

const anotherRun = (run: RunRef): SwitchbackError =>
  new SwitchbackError('Fenced', `another run of migration "${run.migration}" is registered in the home ledger`, {
    fields: { migration: run.migration, generation: run.generation },
  });

const outcomeOf = (row: Record<string, string | null>, of: Registration, resumed: boolean): BeginOutcome => ({
  kind: 'run',
  run: {
    migration: of.migration,
    version: of.version,
    digest: of.digest,
    epoch: Number(row['epoch']),
    generation: Number(row['generation']),
  },
  direction: row['direction'] as Direction,
  resumed,
  requestedBy: row['requested_by'] ?? of.requestedBy,
  startedAt: new Date(row['started_at'] ?? '').toISOString(),
});

/** The same words wherever a changed plan is met: at the start, and by the client. */
export const planChanged = (migration: string, version: number, recorded: string, given: string): SwitchbackError =>
  new SwitchbackError(
    'PlanChanged',
    `migration "${migration}" version ${version} is on record with digest ${recorded}; the plan given has digest ${given}`,
    {
      hint: 'a changed plan is a new version: raise metadata.version',
      fields: { migration, version, recorded, given },
    },
  );

const otherNamespace = (of: Registration, owner: string): SwitchbackError =>
  new SwitchbackError(
    'OtherNamespace',
    `migration "${of.migration}" is under way in Temporal's namespace "${owner}"; this one is "${of.namespace}"`,
    {
      hint: `give each namespace a home ledger of its own; where that run is gone for good, \`switchback release ${of.migration}\` lets this one go on`,
      fields: { migration: of.migration, namespace: owner },
    },
  );

const versionError = (of: Registration, known: number, state: string): SwitchbackError =>
  known > of.version
    ? new SwitchbackError(
        'VersionUnfinished',
        `migration "${of.migration}" is at version ${known} already; the plan given is version ${of.version}`,
        {
          hint: `start version ${known} or a later one`,
          fields: { migration: of.migration, known, given: of.version },
        },
      )
    : new SwitchbackError(
        'VersionUnfinished',
        `version ${known} of migration "${of.migration}" is ${state}, so version ${of.version} can't start`,
        {
          hint: `start version ${known} again so that it completes or rolls back first`,
          fields: { migration: of.migration, known, given: of.version },
        },
      );
