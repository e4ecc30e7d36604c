import { expect, test } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import type { MigrationHandle } from '../../src/client/index.ts';
import type { Status } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { startWorkerProcess } from '../harness/worker-process.ts';

const by = 'ana@example.com';
const on = { database: 'app' } as const;
type Phase = PlanInput['spec']['phases'][number];
const policies = { approvals: [{ risk: 'high', roles: ['dba'] }] } satisfies PlanInput['spec']['policies'];

/** A column that nobody uses goes out of use, and away after its retention. */
const contract = (retention: string, table = 'users'): Phase => ({
  name: 'contract',
  approval: 'before',
  steps: [
    { id: 'retire', uses: 'retire', ...on, column: `${table}.full_name` },
    { id: 'drop', uses: 'drop', needs: ['retire'], ...on, column: `${table}.full_name`, retention },
  ],
});
const contractPlan = (name: string, retention: string, more: Phase[] = [], table = 'users'): PlanInput =>
  planOf(name, [contract(retention, table), ...more], { policies });

async function startHere(tables: readonly string[] = ['users']): Promise<{ engine: Engine; app: Database }> {
  const engine = await startEngine({ databases: ['app'], approvers: { dba: [by] } });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  for (const table of tables) {
    await app.query(`CREATE TABLE public.${table} (id int PRIMARY KEY, full_name text, given_name text, initial text)`);
    await app.query(`INSERT INTO public.${table} (id, given_name) VALUES (1, 'Ada')`);
  }
  return { engine, app };
}
const asksForApproval = ({ gates }: Status): boolean => gates.some(({ state }) => state === 'open');
async function startApproved(engine: Engine, plan: PlanInput): Promise<MigrationHandle> {
  const handle = await engine.switchback.start(plan, { requestedBy: 'dev@example.com' });
  await untilStatus(handle, asksForApproval);
  expect(await handle.approve({ by })).toMatchObject({ accepted: true });
  return handle;
}
const stepIn = (status: Status, id: string) =>
  status.phases.flatMap(({ steps }) => steps).find((step) => step.id === id);
const isDone = (id: string) => (status: Status) => stepIn(status, id)?.state === 'done';
const waitsToDrop = (status: Status) => stepIn(status, 'drop')?.note?.startsWith('may be dropped from') === true;
const columns = async (app: Database, table = 'users'): Promise<string> =>
  (
    await app.query(
      `SELECT string_agg(attname, ' ' ORDER BY attnum) AS names FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`,
      [`public.${table}`],
    )
  )[0]?.['names'] ?? '';
const workflowOf = (engine: Engine, name: string) => engine.client.workflow.getHandle(`migration/${name}`);

test('the retention goes on while its worker is dead, over a fresh history and a pause; then it drops', async () => {
  const { engine, app } = await startHere();
  await engine.stopWorker();
  const worker = await startWorkerProcess(engine.config);
  const name = engine.name('retention');
  const handle = await startApproved(engine, contractPlan(name, '6s'));
  const waiting = await untilStatus(handle, waitsToDrop);
  expect(waiting).toMatchObject({ status: 'waiting', risk: 'low' });
  expect(waiting.reason).toMatch(/^may be dropped from \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \(retired for 6s\)$/);
  worker.process.kill('SIGKILL');
  await workflowOf(engine, name).signal('renew', { by });
  await engine.restartWorker();
  expect(await handle.pause({ by })).toMatchObject({ accepted: true });
  await untilStatus(handle, ({ status }) => status === 'paused');
  expect(await handle.resume({ by })).toMatchObject({ accepted: true });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  expect(await columns(app)).toBe('id given_name initial');
  const [row] = await app.query(
    `SELECT max(applied_at) FILTER (WHERE kind = 'drop') - max(applied_at) FILTER (WHERE kind = 'retire') >= interval '6 s' AS kept FROM switchback.steps`,
  );
  expect(row).toEqual({ kept: 't' });
  await app.close();
});

