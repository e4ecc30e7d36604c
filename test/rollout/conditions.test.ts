import { once } from 'node:events';
import { Unleash as Client } from 'unleash-client';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { awaitConditions, createConditions } from '../../src/activities/conditions.ts';
import { check } from '../../src/activities/check.ts';
import { watchGuards } from '../../src/activities/guard.ts';
import { StepLedger } from '../../src/adapters/postgres/step-ledger.ts';
import { servers } from '../harness/servers.ts';
import { conditionOf, conditionsOf, inputOf, room, serve, unique } from './room.ts';

const signal = new AbortController().signal;
const sql = (query: string, bounds: object = {}) => conditionOf({ sql: { database: 'app', query, ...bounds } });

const { url: unleashUrl, adminToken, clientToken } = servers().unleash;
const HOUR_MS = 3_600_000;
const [ramped, quiet, never] = [unique('ramped'), unique('quiet'), unique('never')];
const search = unique('search');

/** What a client sends once a minute; `hoursAgo` is when. */
async function report(appName: string, toggles: object, hoursAgo = 0): Promise<void> {
  const stop = Date.now() - hoursAgo * HOUR_MS;
  const response = await fetch(`${unleashUrl}/api/client/metrics`, {
    method: 'POST',
    headers: { authorization: clientToken, 'content-type': 'application/json' },
    body: JSON.stringify({ appName, instanceId: 'i', bucket: { start: stop - 60_000, stop, toggles } }),
  });
  expect(response.status).toBe(202);
}

// Unleash knows a new flag after 10 s, and an instance that has reported after 20 s: the other tests run meanwhile.
beforeAll(async () => {
  for (const name of [ramped, quiet, never]) {
    const response = await fetch(`${unleashUrl}/api/admin/projects/default/features`, {
      method: 'POST',
      headers: { authorization: adminToken, 'content-type': 'application/json' },
      body: JSON.stringify({ name, type: 'release' }),
    });
    expect(response.status).toBe(201);
  }
  await report(search, { [quiet]: { yes: 1, no: 2 } }, 5);
});

describe('conditions on a database', () => {
  test.each([
    ['select 0', { max: 0 }, true],
    ['select 1', { max: 0 }, false],
    ['select 9007199254740993', { min: 1 }, true],
    ['select true', {}, true],
    ['select 1 = 2', {}, false],
    ['select 1', {}, false],
    ['select null::int', { max: 0 }, false],
    ['select 1 where false', { max: 0 }, false],
    ['select false', { equals: false }, true],
    ["select 'done'", { equals: 'done' }, true],
    ['-- how many\nselect count(*) from pg_class;', { min: 1 }, true],
  ])('%s with %o', async (query, bounds, holds) => {
    const conditions = conditionsOf({ databases: { app: { url: servers().postgresUrl } } });
    expect((await conditions.read(sql(query, bounds), signal)).holds).toBe(holds);
  });

  test('finds tables of public by their bare name', async () => {
    const { deps } = await room();
    await deps.home.database.query('CREATE TABLE public.users (id int)');
    expect(await deps.conditions.read(sql('select count(*) from users', { max: 0 }), signal)).toMatchObject({
      holds: true,
      observed: '0',
    });
  });

  test('writes nothing, and takes no second statement', async () => {
    const { deps } = await room();
    await deps.home.database.query('CREATE TABLE public.users (id int)');
    const refused = (query: string) =>
      expect(deps.conditions.read(sql(query, { max: 1 }), signal)).rejects.toMatchObject({
        code: 'StatementFailed',
        retry: false,
      });
    await refused('insert into users values (1) returning id');
    await refused('commit; insert into users values (1); select 1');
    await refused('select 1, 2');
    await refused('select generate_series(1, 2)');
    await refused('select nothing from nowhere');
    expect(await deps.home.database.query('SELECT FROM public.users')).toEqual([]);
  });

  test('never repeats a value that is not a number', async () => {
    const { deps } = await room();
    const reading = await deps.conditions.read(sql("select 'ana@example.com'", { equals: 'x' }), signal);
    expect(JSON.stringify(reading)).not.toContain('ana');
  });

  test('catalog: tables, columns and digests', async () => {
    const { deps } = await room();
    const { conditions } = deps;
    await deps.home.database.query('CREATE TABLE public.users (id int, full_name text)');
    const look = async (of: object) =>
      (await conditions.read(conditionOf({ catalog: { database: 'app', ...of } }), signal)).holds;
    expect(await look({ table: 'users' })).toBe(true);
    expect(await look({ table: 'users', exists: false })).toBe(false);
    expect(await look({ table: 'users', column: 'full_name' })).toBe(true);
    expect(await look({ table: 'users', column: 'given_name' })).toBe(false);
    expect(await look({ table: 'users', column: 'given_name', exists: false })).toBe(true);
    expect(await look({ schema: 'nowhere' })).toBe(false);
    const { reason } = await conditions.read(
      conditionOf({ catalog: { database: 'app', table: 'users', digest: 'x' } }),
      signal,
    );
    const digest = /sha256:[0-9a-f]{64}/.exec(reason)?.[0] ?? '';
    expect(await look({ table: 'users', digest })).toBe(true);
    await deps.home.database.query('ALTER TABLE public.users ADD COLUMN given_name text');
    expect(await look({ table: 'users', digest })).toBe(false);
  });

  test('longTransactions: sees one that holds an old snapshot, and its end', async () => {
    const { deps } = await room();
    const read = () =>
      deps.conditions.read(conditionOf({ longTransactions: { database: 'app', maxAge: '1ms' } }), signal);
    expect((await read()).holds).toBe(true);
    await deps.home.database.session((session) =>
      session.transaction(async (inner) => {
        await inner.query('SELECT pg_sleep(0.01)');
        expect(await read()).toMatchObject({ holds: false, reason: 'transactions older than 1ms: 1 not ≤ 0' });
      }),
    );
    expect((await read()).holds).toBe(true);
  });

  test('replicaLag without replicas, and unknown databases, are errors of the configuration', async () => {
    const { deps } = await room();
    const lag = conditionOf({ replicaLag: { database: 'app', max: '1s' } });
    await expect(deps.conditions.read(lag, signal)).rejects.toMatchObject({ code: 'ConfigInvalid', retry: false });
    const elsewhere = conditionOf({ sql: { database: 'moon', query: 'select 1' } });
    await expect(deps.conditions.read(elsewhere, signal)).rejects.toMatchObject({ code: 'UnknownDatabase' });
  });
});

