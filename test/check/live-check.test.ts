import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Deps } from '../../src/activities/deps.ts';
import { createLiveCheck } from '../../src/activities/live-check.ts';
import { Database, Databases, type DatabaseUrls } from '../../src/adapters/postgres/database.ts';
import { bytesOfRoom } from '../../src/adapters/postgres/disk-room.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import type { LiveCheck } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { planOf } from '../harness/engine.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

type Steps = PlanInput['spec']['phases'][number]['steps'];
const on = { database: 'app' } as const;
/** A port that nothing listens on. */
const NOWHERE = '127.0.0.1:1';

let fresh: FreshDatabase;
let admin: Database;
const role = `worker_${randomBytes(4).toString('hex')}`;
const password = randomBytes(8).toString('hex');
/** The URL of the role with few rights. */
let limited = '';

beforeAll(async () => {
  fresh = await freshDatabase('check');
  admin = new Database('app', { url: fresh.url });
  const url = new URL(fresh.url);
  url.username = role;
  url.password = password;
  limited = url.href;
  await admin.session((session) =>
    session.query(`
      CREATE ROLE ${role} LOGIN PASSWORD '${password}';
      SET search_path = public;
      CREATE TABLE users (id bigint PRIMARY KEY, mail text, age int);
      INSERT INTO users SELECT n, 'u' || n, n FROM generate_series(1, 20000) n;
      CREATE TABLE own (id bigint PRIMARY KEY, a text, b text);
      ALTER TABLE own OWNER TO ${role};
      CREATE TABLE readable (id bigint PRIMARY KEY, a text); GRANT SELECT ON readable TO ${role};
      CREATE TABLE hidden (id bigint PRIMARY KEY, a text); GRANT SELECT, UPDATE ON hidden TO ${role};
      ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
      CREATE TABLE sent (id bigint PRIMARY KEY, a text); ALTER TABLE sent OWNER TO ${role};
      CREATE PUBLICATION out FOR TABLE sent;
      ANALYZE users`),
  );
});
afterAll(async () => {
  await admin.session((session) => session.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`));
  await admin.close();
  await fresh.drop();
});

interface Surroundings {
  databases?: Record<string, DatabaseUrls>;
  spec?: Partial<PlanInput['spec']>;
}

async function check(steps: Steps, { databases = {}, spec }: Surroundings = {}): Promise<LiveCheck> {
  const all = new Databases({ app: { url: fresh.url }, ...databases });
  const home = new HomeLedger(admin);
  const deps = { databases: all, home, unleash: null, approvers: {} } as Partial<Deps> as Deps;
  try {
    return await createLiveCheck(deps).checkLive({ plan: planOf('live', [{ name: 'one', steps }], spec) });
  } finally {
    await all.close();
  }
}
const ddl = (id: string, up: string, more: object = {}): Steps[number] => ({ id, uses: 'ddl', ...on, up, ...more });
const told = ({ findings }: LiveCheck): string[] => findings.map(({ step, rule }) => `${step}: ${rule}`);

describe('databases that can’t be used', () => {
  test('are told one by one; the others are checked all the same', async () => {
    const wrong = new URL(fresh.url);
    wrong.password = 'not-the-password';
    const absent = new URL(fresh.url);
    absent.pathname = '/there-is-none';
    const databases = {
      gone: { url: `postgres://x@${NOWHERE}/x` },
      'wrong-password': { url: wrong.href },
      absent: { url: absent.href },
      limited: { url: limited },
    };
    const names = ['app', ...Object.keys(databases), 'unknown'];
    const steps = names.map((database) => ddl(database, 'ALTER TABLE users ADD COLUMN x int', { database }));
    const live = await check(steps, { databases });
    for (const words of [
      'database "gone" can\'t be reached',
      'database "wrong-password" refuses the credentials',
      'database "absent": database "there-is-none" does not exist',
      `the worker's role "${role}" may not create the ledger's schema in database "limited"`,
      'the plan names database "unknown"',
    ])
      expect(live.problems.filter((problem) => problem.includes(words))).toHaveLength(1);
    expect(live.databases.map(({ name, version, steps: of }) => [name, version !== null, of.length])).toEqual([
      ['absent', false, 0],
      ['app', true, 1],
      ['gone', false, 0],
      ['limited', true, 1],
      ['unknown', false, 0],
      ['wrong-password', false, 0],
    ]);
    expect(JSON.stringify(live)).not.toContain('not-the-password');
  });

  test('a label of the configuration that no table has is noted: it hides nothing', async () => {
    const labels = { users: ['pii'], usres: ['pii'], 'crm.users': ['pii'] };
    const live = await check([ddl('a', 'ALTER TABLE users ADD COLUMN x int')], {
      databases: { app: { url: fresh.url, labels } },
    });
    expect(live.notes.filter((note) => note.includes('labels'))).toEqual([
      'app: the configuration labels "usres" as personal data, and there is no such table',
      'app: the configuration labels "crm.users" as personal data, and there is no such table',
    ]);
  });

  test('someone who holds a table exclusively is told instead of waited for', async () => {
    await admin.transaction(async (other) => {
      await other.query(`CREATE TABLE public.busy (id int DEFAULT 1 + 1)`);
    });
    await admin.transaction(async (other) => {
      await other.query('LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE');
      const live = await check([ddl('a', 'ALTER TABLE busy ADD COLUMN x int')]);
      expect(live.problems.join('\n')).toContain("the catalog can't be read, for someone holds an exclusive lock");
    });
  });
});

