/**
 * The outbox of notifications, in the home ledger: one row for each event and webhook, written in the transaction that
 * puts the event on record. `payload` is the CloudEvent without its time, which is `at`: a row is due from then on.
 * `started_at` is when the workflow that delivers it was started, null before.
 */
export const NOTIFICATIONS = `
CREATE TABLE switchback.notifications (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  event_key text NOT NULL,
  webhook text NOT NULL,
  namespace text NOT NULL,
  event text NOT NULL,
  payload json NOT NULL,
  at timestamptz NOT NULL,
  state text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'withdrawn', 'given-up')),
  attempts integer NOT NULL DEFAULT 0,
  refusals integer NOT NULL DEFAULT 0,
  last_error text,
  started_at timestamptz,
  ended_at timestamptz,
  UNIQUE (migration, version, epoch, event_key, webhook)
) WITH (fillfactor = 50);
CREATE INDEX notifications_pending ON switchback.notifications (id) WHERE state = 'pending';`;