describe('waiting for conditions', () => {
  test('goes on when the last of them holds', async () => {
    const here = await room();
    let errors: number | null = null;
    const { url } = await serve(() => (errors === null ? 'hang up' : { body: { errors } }));
    const conditions = [sql('select true'), conditionOf({ http: { url, path: '/errors', max: 0 } })];
    const waiting = awaitConditions(conditions, { mode: 'until', everyMs: 20, deadlineMs: 60_000 }, here.context());
    await here.reported(({ note }) => note?.includes('does not answer') ?? false);
    errors = 1;
    await here.reported(({ note }) => note?.includes('1 not ≤ 0') ?? false);
    errors = 0;
    expect(await waiting).toMatchObject([{ holds: true }, { holds: true, observed: '0' }]);
  });

  test('fails where one does not hold once, or by the deadline; a mistake at once', async () => {
    const here = await room();
    const until = { mode: 'until', everyMs: 10, deadlineMs: 50 } as const;
    const unmet = { code: 'ConditionUnmet', retry: false, message: expect.stringContaining('2 not ≤ 1') };
    await expect(
      awaitConditions([sql('select 2', { max: 1 })], { ...until, mode: 'once' }, here.context()),
    ).rejects.toMatchObject(unmet);
    await expect(awaitConditions([sql('select 2', { max: 1 })], until, here.context())).rejects.toMatchObject(unmet);
    await expect(
      awaitConditions([sql('selct 2')], { ...until, deadlineMs: 60_000 }, here.context()),
    ).rejects.toMatchObject({ code: 'StatementFailed' });
  });

  test('watchGuards ends when one trips, or when it is interrupted', async () => {
    const here = await room();
    await expect(watchGuards([sql('select 1', { max: 0 })], here.context())).rejects.toMatchObject({
      code: 'GuardTripped',
    });
    await expect(watchGuards([sql('selct 1')], here.context())).rejects.toMatchObject({
      code: 'MetricsUnreachable',
      retry: false,
    });
    const stop = new AbortController();
    const watching = watchGuards([sql('select 0', { max: 0 })], here.context({ signal: stop.signal }));
    watching.catch(() => undefined);
    await here.reported(({ note }) => note === 'c ok (0 ≤ 0)');
    const reason = new Error('over');
    stop.abort(reason);
    await expect(watching).rejects.toBe(reason);
  });

  test('watchGuards says that it is degraded while a source misses a look, and when it is well again', async () => {
    const here = await room();
    // One look is lost; then the source is back.
    let lost = 1;
    const { url } = await serve(() => (lost-- > 0 ? 'hang up' : { body: { errors: 0 } }));
    const said: (string | null)[] = [];
    const stop = new AbortController();
    const context = {
      ...here.context({ signal: stop.signal }),
      degraded: (words: string | null) => void said.push(words),
    };
    const watching = watchGuards([conditionOf({ http: { url, path: '/errors', max: 0 } })], context, 20);
    watching.catch(() => undefined);
    await here.reported(({ note }) => note?.startsWith('c ok') ?? false);
    stop.abort(new Error('over'));
    await expect(watching).rejects.toThrow('over');
    expect(said.slice(0, 2)).toEqual(['c: no answer (1 of 3)', null]);
  });
});