describe('a dual write between two tables', () => {
  test('whose row brings the other along is told; what can’t be kept in step is refused', async () => {
    await admin.query(`CREATE TABLE public.pages (id bigint PRIMARY KEY, body text);
      CREATE TABLE public.bodies (page_id bigint PRIMARY KEY REFERENCES public.pages, text text, must text NOT NULL)`);
    const step = (up: Record<string, string>): Steps[number] => ({
      id: 'bodies',
      uses: 'dual-write',
      ...on,
      from: { table: 'pages', key: 'id' },
      to: { table: 'bodies', key: 'page_id' },
      up,
    });
    const live = await check([step({ text: 'body' })]);
    expect(live.findings).toMatchObject([{ rule: 'dual-write-refused', refused: true }]);
    expect(live.findings[0]?.message).toContain('"must" is NOT NULL without a DEFAULT');
    const fine = await check([step({ text: 'body', must: "''" })]);
    expect(fine.findings.map(({ message }) => message)).toEqual([]);
    expect(fine.notes.join()).toContain(
      'one/bodies: "public"."bodies" follows "public"."pages": rows of "public"."bodies" come and go with those of',
    );
  });
});

describe('steps of other kinds', () => {
  const steps: Steps = [
    { id: 'own-sync', uses: 'dual-write', ...on, table: 'own', up: { b: 'lower(a)' } },
    { id: 'own-fill', uses: 'backfill', of: 'own-sync', needs: ['own-sync'] },
    { id: 'others-sync', uses: 'dual-write', ...on, table: 'readable', up: { b: 'lower(a)' } },
    { id: 'fill', uses: 'backfill', ...on, table: 'readable', set: { a: "'x'" } },
    { id: 'look', uses: 'verify', ...on, table: 'readable', expect: { a: "'x'" }, onMismatch: 'hold' },
    { id: 'repair', uses: 'verify', ...on, table: 'readable', expect: { a: "'x'" } },
    { id: 'blind', uses: 'verify', ...on, table: 'hidden', expect: { a: "'x'" } },
    { id: 'sent-sync', uses: 'dual-write', ...on, table: 'sent', up: { b: 'lower(a)' } },
    { id: 'retire', uses: 'retire', ...on, column: 'readable.a' },
    { id: 'nowhere', uses: 'backfill', ...on, table: 'nope', set: { a: "'x'" } },
  ];
  test('a right that is missing, hidden rows, replication and a missing table are found', async () => {
    const live = await check(steps, { databases: { app: { url: limited } } });
    expect(told(live)).toEqual([
      'others-sync: step-missing-privilege',
      'fill: step-missing-privilege',
      'repair: step-missing-privilege',
      'blind: step-hidden-rows',
      'sent-sync: step-replicated-table',
      'retire: step-missing-privilege',
      'nowhere: step-missing-table',
    ]);
    expect(live.findings[1]?.message).toBe(`the worker's role "${role}" may not update public.readable`);
    expect(live.problems).toContain(`one/fill: ${live.findings[1]?.message} (rule step-missing-privilege)`);
  });
  test('a role with all rights has none of it', async () => {
    expect(told(await check(steps))).toEqual([
      // The column that it fills isn't there.
      'others-sync: dual-write-refused',
      'sent-sync: step-replicated-table',
      'nowhere: step-missing-table',
    ]);
  });
  test('a statement about a table that is not there is refused, unless something unseen may make the table', async () => {
    const typo = ddl('typo', 'ALTER TABLE usrs ADD COLUMN a text; ALTER TABLE IF EXISTS usrs ADD COLUMN b text');
    const makes = ddl('makes', 'CREATE TABLE made (id int); CREATE INDEX made_id ON made (id)');
    const { findings } = await check([makes, typo]);
    expect(findings.filter(({ rule }) => rule === 'step-missing-table')).toMatchObject([
      { step: 'typo', statement: 1, refused: true, message: 'table public.usrs is not in database "app"' },
    ]);
    const after = await check([typo], { spec: { requires: ['makes-usrs'] } });
    expect(after.findings.map(({ rule }) => rule)).not.toContain('step-missing-table');
  });
  test('a table that an earlier step makes is there for the later one, and one that was retired is not', async () => {
    const live = await check([
      ddl('make', 'CREATE TABLE made (id bigint PRIMARY KEY, a text)'),
      { id: 'fill', uses: 'backfill', ...on, table: 'made', set: { a: "'x'" } },
      { id: 'retire', uses: 'retire', ...on, table: 'own' },
      { id: 'late', uses: 'backfill', ...on, table: 'own', set: { a: "'x'" } },
    ]);
    expect(told(live)).toEqual(['late: step-missing-table']);
  });
});

