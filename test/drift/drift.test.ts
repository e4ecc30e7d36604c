import { expect, test, vi } from 'vitest';
import { Database } from '../../src/adapters/postgres/database.ts';
import { readBaseline } from '../../src/adapters/postgres/baseline.ts';
import type { MigrationHandle } from '../../src/client/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import type { Status } from '../../src/messages/index.ts';
import { type Engine, planOf, startEngine, untilStatus } from '../harness/engine.ts';
import { expandAndMigrate, makeUsers } from '../harness/names.ts';
import { startTeam } from '../harness/team.ts';

vi.setConfig({ testTimeout: 120_000 });

const by = 'ana@example.com';
type Phase = PlanInput['spec']['phases'][number];
const column = (name: string, onFailure?: 'rollback') =>
  ({
    id: name,
    uses: 'ddl',
    database: 'app',
    up: `ALTER TABLE people ADD COLUMN ${name} text`,
    ...(onFailure && { onFailure }),
  }) as const;
/** A column each, and a gate after each but the last: a test does what it wants while one is open. */
const gated = (...names: string[]): Phase[] =>
  names.map((name, index) => ({
    name,
    steps: [column(name, 'rollback')],
    ...(index < names.length - 1 && { approval: 'after' as const }),
  }));

async function room(databases: readonly string[] = ['app']) {
  const engine = await startEngine({ databases });
  const open = (name: string): Database => new Database(name, { url: engine.config.databases[name]?.url ?? '' });
  const app = open('app');
  await app.query(
    `CREATE TABLE public.people (id bigint PRIMARY KEY, name text); CREATE INDEX by_name ON people (name);
    CREATE TABLE public.bystander (id int)`.replace('ON people', 'ON public.people'),
  );
  return { engine, app, open };
}
const gateOpen = (status: Status): boolean => status.gates.some(({ state }) => state === 'open');
const stateOf = (status: Status, step: string): string =>
  status.phases.flatMap(({ steps }) => steps).find(({ id }) => id === step)?.state ?? '';
const held = (status: Status): boolean => status.status === 'held';
async function past(handle: MigrationHandle, gate: string): Promise<void> {
  await untilStatus(handle, (status) => status.gates.some((one) => one.gate === gate && one.state === 'open'));
  expect(await handle.approve({ gate, by })).toMatchObject({ accepted: true });
}
/** What a held step says can be accepted, from the words that a person reads. */
const digestIn = ({ error }: Status): string => /--accept ([0-9a-f]{16})$/.exec(error?.hint ?? '')?.[1] ?? '';
const eventsOf = async (engine: Engine, type: string): Promise<Record<string, string | null>[]> => {
  const home = new Database('home', { url: engine.config.databases['home']?.url ?? '' });
  try {
    return await home.query('SELECT by, data::text FROM switchback.audit WHERE type = $1 ORDER BY id', [type]);
  } finally {
    await home.close();
  }
};

test('a change by hand holds the next step, in words; undone by hand and retried it goes on', async () => {
  const { engine, app } = await room();
  const handle = await engine.switchback.start(planOf(engine.name('drift'), gated('a', 'b', 'c')), { requestedBy: by });
  await untilStatus(handle, gateOpen);
  await app.query(`ALTER TABLE public.people ADD COLUMN nick text, ALTER COLUMN name SET DEFAULT 'x';
    DROP INDEX public.by_name; ALTER TABLE public.bystander ADD COLUMN free_to_change int`);
  await past(handle, 'a/after');
  const status = await untilStatus(handle, held);
  // Held, though the step says rollback: what others did is for a person to judge.
  expect(status.error).toMatchObject({ code: 'SchemaDrift', step: 'b' });
  expect(status.error?.message).toContain('app: column "public.people.nick" (text) was created');
  expect(status.error?.message).toContain(`app: column "public.people.name": default none → 'x'::text`);
  expect(status.error?.message).toContain('app: index "public.people.by_name" was dropped');
  expect(status.error?.message).not.toContain('bystander');
  expect(status.error?.message).not.toContain('people.a"');

  await app.query(`ALTER TABLE public.people DROP COLUMN nick, ALTER COLUMN name DROP DEFAULT;
    CREATE INDEX by_name ON public.people (name)`);
  expect(await handle.retry({ by, step: 'b' })).toMatchObject({ accepted: true });
  await past(handle, 'b/after');
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  await app.close();
});

test('what was shown can be accepted, and nothing else; a table or column made anew is told', async () => {
  const { engine, app } = await room();
  const handle = await engine.switchback.start(planOf(engine.name('accept'), gated('a', 'b', 'c')), {
    requestedBy: by,
  });
  await untilStatus(handle, gateOpen);
  await app.query('ALTER TABLE public.people ADD COLUMN nick text');
  await past(handle, 'a/after');
  const first = digestIn(await untilStatus(handle, held));
  expect(first).toHaveLength(16);

  // Another change comes before the first is accepted: it is shown too.
  await app.query('ALTER TABLE public.people DROP COLUMN name; ALTER TABLE public.people ADD COLUMN name text');
  expect(await handle.retry({ by, step: 'b', accept: first })).toMatchObject({ accepted: true });
  const again = await untilStatus(handle, (one) => held(one) && digestIn(one) !== first);
  expect(again.error?.message).toContain(`${first}, which was accepted, is not what is there now`);
  expect(again.error?.message).toContain('column "public.people.name" (text) was created');
  expect(again.error?.message).toContain('column "public.people.name" (text) was dropped');
  expect(await eventsOf(engine, 'drift-accepted')).toEqual([]);

  const second = digestIn(again);
  expect(await handle.retry({ by, step: 'b', accept: second })).toMatchObject({ accepted: true });
  await past(handle, 'b/after');
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const [event, more] = await eventsOf(engine, 'drift-accepted');
  expect(event?.['by']).toBe(by);
  expect(event?.['data']).toContain(second);
  expect(more).toBeUndefined();
  await app.close();
});

