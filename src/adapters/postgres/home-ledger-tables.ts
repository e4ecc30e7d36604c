/** The home ledger's tables, in one of the target databases; see ledger-schema.ts. */
export const HOME_TABLES = `
CREATE TABLE switchback.migrations (
  migration text PRIMARY KEY,
  version integer NOT NULL,
  digest text NOT NULL,
  epoch integer NOT NULL,
  generation bigint NOT NULL,
  direction text NOT NULL CHECK (direction IN ('up', 'down')),
  state text NOT NULL CHECK (state IN ('running', 'completed', 'rolled-back', 'failed')),
  owner text NOT NULL,
  requested_by text NOT NULL,
  run_id text NOT NULL,
  namespace text,
  plan jsonb NOT NULL,
  status jsonb,
  started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz
) WITH (fillfactor = 50);

CREATE TABLE switchback.claims (
  database text NOT NULL,
  schema text NOT NULL,
  "table" text NOT NULL,
  migration text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (database, schema, "table")
);

CREATE TABLE switchback.flag_states (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  project text NOT NULL,
  environment text NOT NULL,
  flag text NOT NULL,
  captured jsonb NOT NULL,
  previous jsonb NOT NULL,
  ours jsonb NOT NULL,
  confirmed boolean NOT NULL DEFAULT false,
  captured_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  restored_at timestamptz,
  PRIMARY KEY (migration, version, epoch, step)
) WITH (fillfactor = 50);

CREATE TABLE switchback.rollouts (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  position jsonb NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch, step)
) WITH (fillfactor = 50);

CREATE TABLE switchback.failures (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  direction text NOT NULL,
  failures integer NOT NULL,
  last_error text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch, step, direction)
) WITH (fillfactor = 50);

CREATE TABLE switchback.progress (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  details jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch, step)
) WITH (fillfactor = 50);

CREATE TABLE switchback.audit (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  event_key text NOT NULL,
  type text NOT NULL,
  by text,
  identity text,
  data jsonb NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (migration, version, epoch, event_key)
);`;

/** Schemas that `check` and starts have seen, by digest: for telling what a base state differs in. */
export const SCHEMA_SNAPSHOTS = `
CREATE TABLE switchback.schema_snapshots (
  digest text PRIMARY KEY,
  database text NOT NULL,
  objects jsonb NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);`;

/** Versions of interfaces that are deprecated: services ask for them and say so in their answers' headers. */
export const DEPRECATIONS = `
CREATE TABLE switchback.deprecations (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  interface text NOT NULL,
  interface_version text NOT NULL,
  deprecated_at timestamptz NOT NULL,
  sunset_at timestamptz NOT NULL,
  link text,
  recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch, step)
);`;

/** A secret of each run, by which keys of tables with personal data are told apart without being told. */
export const SALTS = `
CREATE TABLE switchback.salts (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  salt text NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch)
);
REVOKE ALL ON switchback.salts FROM PUBLIC;`;
