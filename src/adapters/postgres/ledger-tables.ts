/** The ledger's tables in each target database; see ledger-schema.ts. A release never changes what an earlier one made. */
export const TARGET_TABLES = `
CREATE TABLE switchback.fences (
  migration text PRIMARY KEY,
  generation bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE switchback.steps (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  phase text NOT NULL,
  kind text NOT NULL,
  state text NOT NULL CHECK (state IN ('intended', 'applied', 'undoing', 'undone', 'skipped')),
  generation bigint NOT NULL,
  note text,
  detail jsonb NOT NULL DEFAULT '{}',
  intended_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  applied_at timestamptz,
  undone_at timestamptz,
  PRIMARY KEY (migration, version, epoch, step)
) WITH (fillfactor = 50);

CREATE TABLE switchback.ranges (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  ordinal integer NOT NULL,
  generation bigint NOT NULL,
  lower_key text[],
  upper_key text[],
  cursor_key text[],
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'done')),
  keys_done bigint NOT NULL DEFAULT 0,
  rows_done bigint NOT NULL DEFAULT 0,
  chunk_rows integer NOT NULL,
  rows_per_second double precision,
  stop boolean NOT NULL DEFAULT false,
  updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  UNIQUE (migration, version, epoch, step, ordinal)
) WITH (fillfactor = 50);

CREATE TABLE switchback.lineage (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  direction text NOT NULL,
  kind text NOT NULL,
  object text NOT NULL,
  lower_key text[],
  upper_key text[],
  rows_changed bigint NOT NULL,
  requested_by text,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX lineage_by_object ON switchback.lineage (object, id);

CREATE TABLE switchback.row_errors (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  key text[] NOT NULL,
  sql_state text NOT NULL,
  message text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch, step, key)
);`;

/** What each run's tables look like when only the run itself changes them: what differs was changed by others. */
export const SCHEMA_BASELINES = `
CREATE TABLE switchback.baselines (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  relations jsonb NOT NULL,
  objects jsonb NOT NULL,
  changes bigint NOT NULL DEFAULT 0,
  seen_version text,
  taken_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch)
) WITH (fillfactor = 50);`;

/**
 * Values that went with a column or a table in a rollback, as texts. Found by the row's key; where the table has none,
 * by the whole row. `column` is empty where a whole row went. `place` is a digest of the key: each value is kept once.
 */
export const RESCUED_VALUES = `
CREATE TABLE switchback.rescued (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  "schema" text NOT NULL,
  "table" text NOT NULL,
  "column" text NOT NULL,
  key_columns text[],
  key text[],
  place uuid,
  value text,
  "row" jsonb,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX rescued_once ON switchback.rescued (migration, version, epoch, step, "schema", "table", "column", place);`;

/**
 * What rows of an altered range held before and after: for each a `bit_xor` of their hashes, which chunks and ranges add
 * up by `#`. Null where nobody looked.
 */
export const LINEAGE_DIGESTS = `
ALTER TABLE switchback.ranges ADD COLUMN before_digest bigint, ADD COLUMN after_digest bigint;
ALTER TABLE switchback.lineage ADD COLUMN before_digest bigint, ADD COLUMN after_digest bigint;`;

/**
 * Who walks through tables of this database right now. Unlogged: a lease is worth nothing after a crash, and is renewed
 * every second.
 */
export const WALKERS_BUDGET = `
CREATE UNLOGGED TABLE switchback.budget (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  generation bigint NOT NULL,
  parallelism integer NOT NULL,
  moving boolean NOT NULL,
  lease_until timestamptz NOT NULL,
  PRIMARY KEY (migration, version, epoch, step)
) WITH (fillfactor = 50);`;

/**
 * What rows held before a backfill with `preserve` and what it wrote, as texts: one line for each chunk. The arrays hold
 * the first column of all rows, then the second. Not compressed: that costs more time than it saves room.
 */
export const BEFORE_IMAGES = `
CREATE TABLE switchback.before_images (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  rows integer NOT NULL,
  keys text[] NOT NULL,
  before text[] NOT NULL,
  wrote text[] NOT NULL,
  failed boolean NOT NULL DEFAULT false,
  at timestamptz NOT NULL DEFAULT clock_timestamp()
);
ALTER TABLE switchback.before_images ALTER COLUMN keys SET STORAGE EXTERNAL, ALTER COLUMN before SET STORAGE EXTERNAL,
  ALTER COLUMN wrote SET STORAGE EXTERNAL;
CREATE INDEX before_images_by_step ON switchback.before_images (migration, version, epoch, step, failed, id);`;

/**
 * Keys that a comparison of two tables found to differ and has still to look at again. Those that are `hot` changed at
 * every look: the next pass looks at them, whatever it finds.
 */
export const SUSPECTS = `
CREATE TABLE switchback.suspects (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  key text[] NOT NULL,
  hot boolean NOT NULL DEFAULT false,
  PRIMARY KEY (migration, version, epoch, step, key)
);`;