describe('statements', () => {
  test('the ones that will run, with what earlier steps make of the catalog', async () => {
    const live = await check([
      ddl('column', 'ALTER TABLE users ADD COLUMN nick text'),
      ddl('index', 'CREATE INDEX by_nick ON users (nick); CREATE INDEX by_mail ON users (mail)'),
    ]);
    const [column, index] = live.databases[0]?.steps ?? [];
    expect(column).toMatchObject({ phase: 'one', step: 'column', path: 'spec.phases[0].steps[0].up' });
    expect(column?.statements[0]).toMatchObject({
      number: 1,
      offset: 0,
      safeForm: null,
      runs: [
        { locks: [{ relation: 'users', mode: 'ACCESS EXCLUSIVE', held: 'moment', waits: 'readers and writers' }] },
      ],
    });
    expect(index?.statements.map(({ number, offset, runs }) => [number, offset, runs[0]?.concurrently])).toEqual([
      [1, 0, true],
      [2, 38, true],
    ]);
    expect(index?.statements[1]?.runs[0]?.scans).toMatchObject([{ relation: 'users', rows: 20000 }]);
    expect(live.problems).toEqual([]);
  });

  test('an `allow` that names no rule is a problem, one that is of no use a note', async () => {
    const allow = [
      { rule: 'index-not-concurrent', reason: 'x' },
      { rule: 'drop-index-in-use', reason: 'x' },
    ];
    const live = await check([ddl('column', 'ALTER TABLE users ADD COLUMN nick text', { allow })]);
    expect(live.problems).toEqual([
      'one/column: `allow` names "index-not-concurrent", and there is no such rule (did you mean "index-not-concurrently"?)',
    ]);
    expect(live.notes).toContainEqual(expect.stringContaining('`allow` names "drop-index-in-use"'));
  });

  test('an index for which the database has no room is refused, unless the plan allows it', async () => {
    const room = { databases: { app: { url: fresh.url, room: 1 } } };
    const up = 'CREATE INDEX by_mail ON users (mail)';
    const live = await check([ddl('index', up)], room);
    expect(live.findings.find(({ rule }) => rule === 'disk-room')).toMatchObject({ refused: true, severity: 'error' });
    const allowed = await check(
      [ddl('index', up, { allow: [{ rule: 'disk-room', reason: 'a disk is on its way' }] })],
      room,
    );
    expect(allowed.findings.find(({ rule }) => rule === 'disk-room')).toMatchObject({
      refused: false,
      allowed: 'a disk is on its way',
    });
    expect(allowed.problems).toEqual([]);
  });

  test('a backfill without room is refused, and one that sets a column of an index is warned of', async () => {
    const steps: Steps = [
      ddl('index', 'CREATE INDEX CONCURRENTLY by_mail ON users (lower(mail))'),
      { id: 'fill', uses: 'backfill', ...on, table: 'users', set: { mail: "'x'" } },
      { id: 'few', uses: 'backfill', ...on, table: 'users', set: { mail: "'x'" }, where: 'id < 10' },
    ];
    const index = ['fill: step-backfill-index', 'few: step-backfill-index'];
    const ofBackfills = async (options?: object): Promise<string[]> =>
      (await check(steps, options)).findings.flatMap(({ step, rule }) =>
        rule.startsWith('step-') ? [`${step}: ${rule}`] : [],
      );
    expect(await ofBackfills()).toEqual(index);
    expect(await ofBackfills({ databases: { app: { url: fresh.url, room: 1 } } })).toEqual([
      'fill: step-backfill-room',
      ...index,
    ]);
  });

  test('room is what is left of what is configured, and of the disk where it can be seen', async () => {
    const free = await bytesOfRoom(admin, null);
    expect(free).toBeGreaterThan(0);
    expect(await bytesOfRoom(admin, 1)).toBe(0);
    const [row] = await admin.query('SELECT pg_database_size(current_database())::text AS bytes');
    const left = (await bytesOfRoom(admin, Number(row?.['bytes']) + 2 ** 20)) ?? 0;
    expect(Math.abs(left - 2 ** 20)).toBeLessThan(2 ** 20);
  });
});

