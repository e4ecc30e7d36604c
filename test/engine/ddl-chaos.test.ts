import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { expect, test } from 'vitest';
import type { MigrationHandle } from '../../src/client/index.ts';
import { catalogJson, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { planOf, startEngine } from '../harness/engine.ts';
import { freshDatabase } from '../harness/servers.ts';
import { startWorkerProcess, type WorkerProcess } from '../harness/worker-process.ts';
import { FIXTURE, type Random, randomFrom, ROWS, type Traffic, traffic } from './chaos-traffic.ts';

/**
 * Two migrations side by side, each on a database whose clients read and write all its tables all the time, while
 * others come, hold locks and snapshots, and go. The worker of both is killed at random moments and comes again. One
 * completes; the other is aborted on its way. `CHAOS_SEED` draws the same moments again (what happens in between is
 * chance), `CHAOS_KILLS` says how often the worker dies.
 */
const SEED = Number(process.env['CHAOS_SEED'] ?? Date.now() % 2_147_483_647);
const KILLS = Number(process.env['CHAOS_KILLS'] ?? 1);
const by = 'ana@example.com';

const COLUMNS = `
  ALTER TABLE users ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE,
    ADD COLUMN rating int DEFAULT 1 CHECK (rating > 0), ALTER age SET NOT NULL;
  COMMENT ON COLUMN users.token IS 'who''s there';
  GRANT SELECT (id, token) ON users TO PUBLIC`;
const INDEXES = `
  CREATE INDEX users_mail ON users (lower(users.email)) WHERE n >= 0;
  CREATE INDEX CONCURRENTLY users_team ON users (team);
  CREATE INDEX events_kind ON events (kind, (n + 1))`;
const KEYS = `
  ALTER TABLE users ADD CONSTRAINT users_team_known FOREIGN KEY (team) REFERENCES teams;
  ALTER TABLE events ADD FOREIGN KEY (user_id) REFERENCES users, ADD CONSTRAINT kinds CHECK (kind IN ('x', 'y'))`;
const THINGS = `
  CREATE TYPE mood AS ENUM ('good', 'bad');
  CREATE TABLE notes (id bigserial PRIMARY KEY, user_id int NOT NULL, body text, mood mood DEFAULT 'good');
  CREATE INDEX ON notes (user_id);
  CREATE VIEW grown AS SELECT id, n FROM users WHERE age > 17;
  CREATE FUNCTION grown_users() RETURNS bigint LANGUAGE sql STABLE AS 'SELECT count(*) FROM public.grown';
  GRANT SELECT ON grown TO PUBLIC`;
const LATER = 'ALTER TABLE users ADD CONSTRAINT one_mail UNIQUE (email)';
const STATEMENTS = [COLUMNS, INDEXES, KEYS, THINGS, LATER];
/** Of about 38 units that the statements run as: the last ones come too close to the end to be aborted after them. */
const UNITS = 30;

function chaosPlan(name: string, database: string): PlanInput {
  const step = (id: string, up: string) => ({ id, uses: 'ddl', database, up, lockTimeout: '300ms' }) as const;
  return planOf(name, [
    {
      name: 'one',
      steps: [step('columns', COLUMNS), step('indexes', INDEXES), step('keys', KEYS), step('things', THINGS)],
    },
    { name: 'two', steps: [step('later', LATER)] },
  ]);
}

async function fixture(url: string): Promise<Database> {
  const database = new Database('app', { url });
  await database.session((session) => session.query(FIXTURE));
  return database;
}
const schemaOf = async (database: Database): Promise<unknown> =>
  catalogJson(await database.session((session) => catalogSnapshot(session)));
const rowsOf = (url: string): Promise<unknown> => asClient(url, async (client) => (await client.query(ROWS)).rows);
async function asClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'web' });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const HELD = [
  'SELECT 1 FROM users LIMIT 1',
  'SELECT 1 FROM events LIMIT 1',
  'SELECT 1 FROM events_2_rest LIMIT 1',
  'LOCK TABLE users IN ROW EXCLUSIVE MODE',
  'LOCK TABLE teams IN ROW SHARE MODE',
];
/** Someone at psql, again and again: holds locks, or a snapshot, for a while. */
async function blockers(url: string, random: Random, over: AbortSignal): Promise<void> {
  await asClient(url, async (client) => {
    while (!over.aborted) {
      const isolation = random() < 0.3 ? 'ISOLATION LEVEL REPEATABLE READ' : '';
      await client.query(`BEGIN ${isolation}; ${HELD[Math.floor(random() * HELD.length)]}`);
      await sleep(random() * 700);
      await client.query('COMMIT');
      await sleep(random() * 700);
    }
  });
}

/** How many units are done, or taken back. */
async function unitsIn(database: Database, of: 'done' | 'undone'): Promise<number> {
  // A worker that starts makes the ledger.
  const [ledger] = await database.query("SELECT to_regclass('switchback.steps')::text AS name");
  if (ledger?.['name'] == null) return 0;
  const [row] = await database.query(
    `SELECT count(*) FILTER (WHERE $1::text = 'done' OR (unit->>'undone')::boolean) AS units
     FROM switchback.steps CROSS JOIN jsonb_array_elements(detail->'up'->'done') AS unit`,
    [of],
  );
  return Number(row?.['units']);
}
async function untilUnits(database: Database, of: 'done' | 'undone', wanted: number, over: AbortSignal): Promise<void> {
  while (!over.aborted && (await unitsIn(database, of)) < wanted) await sleep(20);
}

