import { noWrites } from './database-error.ts';
import { assertSettings, type Database, type Queryable } from './database.ts';

/**
 * The ledger's tables in each target database, and the home ledger's in one of them. Created and upgraded by the
 * worker. A version is never changed after a release: a change is a new entry.
 */
const TARGET_TABLES = `
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

const HOME_TABLES = `
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
const SCHEMA_SNAPSHOTS = `
CREATE TABLE switchback.schema_snapshots (
  digest text PRIMARY KEY,
  database text NOT NULL,
  objects jsonb NOT NULL,
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);`;

/** What each run's tables look like when only the run itself changes them: what differs was changed by others. */
const SCHEMA_BASELINES = `
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
const RESCUED_VALUES = `
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

/** Versions of interfaces that are deprecated: services ask for them and say so in their answers' headers. */
const DEPRECATIONS = `
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

/**
 * What rows of an altered range held before and after: for each a `bit_xor` of their hashes, which chunks and ranges add
 * up by `#`. Null where nobody looked.
 */
const LINEAGE_DIGESTS = `
ALTER TABLE switchback.ranges ADD COLUMN before_digest bigint, ADD COLUMN after_digest bigint;
ALTER TABLE switchback.lineage ADD COLUMN before_digest bigint, ADD COLUMN after_digest bigint;`;

/** A secret of each run, by which keys of tables with personal data are told apart without being told. */
const SALTS = `
CREATE TABLE switchback.salts (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  salt text NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (migration, version, epoch)
);
REVOKE ALL ON switchback.salts FROM PUBLIC;`;

/**
 * Who walks through tables of this database right now. Unlogged: a lease is worth nothing after a crash, and is renewed
 * every second.
 */
const WALKERS_BUDGET = `
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
const BEFORE_IMAGES = `
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
const SUSPECTS = `
CREATE TABLE switchback.suspects (
  migration text NOT NULL,
  version integer NOT NULL,
  epoch integer NOT NULL,
  step text NOT NULL,
  key text[] NOT NULL,
  hot boolean NOT NULL DEFAULT false,
  PRIMARY KEY (migration, version, epoch, step, key)
);`;

interface Upgrade {
  name: string;
  sql: string;
}
const UPGRADES: Record<'target' | 'home', readonly Upgrade[]> = {
  target: [
    { name: '0001-target', sql: TARGET_TABLES },
    { name: '0002-rescue', sql: RESCUED_VALUES },
    { name: '0003-schema-baselines', sql: SCHEMA_BASELINES },
    { name: '0005-lineage-digests', sql: LINEAGE_DIGESTS },
    { name: '0006-before-images', sql: BEFORE_IMAGES },
    { name: '0007-budget', sql: WALKERS_BUDGET },
    { name: '0009-suspects', sql: SUSPECTS },
  ],
  home: [
    { name: '0001-home', sql: HOME_TABLES },
    { name: '0003-schema-snapshots', sql: SCHEMA_SNAPSHOTS },
    { name: '0004-deprecations', sql: DEPRECATIONS },
    { name: '0008-salt', sql: SALTS },
  ],
};
/** Any number will do, as long as every worker takes the same: the advisory lock under which ledgers are upgraded. */
const UPGRADE_LOCK = 7_311_904_402;

/**
 * Creates or upgrades the ledger. Several workers may call it at once; each upgrade happens once. Throws
 * `DatabaseUnreachable`, also of a database in recovery.
 */
export async function upgradeLedger(database: Database, options: { home: boolean }): Promise<void> {
  await database.transaction(async (session) => {
    await assertSettings(session, database.name);
    const [server] = await session.query(
      "SELECT pg_is_in_recovery() AS recovering, to_regclass('switchback.upgrades') IS NOT NULL AS there",
    );
    // Who starts on a standby means another server; one that becomes a standby under way is waited for.
    if (server?.['recovering'] === 't') throw noWrites(database.name, { retry: false });
    // Every run begins here: where there is nothing to do it waits for nobody.
    if (server?.['there'] === 't' && (await missing(session, options)).length === 0) return;
    await session.query('SELECT pg_advisory_xact_lock($1::bigint)', [String(UPGRADE_LOCK)]);
    await session.query('CREATE SCHEMA IF NOT EXISTS switchback');
    await session.query(
      'CREATE TABLE IF NOT EXISTS switchback.upgrades (name text PRIMARY KEY, at timestamptz NOT NULL DEFAULT clock_timestamp())',
    );
    for (const upgrade of await missing(session, options)) {
      await session.query(upgrade.sql);
      await session.query('INSERT INTO switchback.upgrades (name) VALUES ($1)', [upgrade.name]);
    }
  });
}

/** What the ledger lacks, in order. */
async function missing(session: Queryable, { home }: { home: boolean }): Promise<Upgrade[]> {
  const done = new Set((await session.query('SELECT name FROM switchback.upgrades')).map((row) => row['name']));
  return [...UPGRADES.target, ...(home ? UPGRADES.home : [])].filter(({ name }) => !done.has(name));
}

const current = new WeakMap<Database, Promise<void>>();
/**
 * Upgrades a target's ledger that an older version of the worker has made: a run that began under that goes on under this
 * one. Where there is no ledger yet none is made. Looks once, for as long as the process lives.
 */
export function upgradeOlderLedger(database: Database): Promise<void> {
  const known = current.get(database);
  if (known !== undefined) return known;
  const upgraded = (async () => {
    const [ledger] = await database.query("SELECT to_regclass('switchback.upgrades') IS NOT NULL AS there");
    if (ledger?.['there'] !== 't') return void current.delete(database);
    if ((await missing(database, { home: false })).length > 0) await upgradeLedger(database, { home: false });
  })();
  current.set(database, upgraded);
  upgraded.catch(() => current.delete(database));
  return upgraded;
}