test('while it waits nothing is lost: abort brings the column back; a rejected approval drops nothing', async () => {
  const { engine, app } = await startHere();
  const name = engine.name('back');
  const handle = await startApproved(engine, contractPlan(name, '1h'));
  await untilStatus(handle, waitsToDrop);
  expect(await handle.abort({ by })).toMatchObject({ accepted: true });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await columns(app)).toBe('id full_name given_name initial');
  const again = await engine.switchback.start(contractPlan(name, '1h'), { requestedBy: 'dev@example.com' });
  await untilStatus(again, asksForApproval);
  expect(await again.reject({ by })).toMatchObject({ accepted: true });
  await untilStatus(again, ({ status }) => status === 'held');
  await again.abort({ by });
  await expect(again.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await columns(app)).toBe('id full_name given_name initial');
  await app.close();
});

test('after the point of no return nothing rolls back: abort, a guard, a failing step and Cancel', async () => {
  const { engine, app } = await startHere();
  await app.query('CREATE TABLE public.alarms (id int)');
  const name = engine.name('passed');
  const alarms = { name: 'no alarm', sql: { ...on, query: 'SELECT count(*) FROM public.alarms', max: 0 } };
  const after: Phase = {
    name: 'after',
    guards: [alarms],
    steps: [
      { id: 'index', uses: 'ddl', ...on, up: 'CREATE INDEX CONCURRENTLY by_name ON users (given_name)' },
      {
        ...{ id: 'look', uses: 'check', needs: ['index'], onFailure: 'rollback', deadline: '1ms', every: '1ms' },
        ...{ name: 'a row 2', sql: { ...on, query: 'SELECT count(*) FROM public.users WHERE id = 2', min: 1 } },
      },
      { id: 'rest', uses: 'wait', needs: ['look'], for: '1h' },
    ],
  };
  const last: Phase = { name: 'last', steps: [{ id: 'ask', uses: 'approval' }] };
  const handle = await startApproved(engine, contractPlan(name, '0s', [after, last]));

  const held = await untilStatus(handle, ({ status }) => status === 'held');
  expect(stepIn(held, 'look')).toMatchObject({ state: 'held' });
  const refused = await handle.abort({ by });
  expect(refused.accepted).toBe(false);
  expect(refused.reason).toBe(
    'the point of no return (drop) is passed: nothing rolls back; what came after it and can still be undone by hand: index',
  );
  await handle.skip({ by, step: 'look' });
  await untilStatus(handle, (status) => stepIn(status, 'rest')?.state === 'waiting');

  await app.query('INSERT INTO public.alarms VALUES (1)');
  const tripped = await untilStatus(handle, ({ status }) => status === 'held');
  expect(tripped.waitingFor).toBe('retry, skip or abort of after/guards');
  expect(tripped.error).toMatchObject({ code: 'GuardTripped' });
  await app.query('DELETE FROM public.alarms');
  await handle.retry({ by, step: 'after/guards' });
  await untilStatus(handle, ({ status }) => status === 'waiting');
  await app.query('INSERT INTO public.alarms VALUES (1)');
  await untilStatus(handle, ({ status }) => status === 'held');
  // Said by a person: it stays so over a fresh history.
  await handle.skip({ by, step: 'after/guards' });
  await untilStatus(handle, ({ status }) => status === 'waiting');
  await workflowOf(engine, name).signal('renew', { by });

  await workflowOf(engine, name).cancel();
  const canceled = await untilStatus(handle, ({ status }) => status === 'held');
  expect(canceled.error).toMatchObject({ code: 'NotReversible', step: 'cancel' });
  expect(canceled.reason).toContain('the point of no return (drop) is passed');
  await workflowOf(engine, name).signal('renew', { by });
  await handle.retry({ by, step: 'cancel' });
  await untilStatus(handle, ({ status }) => status === 'waiting');
  expect(await columns(app)).toBe('id given_name initial');
  await workflowOf(engine, name).terminate('enough');

  // What is on record as going down all the same stops at the drop, and says so.
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  await home.query("UPDATE switchback.migrations SET direction = 'down'");
  const down = await engine.switchback.start(contractPlan(name, '0s', [after, last]), { requestedBy: by });
  await expect(down.result()).rejects.toMatchObject({ code: 'MigrationFailed' });
  const failed = await down.status();
  expect(failed).toMatchObject({ status: 'failed', error: { code: 'NotReversible', step: 'drop' } });
  expect(failed.reason).toContain("drop can't be undone, so the rollback stopped there; not undone: drop, retire");
  expect(stepIn(failed, 'index')).toMatchObject({ state: 'undone' });
  expect(await columns(app)).toBe('id given_name initial');
  await home.close();
  await app.close();
});