test('under traffic, blockers and killed workers: all of it, or none of it', { timeout: 180_000 }, async () => {
  console.log(`chaos: CHAOS_SEED=${SEED} CHAOS_KILLS=${KILLS}`);
  const moments = randomFrom(SEED);
  const abortAt = Math.floor(moments() * UNITS);
  const kills = Array.from({ length: KILLS }, () => ({
    on: moments() < 0.6 ? 'up' : 'down',
    after: Math.floor(moments() * UNITS),
    laterMs: moments() * 200,
  }));
  const random = randomFrom(SEED + 1);
  const engine = await startEngine({ databases: ['stays', 'returns'] });
  await engine.stopWorker();
  const urlOf = (name: string): string => engine.config.databases[name]?.url ?? '';
  const [stays, returns, plain] = await Promise.all(
    [urlOf('stays'), urlOf('returns'), (await freshDatabase('plain')).url].map(fixture),
  );
  if (stays === undefined || returns === undefined || plain === undefined) throw new Error('no databases');
  for (const sql of STATEMENTS)
    for (const one of sql.split(';'))
      await plain.session((session) => session.query(`SET search_path = public; ${one.replace('CONCURRENTLY', '')}`));
  const before = await schemaOf(returns);
  const over = new AbortController();
  const trafficOn = await Promise.all([traffic(urlOf('stays'), random), traffic(urlOf('returns'), random)]);
  const blocking = ['stays', 'returns'].map((name) => blockers(urlOf(name), random, over.signal));

  let worker: WorkerProcess = await startWorkerProcess(engine.config);
  const start = (name: string): Promise<MigrationHandle> =>
    engine.switchback.start(chaosPlan(engine.name(name), name), { requestedBy: by });
  const [kept, undone] = [await start('stays'), await start('returns')];
  const kill = async (): Promise<void> => {
    worker.process.kill('SIGKILL');
    await once(worker.process, 'exit');
    worker = await startWorkerProcess(engine.config);
  };
  const killing = (async () => {
    for (const { on, after, laterMs } of kills) {
      await (on === 'up'
        ? untilUnits(stays, 'done', after, over.signal)
        : untilUnits(returns, 'undone', Math.min(after, abortAt), over.signal));
      await sleep(laterMs);
      if (!over.signal.aborted) await kill();
    }
  })();
  const aborting = (async () => {
    await untilUnits(returns, 'done', abortAt, over.signal);
    await undone.abort({ by });
  })();
  const outcomes = await Promise.allSettled([kept.result(), undone.result()]);
  over.abort();
  await Promise.all([killing, aborting, ...blocking]);
  const wanted = await Promise.all(trafficOn.map((one) => one.end()));
  console.log(
    `chaos: aborted after ${abortAt} units, ${trafficOn.map((one) => one.statements()).join(' + ')} statements`,
  );

  expect(outcomes[0]).toMatchObject({ status: 'fulfilled', value: { outcome: 'completed' } });
  expect(outcomes[1]).toMatchObject({ status: 'rejected', reason: { code: 'RolledBack' } });
  expect(trafficOn.flatMap(({ faults }) => faults)).toEqual([]);
  expect(await schemaOf(stays)).toEqual(await schemaOf(plain));
  expect(await schemaOf(returns)).toEqual(before);
  expect(await rowsOf(urlOf('stays'))).toEqual(wanted[0]);
  expect(await rowsOf(urlOf('returns'))).toEqual(wanted[1]);
  await expectKept(stays, trafficOn[0]);
  await expectRescued(returns, trafficOn[1]);
  await Promise.all([stays.close(), returns.close(), plain.close()]);
});

async function expectKept(database: Database, { ratings, notes }: Traffic): Promise<void> {
  const [filled] = await database.query(
    `SELECT count(*) FILTER (WHERE token IS NULL) AS empty, count(*) - count(DISTINCT token) AS twice FROM public.users`,
  );
  expect(filled).toEqual({ empty: '0', twice: '0' });
  const rows = await database.query(`SELECT id, rating FROM public.users WHERE rating <> 1`);
  expect(new Map(rows.map((row) => [Number(row['id']), row['rating']]))).toEqual(new Map(ratings));
  const written = await database.query('SELECT body FROM public.notes');
  expect(new Set(written.map((row) => row['body']))).toEqual(notes);
}

async function expectRescued(database: Database, { ratings, notes }: Traffic): Promise<void> {
  const rows = await database.query(`SELECT key[1] AS id, value FROM switchback.rescued WHERE "column" = 'rating'`);
  expect(new Map(rows.map((row) => [Number(row['id']), row['value']]))).toEqual(new Map(ratings));
  const written = await database.query(`SELECT "row"->>'body' AS body FROM switchback.rescued WHERE "table" = 'notes'`);
  expect(new Set(written.map((row) => row['body']))).toEqual(notes);
}
