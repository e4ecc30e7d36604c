import { randomBytes } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { blockersOf, endClients } from '../../src/adapters/postgres/blockers.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { climbTransaction, LADDER } from '../../src/adapters/postgres/lock-ladder.ts';
import type { Status } from '../../src/messages/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { ddlBench } from './bench.ts';
import { failure, otherSession, until } from './other-session.ts';

const USERS = 'CREATE TABLE public.users (id int); INSERT INTO public.users SELECT generate_series(1, 10)';
const ADD = 'ALTER TABLE users ADD COLUMN a text';
const IDLE_IN_TRANSACTION = `BEGIN; SELECT 'secret', 4711 FROM public.users LIMIT 1`;
const by = 'ana@example.com';

/** Fewer tries, sooner: so that a ladder gives up within a test. The worker of `startEngine` is in this process. */
function shortLadder(triesMax: number): void {
  const before = { ...LADDER };
  Object.assign(LADDER, { triesMax, waitFirstMs: 100, waitMaxMs: 300 });
  onTestFinished(() => void Object.assign(LADDER, before));
}

const detailsOf = async (engine: Engine, name: string): Promise<string> => {
  const metadata = await engine.client.workflow
    .getHandle(`migration/${name}`)
    .query<{ currentDetails: string }>('__temporal_workflow_metadata');
  return metadata.currentDetails;
};
const stepOf = (status: Status) => status.phases[0]?.steps[0];

