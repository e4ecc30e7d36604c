import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { backfill } from '../../src/activities/backfill.ts';
import { Database, Databases } from '../../src/adapters/postgres/database.ts';
import { readPressure } from '../../src/adapters/postgres/pressure.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import { type EffectBench, effectBench } from '../harness/effect-context.ts';
import { freshDatabase } from '../harness/servers.ts';
import { type ServerPair, serverPair } from '../harness/standby.ts';
import { until } from './throttle-room.ts';

/** Everything that needs a server of its own: a real replica, an archive that fails, an autovacuum that must run. */
const ROWS = 3_000;
const CHUNK = { rows: 50, fixed: true };

let servers: ServerPair;
let url: string;
let primary: Database;
let standby: Database;
beforeAll(async () => {
  servers = await serverPair({ archive_mode: 'on', archive_command: 'false', autovacuum_naptime: '1s' });
  url = (await freshDatabase('throttle', servers.primary)).url;
  primary = new Database('primary', { url });
  standby = new Database('standby', { url: servers.standby });
});
afterAll(async () => {
  await primary.close();
  await standby.close();
  await servers.stop();
});

interface Walk {
  /** Ends with the walk; the note of its result. */
  ended: Promise<string>;
  /** The next note that matches, from now on. */
  noted(pattern: RegExp): Promise<string>;
  abort(reason: string): void;
  done(): Promise<number>;
}

/** A table of its own, and a backfill of it as a step of a migration of that name. */
async function walking(name: string, throttle: Record<string, unknown>, more = ''): Promise<Walk> {
  const bench: EffectBench = await effectBench(url, name);
  const databases = new Databases({ app: { url, replicas: [servers.standby] } });
  const table = `public.${name}`;
  await primary.query(
    `CREATE TABLE IF NOT EXISTS ${table} (id int PRIMARY KEY, a int); INSERT INTO ${table} SELECT i FROM generate_series(1, ${ROWS}) i
     ON CONFLICT DO NOTHING; ${more}`,
  );
  const stop = new AbortController();
  const waiting = new Set<{ pattern: RegExp; found(note: string): void }>();
  const step = stepKinds.backfill.parse({
    id: 'fill',
    uses: 'backfill',
    database: 'app',
    table: name,
    set: { a: '1' },
    chunk: CHUNK,
    throttle,
  });
  const context = bench.context({
    signal: stop.signal,
    databases,
    onNote: (note) => {
      for (const one of waiting) {
        if (!one.pattern.test(note)) continue;
        waiting.delete(one);
        one.found(note);
      }
    },
  });
  const ended = backfill.up(bench.input(step), context).then(({ note }) => note);
  ended.catch(() => undefined);
  onTestFinished(async () => {
    stop.abort(new Error('the test is over'));
    await ended.catch(() => undefined);
    await bench.close();
    await databases.close();
  });
  return {
    ended,
    noted: (pattern) => {
      const { promise, resolve } = Promise.withResolvers<string>();
      waiting.add({ pattern, found: resolve });
      return Promise.race([promise, ended.then((note) => Promise.reject(new Error(`it ended: ${note}`)))]);
    },
    abort: (reason) => stop.abort(new Error(reason)),
    done: async () => Number((await primary.query(`SELECT count(*) AS n FROM ${table} WHERE a = 1`))[0]?.['n']),
  };
}

test('a replica that lags slows the walk down, and when it has caught up the walk comes back', async () => {
  const walk = await walking('lagging', { maxReplicaLag: '900ms', maxRowsPerSecond: 300 });
  await walk.noted(/capped at 300 rows\/s$/);
  await standby.query('SELECT pg_wal_replay_pause()');
  const note = await walk.noted(/^replica 1 is .* behind/);
  await standby.query('SELECT pg_wal_replay_resume()');
  expect(note).toMatch(
    /^replica 1 is \d+(\.\d)? s behind, 0\.9 s allowed: (at \d+ % of full speed|stands still); capped at 300 rows\/s$/,
  );
  await walk.noted(/^recovers, all is well again \(it was: replica 1 is .* behind, 0\.9 s allowed\): at \d+ %/);
  walk.abort('seen');
  await expect(walk.ended).rejects.toThrow('seen');
  expect(await walk.done()).toBeLessThan(ROWS);
  expect(await (await walking('lagging', {})).ended).toContain('3,000 rows changed');
  expect(await walk.done()).toBe(ROWS);
});

