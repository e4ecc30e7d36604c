import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createConditions } from '../../src/activities/conditions.ts';
import { ddl } from '../../src/activities/ddl.ts';
import type { Deps } from '../../src/activities/deps.ts';
import { createLifecycle } from '../../src/activities/lifecycle.ts';
import { createLiveCheck } from '../../src/activities/live-check.ts';
import { Databases } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { ddl as ddlSchema } from '../../src/plan/steps/ddl.ts';
import { effectBench } from '../harness/effect-context.ts';
import { freshDatabase } from '../harness/servers.ts';
import { type ServerPair, serverPair } from '../harness/standby.ts';
import { closedPort } from './room.ts';

const signal = new AbortController().signal;

let servers: ServerPair;
beforeAll(async () => {
  servers = await serverPair();
});
afterAll(() => servers.stop());

describe('a database in recovery', () => {
  const PLAN = {
    apiVersion: 'switchback/v1',
    kind: 'Migration',
    metadata: { name: 'on-a-standby', version: 1, owner: 'team-identity' },
    spec: {
      summary: 'Add a column',
      phases: [
        {
          name: 'expand',
          steps: [{ id: 'column', uses: 'ddl', database: 'app', up: 'ALTER TABLE people ADD COLUMN name text' }],
        },
      ],
    },
  };
  const REFUSED = {
    code: 'DatabaseUnreachable',
    message: 'database "app" is in recovery: it takes no writes',
    hint: expect.stringContaining('databases.app.url'),
  };

  /** `app` is the standby of a database that has a table and a ledger, with all of that replayed. */
  async function standby() {
    const primary = await effectBench(servers.primary);
    const app = primary.databases.get('app');
    await app.query('CREATE TABLE IF NOT EXISTS public.people (id int)');
    const [at] = await app.query('SELECT pg_current_wal_lsn()::text AS lsn');
    const home = (await freshDatabase('home')).url;
    const databases = new Databases({ home: { url: home }, app: { url: servers.standby } });
    onTestFinished(async () => {
      await databases.close();
      await primary.close();
    });
    await replayed(databases, at?.['lsn'] ?? '');
    return { primary, databases };
  }
  async function replayed(databases: Databases, lsn: string): Promise<void> {
    const query = 'SELECT FROM pg_stat_wal_receiver WHERE pg_last_wal_replay_lsn() >= $1::pg_lsn';
    while ((await databases.get('app').query(query, [lsn])).length === 0)
      await new Promise((resolve) => setTimeout(resolve, 20));
  }

  test('a check says so, and still tells what it sees', async () => {
    const { databases } = await standby();
    const home = new HomeLedger(databases.get('home'));
    const deps = { databases, home, unleash: null, approvers: {} } as Partial<Deps> as Deps;
    const found = await createLiveCheck(deps).checkLive({ plan: PLAN });
    expect(found.problems).toContainEqual(expect.stringContaining('database "app" is in recovery: it takes no writes'));
    expect(found.notes).toContainEqual(expect.stringContaining('public.people'));
  });

  test('a run is refused at its start, and not tried again', async () => {
    const { databases } = await standby();
    const home = new HomeLedger(databases.get('home'));
    const lifecycle = createLifecycle({ databases, home } as Partial<Deps> as Deps);
    const begun = lifecycle.begin({
      plan: { name: 'on-a-standby', version: 1, owner: 'team-identity', databases: ['app'] },
      document: PLAN,
      digest: 'sha256:test',
      requestedBy: 'ana@example.com',
    });
    await expect(begun).rejects.toMatchObject({
      type: REFUSED.code,
      message: expect.stringContaining(REFUSED.message),
      nonRetryable: true,
    });
  });

  test('a step that meets it under way waits for a server that takes writes', async () => {
    const { primary, databases } = await standby();
    const [given] = PLAN.spec.phases[0]?.steps ?? [];
    const input = primary.input<'ddl'>(ddlSchema.parse(given));
    const context = primary.context();
    const effect = ddl.up(input, { ...context, deps: { ...context.deps, databases } });
    await expect(effect).rejects.toMatchObject({ ...REFUSED, retry: true });
  });
});

test('replicaLag: a standby that keeps up, one that has stopped replaying, one that is away, one that is none', async () => {
  const { primary, standby } = servers;
  const databases = new Databases({
    app: { url: primary, replicas: [standby] },
    wrong: { url: primary, replicas: [primary] },
    away: { url: primary, replicas: [`postgres://postgres@127.0.0.1:${await closedPort()}/postgres`] },
    standby: { url: standby },
  });
  const conditions = createConditions({ databases, prometheusUrl: null });
  onTestFinished(async () => {
    await conditions.close();
    await databases.close();
  });
  const read = (database: string, max = '1s') =>
    conditions.read({ name: 'lag', replicaLag: { database, max } }, signal);
  const write = () => databases.get('app').query("SELECT pg_logical_emit_message(true, 'test', 'written')");

  await write();
  expect(await read('app', '10s')).toMatchObject({ holds: true });
  await databases.get('standby').query('SELECT pg_wal_replay_pause()');
  await write();
  const behind = await read('app');
  expect(behind).toMatchObject({
    holds: false,
    reason: expect.stringMatching(/^the slowest replica is \d+ ms behind/),
  });
  // It was level a moment ago: the age of what it replayed last, on an idle primary, would be far too much.
  expect(Number(behind.observed)).toBeLessThan(10_000);
  await databases.get('standby').query('SELECT pg_wal_replay_resume()');
  expect(await read('app', '10s')).toMatchObject({ holds: true });

  await expect(read('wrong')).rejects.toMatchObject({
    code: 'ConfigInvalid',
    message: expect.stringContaining('no replica'),
  });
  await expect(read('away')).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
  await servers.stopStandby();
  await expect(read('app')).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
});