describe('in a run', () => {
  test('the blocker is named in status and current details while the step waits; held when it gives up; retried', async () => {
    shortLadder(1_000);
    const engine = await startEngine({ databases: ['app'] });
    const url = engine.config.databases['app']?.url ?? '';
    const app = new Database('app', { url });
    onTestFinished(() => app.close());
    await app.query(USERS);
    const blocker = await otherSession({ url }, 'nightly-report');
    await blocker.query(IDLE_IN_TRANSACTION);
    const name = engine.name('blocked');
    const step = { id: 'add', uses: 'ddl', database: 'app', up: ADD, onFailure: 'hold' } as const;
    const handle = await engine.switchback.start(planOf(name, [{ name: 'one', steps: [step] }]), { requestedBy: by });
    const named = new RegExp(`pid ${blocker.pid} \\(nightly-report, idle in transaction`);
    // The regular refresh of the details would come after a minute.
    await untilStatus(handle, (status) => named.test(stepOf(status)?.note ?? ''));
    await expect
      .poll(() => detailsOf(engine, name), { timeout: 20_000 })
      .toMatch(/^## running[^]*nightly-report, idle in transaction/);
    shortLadder(3);
    await handle.pause({ by });
    await untilStatus(handle, ({ status }) => status === 'paused');
    await handle.resume({ by });
    const held = await untilStatus(handle, ({ status }) => status === 'held');
    expect(held.error).toMatchObject({ code: 'LockNotObtained', hint: expect.stringContaining(blocker.pid) });
    expect(held.error?.message).toMatch(named);
    expect(JSON.stringify(held)).not.toMatch(/secret|4711/);
    await blocker.query('COMMIT');
    await handle.retry({ by });
    expect(await handle.result()).toMatchObject({ outcome: 'completed' });
    expect(await app.query(`SELECT a FROM public.users LIMIT 1`)).toEqual([{ a: null }]);
  });
});

describe('who is ended where the plan says so', () => {
  test('clients that stay, on record; not those that hold a lock for a moment, and not our own', async () => {
    const bench = await ddlBench(USERS);
    const staying = await otherSession(bench, 'nightly-report');
    const passing = await otherSession(bench, 'web');
    const ours = await otherSession(bench, 'switchback');
    await staying.query(IDLE_IN_TRANSACTION);
    await ours.query(IDLE_IN_TRANSACTION);
    let passes = true;
    const passed = (async () => {
      while (passes) await passing.query('BEGIN; SELECT 1 FROM public.users LIMIT 1; SELECT pg_sleep(0.03); COMMIT');
    })();
    const ended = Promise.withResolvers<string>();
    const notes: string[] = [];
    const applied = bench.up(bench.step(ADD, { killBlockers: true }), {
      onNote: (note) => {
        notes.push(note);
        if (note.startsWith('ends the blockers')) ended.resolve(note);
      },
    });
    const note = await ended.promise;
    expect(note).toContain(`pid ${staying.pid} (nightly-report`);
    expect(note).not.toContain(`pid ${ours.pid}`);
    expect(note).not.toContain(`pid ${passing.pid}`);
    // Patient first: three tries with a note each but the last.
    expect(notes.filter((one) => one.startsWith('waits for a lock')).length).toBeGreaterThanOrEqual(2);
    await ours.query('COMMIT');
    await applied;
    passes = false;
    await passed;
    expect((await failure(staying.query('SELECT 1'))).message).toMatch(/terminat|connection error/);
    expect(await bench.query('SELECT type, by, data FROM switchback.audit')).toMatchObject([
      {
        type: 'blocker-ended',
        by: 'test@example.com',
        data: expect.stringContaining(`pid ${staying.pid} (nightly-report`),
      },
    ]);
  });

  test('nobody without it, however long it waits', async () => {
    shortLadder(6);
    const bench = await ddlBench(USERS);
    const blocker = await otherSession(bench);
    await blocker.query(IDLE_IN_TRANSACTION);
    expect(await failure(bench.up(bench.step(ADD)))).toMatchObject({
      code: 'LockNotObtained',
      fields: { tries: 6, blockers: blocker.pid },
    });
    expect(await blocker.query('SELECT 1 AS alive')).toEqual([{ alive: 1 }]);
    expect(await bench.query('SELECT * FROM switchback.audit')).toEqual([]);
  });

  test('a superuser’s session that our role may not end is named as such', async () => {
    const bench = await ddlBench(USERS);
    const role = `worker_${randomBytes(4).toString('hex')}`;
    await bench.query(
      `CREATE ROLE ${role} LOGIN PASSWORD 'x'; GRANT pg_monitor TO ${role}; ALTER TABLE public.users OWNER TO ${role}`,
    );
    const url = new URL(bench.url);
    url.username = role;
    url.password = 'x';
    const database = new Database('app', { url: url.href });
    onTestFinished(async () => {
      await database.close();
      await bench.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    });
    const blocker = await otherSession(bench, 'psql');
    await blocker.query(IDLE_IN_TRANSACTION);
    const recorded: string[] = [];
    const told = new AbortController();
    const end = new Error('it has been told');
    const error = await failure(
      database.session((session) =>
        climbTransaction(
          session,
          {
            database,
            limits: { ...LADDER, triesMax: 100, waitFirstMs: 10, waitMaxMs: 20 },
            signal: told.signal,
            purpose: 'a test',
            killBlockers: async (clients) => void recorded.push(...clients.map(({ pid }) => pid)),
            onWait: (note) => {
              if (note.includes(`this role may not end ${blocker.pid}`)) told.abort(end);
            },
          },
          async (transaction, timeoutMs) => {
            await transaction.query(`SET LOCAL lock_timeout = ${timeoutMs}`);
            await transaction.query('LOCK TABLE public.users IN ACCESS EXCLUSIVE MODE');
          },
        ),
      ),
    );
    expect(error).toBe(end);
    expect(recorded).toEqual([blocker.pid]);
    expect(await blocker.query('SELECT 1 AS alive')).toEqual([{ alive: 1 }]);
  });
});

test('who blocks is told apart: clients, our own sessions', async () => {
  const bench = await ddlBench(USERS);
  const client = await otherSession(bench, 'web');
  const ours = await otherSession(bench, 'switchback');
  const waiting = await otherSession(bench, 'migrator');
  await client.query(IDLE_IN_TRANSACTION);
  await ours.query(IDLE_IN_TRANSACTION);
  const locked = failure(waiting.query('BEGIN; LOCK TABLE public.users'));
  await until(bench, `SELECT 1 FROM pg_stat_activity WHERE pid = ${waiting.pid} AND wait_event_type = 'Lock'`);
  const blockers = await blockersOf(bench.database, { pid: waiting.pid, began: null });
  expect(blockers.map(({ pid, kind }) => ({ pid, kind })).toSorted((a, b) => a.kind.localeCompare(b.kind))).toEqual([
    { pid: client.pid, kind: 'client' },
    { pid: ours.pid, kind: 'ours' },
  ]);
  // By now it may work for another client, behind a pooler: only the transaction that was seen is ended.
  await client.query('COMMIT; BEGIN; SELECT 1');
  await endClients(
    bench.database,
    blockers.filter(({ kind }) => kind === 'client'),
  );
  expect(await client.query('SELECT 1 AS alive')).toEqual([{ alive: 1 }]);
  await bench.query(`SELECT pg_terminate_backend(${waiting.pid})`);
  await locked;
});