test('accepting what nobody showed is refused at once', async () => {
  const { engine, app } = await room();
  const handle = await engine.switchback.start(
    planOf(engine.name('refused'), [
      { name: 'one', steps: [{ ...column('a'), up: 'ALTER TABLE people ADD COLUMN id text', onFailure: 'hold' }] },
    ]),
    { requestedBy: by },
  );
  await untilStatus(handle, held);
  const answer = await handle.retry({ by, step: 'a', accept: 'f'.repeat(16) });
  expect(answer).toMatchObject({ accepted: false });
  expect(answer.reason).toContain('nothing to accept');
  await handle.abort({ by });
  await expect(handle.result()).rejects.toMatchObject({ code: 'RolledBack' });
  await app.close();
});

test('what the run does itself is no change by others: steps side by side, builds, dual write, retire, a call', async () => {
  const { engine, app: people, open } = await room(['app']);
  await people.close();
  const app = await makeUsers(engine.config.databases['app']?.url ?? '', 200);
  await app.query(`CREATE TABLE public.events (id bigint, at date) PARTITION BY RANGE (at);
    CREATE TABLE public.events_1 PARTITION OF public.events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')`);
  const team = await startTeam(engine.name('team'));
  const on = { uses: 'ddl', database: 'app' } as const;
  const many = Array.from({ length: 4 }, (_, n) => ({
    ...on,
    id: `wide-${n}`,
    up: `ALTER TABLE users ADD COLUMN w${n} serial; CREATE INDEX CONCURRENTLY w${n}_i ON users (w${n}); COMMENT ON COLUMN users.w${n} IS 'n'`,
  }));
  const phases: Phase[] = [
    {
      name: 'wide',
      steps: [
        ...many,
        {
          ...on,
          id: 'table',
          up: 'CREATE TABLE notes (id serial PRIMARY KEY, user_id bigint REFERENCES users, t text)',
        },
        { ...on, id: 'parts', up: 'ALTER TABLE events ADD COLUMN kind text; CREATE INDEX by_kind ON events (kind)' },
        {
          ...on,
          id: 'rename',
          needs: ['table'],
          up: 'ALTER TABLE notes RENAME TO remarks; ALTER TABLE remarks DROP COLUMN t',
          down: 'ALTER TABLE remarks ADD COLUMN t text; ALTER TABLE remarks RENAME TO notes',
        },
        { ...on, id: 'stats', up: 'CREATE STATISTICS pair ON id, touched FROM users; GRANT SELECT ON users TO PUBLIC' },
      ],
      approval: 'after',
    },
    {
      name: 'other',
      steps: [
        { id: 'theirs', uses: 'call', taskQueue: team.taskQueue, activity: 'act', input: {} },
        { id: 'ask', uses: 'approval' },
        { ...on, id: 'beside', needs: ['ask'], up: 'ALTER TABLE users ADD COLUMN beside text' },
      ],
    },
    ...expandAndMigrate(),
    { name: 'out', steps: [{ id: 'retire', uses: 'retire', database: 'app', column: 'users.full_name' }] },
    { name: 'last', steps: [{ ...on, id: 'last', up: 'ALTER TABLE users ADD COLUMN last text' }] },
  ];
  team.blocking.add('act');
  const handle = await engine.switchback.start(planOf(engine.name('own'), phases), { requestedBy: by });
  const wide = await untilStatus(handle, (status) => gateOpen(status) || held(status));
  expect(wide.error).toBeNull();
  // A partition that a scheduler makes is none either.
  await app.query(
    `CREATE TABLE public.events_2 PARTITION OF public.events FOR VALUES FROM ('2026-02-01') TO ('2026-03-01')`,
  );
  await past(handle, 'wide/after');
  // What the other team's code changes is meant, for the steps beside it too.
  await team.called(1);
  await app.query('ALTER TABLE public.users ADD COLUMN theirs text');
  await past(handle, 'other/ask');
  const beside = await untilStatus(handle, (status) => ['done', 'held'].includes(stateOf(status, 'beside')));
  expect(beside.error).toBeNull();
  team.blocking.delete('act');
  const end = await untilStatus(handle, (status) => held(status) || status.status === 'completed');
  expect(end.error).toBeNull();
  expect(await handle.result()).toMatchObject({ outcome: 'completed' });
  const run = { migration: handle.name, version: 1, epoch: 1, digest: '', generation: 1 };
  const home = open('app');
  expect([...((await readBaseline(home, run))?.objects.keys() ?? [])].join()).toContain('theirs');
  await home.close();
  await app.close();
});
