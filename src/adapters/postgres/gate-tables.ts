/**
 * What gates have seen, in the home ledger. A window is written once and never changed: counts of both paths between two
 * looks, while the flag stood at one exposure. `series` begins anew when a person lets a failed gate try again.
 * `gate_looks` has the window that is open and where cumulative counters stood when it was opened.
 *
 * `flag_states.changed_at` is when the last change of a flag began; `stages.new_only_since` since when a path has been
 * written by the new side alone, until the old one answers again.
 */
export const GATES = `
ALTER TABLE switchback.flag_states ADD COLUMN changed_at timestamptz;
ALTER TABLE switchback.stages ADD COLUMN new_only_since timestamptz;

CREATE TABLE switchback.gate_windows (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  metric text NOT NULL,
  number integer NOT NULL,
  series integer NOT NULL,
  stop integer NOT NULL,
  began_at timestamptz NOT NULL,
  ended_at timestamptz NOT NULL,
  old_total double precision NOT NULL,
  old_bad double precision NOT NULL,
  new_total double precision NOT NULL,
  new_bad double precision NOT NULL,
  PRIMARY KEY (migration, version, epoch, step, metric, number)
);

CREATE TABLE switchback.gate_looks (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  number integer NOT NULL,
  series integer NOT NULL,
  stop integer NOT NULL,
  opened_at timestamptz NOT NULL,
  counters jsonb NOT NULL,
  PRIMARY KEY (migration, version, epoch, step)
) WITH (fillfactor = 50);`;