test('columns and expressions of backfills and comparisons are tried on the table as the steps before leave it', async () => {
  const of = { ...on, table: 'users' } as const;
  const { problems, notes } = await check([
    { id: 'early', uses: 'backfill', ...of, set: { domain: 'mail' } },
    ddl('columns', 'ALTER TABLE users ADD COLUMN domain text', { needs: ['early'] }),
    { id: 'fill', uses: 'backfill', ...of, set: { domain: "split_part(mail, '@', 2)" }, needs: ['columns'] },
    { id: 'compare', uses: 'verify', ...of, expect: { domain: "split_part(mail, '@', 2)" }, needs: ['fill'] },
    { id: 'key', uses: 'backfill', ...of, set: { id: 'id + 1' }, needs: ['early'] },
    { id: 'wrong', uses: 'verify', ...of, expect: { age: 'agee' } },
  ]);
  expect(problems).toEqual([
    expect.stringMatching(/^one\/early: table "public"\."users" has no column "domain"; it has "id", "mail", "age"/),
    expect.stringContaining('one/key: set.id: "id" is part of the key'),
    expect.stringMatching(/^one\/wrong: expect\.age: .*column "agee" does not exist/),
  ]);
  expect(notes.filter((note) => note.startsWith('one/'))).toEqual([]);
});

test('a throttle by replica lag needs replicas in the configuration, of each database that the step works in', async () => {
  const fill = { uses: 'backfill', table: 'users', set: { age: '1' }, throttle: { maxReplicaLag: '2s' } } as const;
  const steps: Steps = [
    { id: 'fill', ...on, ...fill },
    { id: 'other', database: 'replicated', ...fill },
  ];
  const replicated = { url: fresh.url, replicas: [fresh.url] };
  expect((await check(steps, { databases: { replicated } })).problems).toEqual([
    'one/fill: throttle.maxReplicaLag: database "app" has no replicas in the configuration of the worker (add databases.app.replicas, or leave maxReplicaLag out)',
  ]);
});
