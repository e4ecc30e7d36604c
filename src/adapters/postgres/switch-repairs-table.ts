/**
 * Keys whose write reached one side of a switch only. Services with `src/switch` write lines and repair; the engine
 * counts them, and has what waits tried at once. Never a value: the key, the side that lacks it, the kind of error.
 *
 * `attempts` is 0 until somebody takes a line up, and the fence of whoever has it: it may only be ended with the number that
 * was taken. `not_before` is when it is due: next, or for a taken line, when it is free again. One line of each key that
 * nobody has taken, which more failures join, and one that is taken. Lines with `journal` stand for a write under way;
 * each has its own.
 */
export const REPAIRS = `
CREATE TABLE switchback.repairs (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  environment text NOT NULL,
  flag text NOT NULL,
  key text NOT NULL CHECK (octet_length(key) <= 1500),
  side text NOT NULL CHECK (side IN ('old', 'new')),
  error_class text NOT NULL,
  journal boolean NOT NULL DEFAULT false,
  failures bigint NOT NULL DEFAULT 1,
  attempts integer NOT NULL DEFAULT 0,
  taken_by text,
  not_before timestamptz NOT NULL DEFAULT clock_timestamp(),
  queued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_failed_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);
CREATE UNIQUE INDEX repairs_waiting ON switchback.repairs (environment, flag, side, key) WHERE attempts = 0 AND NOT journal;
CREATE UNIQUE INDEX repairs_taken ON switchback.repairs (environment, flag, side, key) WHERE attempts > 0;
CREATE INDEX repairs_by_key ON switchback.repairs (environment, flag, key);
CREATE INDEX repairs_due ON switchback.repairs (environment, flag, not_before, id);`;
