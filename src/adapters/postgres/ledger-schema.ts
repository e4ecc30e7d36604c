import { noWrites } from './database-error.ts';
import { assertSettings, type Database, type Queryable } from './database.ts';
import { GATES } from './gate-tables.ts';
import { DEPRECATIONS, HOME_TABLES, SALTS, SCHEMA_SNAPSHOTS } from './home-ledger-tables.ts';
import {
  BEFORE_IMAGES,
  LINEAGE_DIGESTS,
  RESCUED_VALUES,
  SCHEMA_BASELINES,
  SUSPECTS,
  TARGET_TABLES,
  WALKERS_BUDGET,
} from './ledger-tables.ts';
import { NOTIFICATIONS } from './notification-tables.ts';
import { REPAIRS } from './switch-repairs-table.ts';
import { SWITCHES } from './switch-tables.ts';

/**
 * The ledger's tables in each target database, and the home ledger's in one of them. Created and upgraded by the
 * worker. A version is never changed after a release: a change is a new entry.
 */
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
    { name: '0010-switches', sql: SWITCHES },
    { name: '0011-repairs', sql: REPAIRS },
    { name: '0012-notifications', sql: NOTIFICATIONS },
    { name: '0013-gates', sql: GATES },
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
