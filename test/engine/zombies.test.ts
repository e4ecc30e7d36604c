import { expect, test } from 'vitest';
import { Claims } from '../../src/adapters/postgres/claims.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import { upgradeLedger } from '../../src/adapters/postgres/ledger-schema.ts';
import type { Status } from '../../src/messages/index.ts';
import { planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { freshDatabase } from '../harness/servers.ts';
import { startTeam } from '../harness/team.ts';

const by = 'ana@example.com';
const users = [{ database: 'app', schema: 'public', table: 'users' }];

async function ledger(): Promise<{
  home: HomeLedger;
  claims: Claims;
  begin(runId: string, namespace?: string): Begun;
}> {
  const database = new Database('home', { url: (await freshDatabase('zombie')).url });
  await upgradeLedger(database, { home: true });
  const home = new HomeLedger(database);
  const of = { migration: 'm', version: 1, digest: 'd', owner: 'o', requestedBy: by, plan: {} };
  return {
    home,
    claims: new Claims(database),
    begin: (runId, namespace = 'default') => home.begin({ ...of, runId, namespace }),
  };
}
type Begun = ReturnType<HomeLedger['begin']>;
async function runOf(begun: Begun) {
  const outcome = await begun;
  if (outcome.kind !== 'run') throw new Error(outcome.kind);
  return outcome.run;
}
const status = {} as Status;

test('a worker that was frozen while it ended a run frees nothing of the run that came after', async () => {
  const { home, claims, begin } = await ledger();
  const first = await runOf(begin('r1'));
  await claims.take(first, users);
  await home.end(first, 'failed', status);
  const second = await runOf(begin('r2'));
  expect(await claims.take(second, users)).toEqual([]);
  await home.end(first, 'failed', status);
  expect(await claims.release('m')).toHaveLength(1);
  await home.database.close();
});

test('a worker that was frozen takes no claims for a run that has ended', async () => {
  const { home, claims, begin } = await ledger();
  const run = await runOf(begin('r1'));
  await home.end(run, 'completed', status);
  await expect(claims.take(run, users)).rejects.toMatchObject({ code: 'Fenced' });
  expect(await claims.release('m')).toEqual([]);
  await home.database.close();
});

test('only the registered run turns a migration round; asked twice, it turns once', async () => {
  const { home, begin } = await ledger();
  const first = await runOf(begin('r1'));
  const second = await runOf(begin('r2'));
  await expect(home.turnDown(first, 'r1')).rejects.toMatchObject({ code: 'Fenced' });
  const turned = await home.turnDown(second, 'r2');
  expect(await home.turnDown(second, 'r2')).toEqual(turned);
  expect(turned.generation).toBe(second.generation + 1);
  await home.database.close();
});

test('a run of another Temporal namespace does not take over one that is under way, until that is released', async () => {
  const { home, begin } = await ledger();
  await runOf(begin('r1', 'blue'));
  await expect(begin('r2', 'green')).rejects.toMatchObject({
    code: 'OtherNamespace',
    message: expect.stringContaining('"blue"'),
  });
  await home.disown('m');
  await runOf(begin('r2', 'green'));
  await home.database.close();
});

test('an effect that outlives its terminated run commits before the next run looks, and is done once', async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  await app.query('CREATE TABLE public.users AS SELECT 1::bigint AS id');
  const name = engine.name('slow');
  // Slow because it looks at the row, and not to be done twice.
  const up = 'ALTER TABLE users ADD CONSTRAINT slow CHECK (id = 1 AND pg_sleep(4) IS NOT NULL)';
  const plan = planOf(name, [
    {
      name: 'one',
      steps: [{ id: 'a', uses: 'ddl', database: 'app', up, down: 'ALTER TABLE users DROP CONSTRAINT slow' }],
    },
  ]);
  const handle = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(handle, ({ phases, error }) => error !== null || phases[0]?.steps[0]?.state === 'running');
  await expect
    .poll(
      // In its safe form the check is added unvalidated first; it is the validation that looks at the row.
      () => app.query(`SELECT 1 FROM pg_stat_activity WHERE query ~* '^ALTER .*VALIDATE CONSTRAINT "?slow'`),
      {
        timeout: 10_000,
      },
    )
    .toHaveLength(1);
  await engine.client.workflow.getHandle(`migration/${name}`).terminate('by the test');
  const again = await engine.switchback.start(plan, { requestedBy: by });
  expect(await again.result()).toMatchObject({ outcome: 'completed' });
  expect(await app.query(`SELECT 1 FROM pg_constraint WHERE conname = 'slow'`)).toHaveLength(1);
  await app.close();
});

test('a rollback that was left unfinished claims its tables again before it goes on', async () => {
  const engine = await startEngine({ databases: ['app'] });
  const app = new Database('app', { url: engine.config.databases['app']?.url ?? '' });
  await app.query('CREATE TABLE public.users (id bigint PRIMARY KEY)');
  const team = await startTeam(engine.name('team'));
  team.failing.add('other').add('undo');
  const add = (column: string) =>
    ({ id: column, uses: 'ddl', database: 'app', up: `ALTER TABLE users ADD COLUMN ${column} text` }) as const;
  const call = { id: 'c', uses: 'call', taskQueue: team.taskQueue, activity: 'other' } as const;
  const plan = planOf(engine.name('left'), [
    {
      name: 'one',
      steps: [add('a'), { ...call, needs: ['a'], compensate: { activity: 'undo' } }],
    },
  ]);
  const first = await engine.switchback.start(plan, { requestedBy: by });
  await untilStatus(first, (seen) => seen.waitingFor === 'retry or skip of c');
  await first.skip({ by });
  await expect(first.result()).rejects.toMatchObject({ code: 'MigrationFailed' });
  const other = await engine.switchback.start(
    planOf(engine.name('other'), [{ name: 'one', approval: 'after', steps: [add('b')] }]),
    { requestedBy: by },
  );
  await untilStatus(other, (seen) => seen.status === 'awaiting-approval');
  team.failing.clear();
  const again = await engine.switchback.start(plan, { requestedBy: by });
  const waiting = await untilStatus(again, (seen) => seen.waitingFor !== null);
  expect(waiting).toMatchObject({ status: 'rolling-back', waitingFor: expect.stringContaining('app.public.users') });
  await other.approve({ by });
  expect(await other.result()).toMatchObject({ outcome: 'completed' });
  await expect(again.result()).rejects.toMatchObject({ code: 'RolledBack' });
  await app.close();
});
