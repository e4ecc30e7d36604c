import type { EventRef, NotificationEvent, NotificationRef, RunRef, UntimedEvent } from '../../messages/index.ts';
import type { Queryable } from './database.ts';
import { jsonOf } from './json-text.ts';

/** What is to be told to one webhook of an event, as it goes into the outbox with the event itself. */
export interface Notice {
  /** Of the event that it tells. */
  key: string;
  webhook: string;
  namespace: string;
  event: NotificationEvent;
  payload: UntimedEvent<object>;
}
/** A reminder: told `beforeMs` before an instant, where that is still to come. */
export interface Reminder extends Notice {
  instant: string;
  beforeMs: number;
}

const ROW = 'migration = $1 AND version = $2 AND epoch = $3 AND event_key = $4 AND webhook = $5';
const rowKey = ({ migration, version, epoch, key, webhook }: NotificationRef) =>
  [migration, version, epoch, key, webhook] as const;

/** Puts reminders into the outbox; one whose time is over, by the ledger's clock, is left out. */
export async function remind(session: Queryable, run: RunRef, reminders: readonly Reminder[]): Promise<void> {
  for (const { key, webhook, namespace, event, payload, instant, beforeMs } of reminders) {
    await session.query(
      `INSERT INTO switchback.notifications (migration, version, epoch, event_key, webhook, namespace, event, payload, at)
       SELECT $1, $2, $3, $4, $5, $6, $7, $8, due FROM (SELECT $9::timestamptz - make_interval(secs => $10::double precision / 1000) AS due) d
       WHERE due > clock_timestamp() ON CONFLICT DO NOTHING`,
      [run.migration, run.version, run.epoch, key, webhook, namespace, event, jsonOf(payload), instant, beforeMs],
    );
  }
}

/** What is still to be told of a step's deprecation is told no more. */
export async function withdrawNotices(session: Queryable, run: RunRef, step: string): Promise<void> {
  await session.query(
    `UPDATE switchback.notifications SET state = 'withdrawn', ended_at = clock_timestamp()
     WHERE migration = $1 AND version = $2 AND epoch = $3 AND state = 'pending'
       AND event IN ('deprecated', 'deprecation-near') AND payload #>> '{data,step}' = $4`,
    [run.migration, run.version, run.epoch, step],
  );
}

/** A page of what is due and not delivered, in the order in which it came. `all`: also what has been started before. */
export async function dueNotices(
  home: Queryable,
  of: { namespace: string; afterId: string; all: boolean; max: number },
): Promise<(NotificationRef & { id: string; event: string })[]> {
  const rows = await home.query(
    `SELECT id, migration, version, epoch, event_key, webhook, event FROM switchback.notifications
     WHERE state = 'pending' AND id > $1 AND namespace = $2 AND at <= clock_timestamp() AND ($3 OR started_at IS NULL)
     ORDER BY id LIMIT $4`,
    [of.afterId, of.namespace, of.all, of.max],
  );
  return rows.map((row) => ({
    id: row['id'] ?? '',
    migration: row['migration'] ?? '',
    version: Number(row['version']),
    epoch: Number(row['epoch']),
    key: row['event_key'] ?? '',
    webhook: row['webhook'] ?? '',
    event: row['event'] ?? '',
  }));
}

export async function noteStarted(home: Queryable, ref: NotificationRef): Promise<void> {
  await home.query(
    `UPDATE switchback.notifications SET started_at = coalesce(started_at, clock_timestamp()) WHERE ${ROW}`,
    rowKey(ref),
  );
}

/** What is to be sent now. */
export interface Attempt {
  event: string;
  /** The whole CloudEvent, as JSON. */
  body: string;
  attempts: number;
  refusals: number;
}

/** Counts an attempt and answers with what to send; null where it is delivered, withdrawn or given up already. */
export async function beginAttempt(home: Queryable, ref: NotificationRef): Promise<Attempt | null> {
  const [row] = await home.query(
    `UPDATE switchback.notifications SET attempts = attempts + 1 WHERE ${ROW} AND state = 'pending'
     RETURNING event, payload::text, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS at, attempts, refusals`,
    rowKey(ref),
  );
  if (row === undefined) return null;
  const event = JSON.parse(row['payload'] ?? '{}') as object;
  return {
    event: row['event'] ?? '',
    body: JSON.stringify({ ...event, time: row['at'] }),
    attempts: Number(row['attempts']),
    refusals: Number(row['refusals']),
  };
}

/**
 * A reminder of a deprecation that no longer stands as it was said is withdrawn: it was taken back, or a later one of the
 * same version of the interface has another sunset.
 */
export async function withdrawUnfounded(home: Queryable, ref: NotificationRef): Promise<void> {
  await home.query(
    `UPDATE switchback.notifications SET state = 'withdrawn', ended_at = clock_timestamp()
     WHERE ${ROW} AND state = 'pending' AND event = 'deprecation-near' AND NOT EXISTS (
       SELECT FROM switchback.deprecations d
       WHERE d.migration = $1 AND d.version = $2 AND d.epoch = $3 AND d.step = payload #>> '{data,step}'
         AND NOT EXISTS (
           SELECT FROM switchback.deprecations later
           WHERE later.interface = d.interface AND later.interface_version = d.interface_version
             AND later.recorded_at > d.recorded_at AND later.sunset_at <> d.sunset_at))`,
    rowKey(ref),
  );
}

export async function noteDelivered(home: Queryable, ref: NotificationRef): Promise<void> {
  await home.query(
    `UPDATE switchback.notifications SET state = 'delivered', last_error = NULL, ended_at = clock_timestamp()
     WHERE ${ROW} AND state = 'pending'`,
    rowKey(ref),
  );
}

export async function noteFailed(
  home: Queryable,
  ref: NotificationRef,
  { reason, refused }: { reason: string; refused: boolean },
): Promise<void> {
  await home.query(`UPDATE switchback.notifications SET last_error = $6, refusals = refusals + $7::int WHERE ${ROW}`, [
    ...rowKey(ref),
    reason,
    refused ? 1 : 0,
  ]);
}

/** Gives it up, and puts that on record; false where it has ended already. */
export async function giveUp(
  session: Queryable,
  ref: NotificationRef,
  reason: string,
): Promise<{ event: string; attempts: number } | null> {
  const [row] = await session.query(
    `WITH given_up AS (
       UPDATE switchback.notifications SET state = 'given-up', last_error = $6, ended_at = clock_timestamp()
       WHERE ${ROW} AND state = 'pending' RETURNING event, attempts),
     noted AS (
       INSERT INTO switchback.audit (migration, version, epoch, event_key, type, by, identity, data)
       SELECT $1, $2, $3, 'given-up/' || $5 || '/' || $4, 'notification-given-up', NULL, 'claimed',
         jsonb_build_object('webhook', $5::text, 'event', event, 'attempts', attempts, 'reason', $6::text) FROM given_up
       ON CONFLICT (migration, version, epoch, event_key) DO NOTHING)
     SELECT event, attempts FROM given_up`,
    [...rowKey(ref), reason],
  );
  return row === undefined ? null : { event: row['event'] ?? '', attempts: Number(row['attempts']) };
}

/** What the plan on record says; null where there is none of this version. */
export async function recordedPlan(session: Queryable, { migration, version }: EventRef | RunRef): Promise<unknown> {
  const [row] = await session.query(
    'SELECT plan::text FROM switchback.migrations WHERE migration = $1 AND version = $2',
    [migration, version],
  );
  return row?.['plan'] == null ? null : (JSON.parse(row['plan']) as unknown);
}