test('must pass 15. a replica that has stopped, its probe dead: not a row is written, nothing is held, and it goes on when the replica is back', async () => {
  await servers.stopStandby();
  const walk = await walking('stopped', { maxReplicaLag: '5s' });
  expect(await walk.noted(/stands still/)).toMatch(/^replica 1 does not answer \(.*\): stands still$/);
  expect(await walk.done()).toBe(0);
  expect(await heldBy('stopped')).toEqual([]);
  await servers.startStandby();
  expect(await walk.ended).toContain('3,000 rows changed');
});

test('a replica that stops in mid-walk: after the chunk under way nothing is written or held, and an abort ends it at once', async () => {
  const walk = await walking('halfway', { maxReplicaLag: '5s', maxRowsPerSecond: 300 });
  await until(primary, 'SELECT id FROM public.halfway WHERE a = 1 LIMIT 1');
  await servers.stopStandby();
  onTestFinished(() => servers.startStandby());
  await walk.noted(/stands still/);
  await until(
    primary,
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'CALL%' AND state = 'idle'",
  );
  const done = await walk.done();
  expect(done).toBeGreaterThan(0);
  expect(done).toBeLessThan(ROWS);
  expect(await heldBy('halfway')).toEqual([]);
  await walk.noted(/stands still/);
  expect(await walk.done()).toBe(done);
  walk.abort('enough');
  await expect(walk.ended).rejects.toThrow('enough');
  expect(await walk.done()).toBe(done);
  expect(await primary.query("SELECT FROM switchback.budget WHERE migration = 'halfway'")).toEqual([]);
});

test('an autovacuum to prevent wraparound: the walk stands still until it has ended', async () => {
  await primary.query(`CREATE TABLE public.old (id int PRIMARY KEY, a int)
    WITH (autovacuum_freeze_max_age = 100000, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)`);
  await primary.query(
    `INSERT INTO public.old SELECT i FROM generate_series(1, ${ROWS}) i; CREATE TABLE public.burnt (id int)`,
  );
  // Each subtransaction that writes takes a transaction number.
  await primary.query(`DO $$ BEGIN FOR i IN 1..101000 LOOP
    BEGIN INSERT INTO public.burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$`);
  const vacuum = await until(
    primary,
    `SELECT pid FROM pg_stat_activity WHERE query LIKE 'autovacuum: %public.old (to prevent wraparound)'`,
  );
  const walk = await walking('old', {});
  expect(await walk.noted(/./)).toBe('an autovacuum to prevent wraparound works on the table: stands still');
  expect(await walk.done()).toBe(0);
  expect(await heldBy('old')).toEqual([]);
  // It would be started again: so the table's limits change in the moment in which it ends.
  const reset = primary.query(
    'ALTER TABLE public.old RESET (autovacuum_freeze_max_age, autovacuum_vacuum_cost_delay, autovacuum_vacuum_cost_limit)',
  );
  await until(primary, `SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'public.old'::regclass`);
  await primary.query('SELECT pg_terminate_backend($1::int)', [vacuum]);
  await reset;
  expect(await walk.ended).toContain('3,000 rows changed');
});

test('WAL that waits to be archived is counted, by what lies ready first and then by what was archived last', async () => {
  const backlog = async () =>
    (await readPressure(primary, { schema: 'public', table: 'none', lockWaits: false }, 2_000)).archiveBacklogBytes;
  const before = Number(await backlog());
  await primary.query('CREATE TABLE public.wal (id int)');
  await primary.query('SELECT pg_switch_wal()');
  expect(Number(await backlog())).toBe(before + 16 * 1024 * 1024);
  await primary.query("ALTER SYSTEM SET archive_command = 'true'");
  await primary.query('SELECT pg_reload_conf()');
  await until(
    primary,
    `SELECT true FROM pg_stat_archiver WHERE last_archived_wal = (
    SELECT pg_walfile_name(pg_current_wal_lsn() - 16 * 1024 * 1024))`,
  );
  expect(await backlog()).toBe(0);
});

/** Locks and transactions of our sessions that have to do with a table. */
const heldBy = (table: string) =>
  primary.query(
    `SELECT a.state, a.query FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND l.relation = $1::regclass
     WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.application_name = 'switchback'
       AND (l.relation IS NOT NULL OR a.query LIKE 'CALL%' AND a.xact_start IS NOT NULL)`,
    [`public.${table}`],
  );