/** Drops that are about to commit, in a worker process of their own: their commits wait for `go`. */
async function committing(engine: Engine, app: Database, of: readonly (readonly [name: string, table: string])[]) {
  await engine.stopWorker();
  // The commit of a drop waits for a lock of ours, so that it is known when the worker dies.
  await app.query(
    `CREATE FUNCTION public.hold() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END$$`,
  );
  const held = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const holding = app.transaction(async (session) => {
    await session.query('SELECT pg_advisory_xact_lock(77)');
    locked.resolve();
    await held.promise;
  });
  await locked.promise;
  const worker = await startWorkerProcess(engine.config);
  const last: Phase = { name: 'last', steps: [{ id: 'ask', uses: 'wait', for: '1ms' }] };
  const handles = await Promise.all(
    of.map(([name, table]) =>
      engine.switchback.start(contractPlan(name, '0s', [last], table), { requestedBy: 'dev@example.com' }),
    ),
  );
  await Promise.all(handles.map((handle) => untilStatus(handle, asksForApproval)));
  await app.query(`CREATE CONSTRAINT TRIGGER hold AFTER UPDATE ON switchback.steps DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (new.kind = 'drop' AND new.state = 'applied') EXECUTE FUNCTION public.hold()`);
  for (const handle of handles) await handle.approve({ by });
  const waiting = `SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database() AND query = 'COMMIT' AND wait_event = 'advisory'`;
  while ((await app.query(waiting))[0]?.['n'] !== String(of.length)) await new Promise((done) => setTimeout(done, 20));
  const go = async (): Promise<void> => {
    held.resolve();
    await holding;
  };
  return { worker, handles, go };
}

test('a worker killed between the commit of a drop and its answer: done once; an abort that came meanwhile is told', async () => {
  const { engine, app } = await startHere(['users', 'people']);
  const [plain, aborted] = [engine.name('plain'), engine.name('aborted')];
  const { worker, handles, go } = await committing(engine, app, [
    [plain, 'users'],
    [aborted, 'people'],
  ]);
  worker.process.kill('SIGKILL');
  await workflowOf(engine, aborted).signal('abort', { by });
  await go();
  await engine.restartWorker();
  for (const handle of handles) expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const [done, refused] = await Promise.all(handles.map((handle) => handle.status()));
  // Where Temporal had tried it again by then, it was done when the abort came.
  expect(refused?.refused.at(-1)?.reason).toMatch(/^the point of no return \(drop\) (was|is) passed/);
  expect(done?.refused).toEqual([]);
  expect([await columns(app), await columns(app, 'people')]).toEqual([
    'id given_name initial',
    'id given_name initial',
  ]);
  const lineage = await app.query("SELECT count(*) AS n FROM switchback.lineage WHERE kind = 'drop'");
  expect(lineage).toEqual([{ n: '2' }]);
  await app.close();
}, 120_000);

test('an abort that is decided while the drop is done a second time takes nothing back: it is told, and the run goes on', async () => {
  const { engine, app } = await startHere();
  const name = engine.name('again');
  const { worker, handles, go } = await committing(engine, app, [[name, 'users']]);
  worker.process.kill('SIGKILL');
  await go();
  const triedAgain = async (): Promise<boolean> => {
    const { raw } = await workflowOf(engine, name).describe();
    return raw.pendingActivities?.some(({ attempt }) => (attempt ?? 0) > 1) === true;
  };
  while (!(await triedAgain())) await new Promise((done) => setTimeout(done, 100));
  await workflowOf(engine, name).signal('abort', { by });
  await engine.restartWorker();
  expect(await handles[0]?.result()).toMatchObject({ outcome: 'completed' });
  const status = await handles[0]?.status();
  expect(status?.refused.at(-1)?.reason).toMatch(/^the point of no return \(drop\) (was|is) passed/);
  expect(await columns(app)).toBe('id given_name initial');
  await app.close();
}, 120_000);