describe('check', () => {
  const step = (query: string, deadline: string) => ({
    uses: 'check' as const,
    id: 'quiet',
    name: 'quiet',
    sql: { database: 'app', query },
    every: '20ms',
    deadline,
  });

  test('waits until its condition holds, and once done stays done', async () => {
    const here = await room();
    await here.deps.home.database.query('CREATE TABLE public.busy (id int); INSERT INTO public.busy VALUES (1)');
    const input = inputOf(here.run, step('select not exists (select from busy)', '1m'));
    const checking = check.up(input, here.context());
    await here.reported(({ note }) => note?.startsWith('waits for quiet') ?? false);
    await here.deps.home.database.query('DELETE FROM public.busy');
    expect(await checking).toMatchObject({ note: 'quiet: the query gives true' });
    await here.deps.home.database.query('DROP TABLE public.busy');
    expect(await check.up(input, here.context())).toMatchObject({ note: 'quiet: the query gives true' });
  });

  test('its deadline is set once: an interruption does not move it, a retry after it does', async () => {
    const here = await room();
    const input = inputOf(here.run, step('select false', '3s'));
    const ledger = new StepLedger(here.deps.home.database);
    const deadline = async () => (await ledger.read({ run: here.run, step: 'quiet' }))?.detail['deadline'];
    const stop = new AbortController();
    const first = check.up(input, here.context({ signal: stop.signal }));
    first.catch(() => undefined);
    await here.reported(({ note }) => note !== null);
    stop.abort(new Error('interrupted'));
    await expect(first).rejects.toThrow('interrupted');
    const set = await deadline();
    expect(set).toMatch(/^\d{4}-/);
    const before = here.reports.length;
    const second = check.up(input, here.context());
    second.catch(() => undefined);
    await here.reported(() => here.reports.length > before);
    expect(await deadline()).toBe(set);
    await expect(second).rejects.toMatchObject({ code: 'ConditionUnmet', retry: false });
    expect(await deadline()).toBeNull();
    await expect(check.up(input, here.context())).rejects.toMatchObject({ code: 'ConditionUnmet' });
  });
});

describe('flagUsage', () => {
  const usage = (of: object) => conditionOf({ flagUsage: of });

  test('counts what the real client reports, by hours of the clock; silence is not zero', async () => {
    const here = await room();
    const read = (of: object) => here.deps.conditions.read(usage(of), signal);
    const until = (of: object) =>
      awaitConditions([usage(of)], { mode: 'until', everyMs: 100, deadlineMs: 60_000 }, here.context());
    // Who evaluates it no more, and reports still.
    await report(search, { [quiet]: { yes: 1, no: 2 } }, 5);
    const client = new Client({
      url: `${unleashUrl}/api`,
      appName: unique('accounts'),
      customHeaders: { authorization: clientToken },
      metricsInterval: 200,
      skipInstanceCountWarning: true,
    });
    onTestFinished(() => client.destroy());
    await once(client, 'synchronized');
    for (let calls = 0; calls < 5; calls++) client.isEnabled(ramped, { userId: String(calls) });
    const billing = unique('billing');
    await report(billing, { [ramped]: { yes: 40, no: 0, variants: { blue: 30 } } }, 1);
    await report(billing, { [ramped]: { yes: 0, no: 700 } }, 3);
    // What is reported is written every 5 s.
    await until({ flag: ramped, enabled: false, equals: 5 });
    await until({ flag: ramped, enabled: true, equals: 40 });
    expect(await read({ flag: ramped, max: 45 })).toMatchObject({ holds: true, observed: '45' });
    expect(await read({ flag: ramped, variant: 'blue', max: 29 })).toMatchObject({ holds: false, observed: '30' });
    expect(await read({ flag: ramped, during: '5h', max: 0 })).toMatchObject({ holds: false, observed: '745' });
    // The hour before began more than an hour ago: what is in it may be older.
    expect(await read({ flag: ramped, enabled: true, min: 1 })).toMatchObject({ holds: false, observed: '0' });
    expect(await read({ flag: ramped, enabled: false, during: '2h', min: 5 })).toMatchObject({ holds: true });
    expect(await read({ flag: never, max: 0 })).toMatchObject({
      holds: false,
      reason: `no client has reported on ${never} within 48 hours: whether it is used nobody can say`,
    });
    const elsewhere = await read({ flag: ramped, environment: 'production', max: 0 });
    expect(elsewhere).toMatchObject({ holds: false, reason: expect.stringContaining('no client has reported') });
    await until({ flag: quiet, enabled: false, max: 0 });
  });

  test('without an Unleash it is an error of the configuration', async () => {
    const here = await room();
    const conditions = createConditions({ databases: here.deps.databases, prometheusUrl: null });
    onTestFinished(() => conditions.close());
    await expect(conditions.read(usage({ flag: 'f', max: 0 }), signal)).rejects.toMatchObject({
      code: 'ConfigInvalid',
    });
  });
});