test('a drop that is refused is held, not rolled back; nothing keeps in step afterwards, so the next migration may', async () => {
  const { engine, app } = await startHere();
  const sync: Phase = {
    name: 'sync',
    steps: [
      {
        id: 'sync',
        uses: 'dual-write',
        ...on,
        table: 'users',
        up: { given_name: 'full_name' },
        down: { full_name: 'given_name' },
      },
    ],
  };
  await app.query("UPDATE public.users SET full_name = 'Lovelace'");
  const name = engine.name('first');
  const handle = await startApproved(engine, planOf(name, [sync, contract('0s')], { policies }));
  const held = await untilStatus(handle, ({ status }) => status === 'held');
  expect(held.error).toMatchObject({ code: 'ValuesLost', step: 'drop' });
  await app.query("UPDATE public.users SET given_name = 'Ada L'");
  await handle.retry({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const next = planOf(engine.name('second'), [
    {
      name: 'sync',
      steps: [{ id: 'sync', uses: 'dual-write', ...on, table: 'users', up: { initial: 'left(given_name, 1)' } }],
    },
  ]);
  const second = await engine.switchback.start(next, { requestedBy: by });
  expect(await second.result()).toMatchObject({ outcome: 'completed' });
  await app.query("UPDATE public.users SET given_name = 'Grace'");
  expect(await app.query('SELECT initial FROM public.users')).toEqual([{ initial: 'G' }]);
  await app.close();
});

test('a deprecation is on record for services, with the headers of the RFCs; an undo withdraws it', async () => {
  const engine = await startEngine();
  const announce = { uses: 'deprecate', interface: 'user', at: '2026-12-01', sunset: '2027-03-01T12:00:00Z' } as const;
  const link = 'https://docs.example.com/user';
  const plan = (name: string, more: Phase[] = []): PlanInput =>
    planOf(engine.name(name), [
      {
        name: 'tell',
        steps: [
          { id: 'old', ...announce, version: '1.4.0', link },
          { id: 'older', ...announce, version: '1.3.0', interface: 'login' },
        ],
      },
      ...more,
    ]);
  const handle = await engine.switchback.start(
    plan('told', [{ name: 'ask', steps: [{ id: 'ask', uses: 'approval' }] }]),
    {
      requestedBy: by,
    },
  );
  await untilStatus(handle, isDone('older'));
  expect(await engine.switchback.deprecations({ interface: 'user' })).toEqual([
    {
      migration: engine.name('told'),
      step: 'old',
      interface: 'user',
      version: '1.4.0',
      at: '2026-12-01T00:00:00Z',
      sunset: '2027-03-01T12:00:00Z',
      link,
      headers: {
        Deprecation: '@1796083200',
        Sunset: 'Mon, 01 Mar 2027 12:00:00 GMT',
        Link: `<${link}>; rel="deprecation", <${link}>; rel="sunset"`,
      },
    },
  ]);
  expect((await engine.switchback.deprecations()).map(({ interface: name }) => name)).toEqual(['login', 'user']);
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  expect(await engine.switchback.deprecations()).toEqual([]);
});

test('a home ledger restored from an old backup: the next run’s generation is above the databases’ fences', async () => {
  const { engine, app } = await startHere();
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  const name = engine.name('restored');
  const change = { id: 'change', uses: 'ddl', ...on, up: 'ALTER TABLE users ADD COLUMN nick text' } as const;
  const plan = planOf(name, [
    { name: 'one', approval: 'before', steps: [change] },
    {
      name: 'two',
      approval: 'before',
      steps: [{ ...change, id: 'more', up: 'ALTER TABLE users ADD COLUMN more text' }],
    },
  ]);
  const asks = (gate: string) => (status: Status) =>
    status.gates.some((one) => one.gate === gate && one.state === 'open');
  for (const turn of [1, 2, 3]) {
    const handle = await engine.switchback.start(plan, { requestedBy: by });
    await untilStatus(handle, asks('one/before'));
    const fence = await app.query('SELECT generation FROM switchback.fences WHERE migration = $1', [name]);
    expect(fence).toEqual([{ generation: String(turn) }]);
    await workflowOf(engine, name).terminate('a crash');
  }
  const older = 'UPDATE switchback.migrations SET generation = 1';
  await home.query(older);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, asks('one/before'));
  await handle.approve({ by });
  await untilStatus(handle, asks('two/before'));
  expect(await columns(app)).toContain('nick');
  // And under the very run that goes on.
  await home.query(older);
  await handle.approve({ by });
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  expect(await columns(app)).toContain('more');
  await home.close();
  await app.close();
});
