import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Deps } from '../../src/activities/deps.ts';
import { createLiveCheck } from '../../src/activities/live-check.ts';
import { Database, Databases } from '../../src/adapters/postgres/database.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import type { LiveCheck } from '../../src/messages/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { planOf } from '../harness/engine.ts';
import { type FreshDatabase, freshDatabase } from '../harness/servers.ts';

let fresh: FreshDatabase;
let admin: Database;
beforeAll(async () => {
  fresh = await freshDatabase('check_sync');
  admin = new Database('app', { url: fresh.url });
});
afterAll(async () => {
  await admin.close();
  await fresh.drop();
});

type Steps = PlanInput['spec']['phases'][number]['steps'];
const ddl = (up: string): Steps[number] => ({ id: 'columns', uses: 'ddl', database: 'app', up });
const sync = (fields: object): Steps[number] =>
  ({ id: 'sync', uses: 'dual-write', database: 'app', ...fields }) as Steps[number];
const SPLIT = {
  up: { first: "split_part(name, ' ', 1)", rest: "nullif(substr(name, strpos(name || ' ', ' ') + 1), '')" },
  down: { name: "first || coalesce(' ' || rest, '')" },
};

/** What the check says of the step `sync`, and what of it is in the catalog afterwards. */
async function check(sql: string, steps: Steps, labels: Record<string, string> = {}): Promise<LiveCheck> {
  if (sql !== '')
    await admin.session((session) => session.query(`SET search_path = public; ${sql}; RESET search_path`));
  const all = new Databases({ app: { url: fresh.url } });
  const deps = { databases: all, home: new HomeLedger(admin), unleash: null, approvers: {} } as Partial<Deps> as Deps;
  const plan = planOf('sync', [{ name: 'one', steps }]);
  try {
    return await createLiveCheck(deps).checkLive({ plan: { ...plan, metadata: { ...plan.metadata, labels } } });
  } finally {
    await all.close();
  }
}
const told = ({ findings }: LiveCheck) =>
  findings
    .filter(({ rule }) => rule.startsWith('dual-write'))
    .map(({ rule, message, refused }) => ({ rule, message, refused }));

test('rows that don’t come back are counted before the new columns exist; keys and short values are shown', async () => {
  const live = await check(
    `CREATE TABLE people (id bigint PRIMARY KEY, name varchar(60));
     INSERT INTO people SELECT i, CASE WHEN i % 100 = 0 THEN 'Ends ' WHEN i % 3 = 0 THEN NULL ELSE 'Ada Lovelace' || i END FROM generate_series(1, 1000) i;
     ANALYZE people`,
    [
      ddl('ALTER TABLE people ADD COLUMN first varchar(40); ALTER TABLE people ADD COLUMN rest text'),
      sync({ table: 'people', ...SPLIT }),
    ],
  );
  expect(told(live)).toEqual([
    {
      rule: 'dual-write-lossy',
      refused: false,
      message: `10 of 1,000 rows of public.people come back changed: ${[1, 2, 3, 4, 5].map((i) => `key ${i}00 (name "Ends " comes back as "Ends")`).join(', ')}, …`,
    },
  ]);
  expect(live.problems).toEqual([]);
  const left = await admin.query(
    "SELECT attname FROM pg_attribute WHERE attrelid = 'public.people'::regclass AND attnum > 2",
  );
  expect(left).toEqual([]);
});

test('of a table labelled pii no value is told, and keys only as hashes', async () => {
  const steps = [
    ddl('ALTER TABLE people ADD COLUMN first text, ADD COLUMN rest text'),
    sync({ table: 'people', ...SPLIT }),
  ];
  const [finding] = told(await check('', steps, { pii: 'people' }));
  expect(finding?.message).toContain('10 of 1,000 rows of public.people come back changed');
  expect(finding?.message).not.toMatch(/Ends|key 100\b/);
});

test('a large table is told by a sample', async () => {
  const live = await check("UPDATE pg_class SET reltuples = 5e6, relpages = 6 WHERE oid = 'public.people'::regclass", [
    ddl('ALTER TABLE people ADD COLUMN first text, ADD COLUMN rest text'),
    sync({ table: 'people', up: { first: 'lower(name)' }, down: { name: 'first' } }),
  ]);
  const text = told(live)[0]?.message ?? live.notes.join();
  // Of so few pages any number may be in the sample, none included.
  expect(text).toMatch(/^about .* of 5,000,000 rows of public\.people \(.* in a sample of .*\)|^app/);
});

test('an expression that fails on a row is told, also of a column from which nothing leads back', async () => {
  const live = await check(
    "CREATE TABLE sums (id int PRIMARY KEY, a text); INSERT INTO sums VALUES (1, '1'), (2, 'x')",
    [ddl('ALTER TABLE sums ADD COLUMN n int'), sync({ table: 'sums', up: { n: 'a::int' } })],
  );
  expect(told(live)).toMatchObject([{ rule: 'dual-write-fails', refused: false }]);
});

test('what the step would refuse is refused, by name, before anything runs', async () => {
  await admin.session((session) =>
    session.query(`SET search_path = public; CREATE TABLE t (id int PRIMARY KEY, a text, twice text GENERATED ALWAYS AS (a || a) STORED);
      CREATE DOMAIN given AS text NOT NULL; CREATE DOMAIN preset AS text DEFAULT 'x';
      CREATE FUNCTION noop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
      CREATE TABLE parts (id int, r text, a text) PARTITION BY LIST (r);
      CREATE TABLE parts_1 PARTITION OF parts DEFAULT PARTITION BY RANGE (lower(a)); RESET search_path`),
  );
  const refusal = async (columns: string, fields: object): Promise<string> => {
    const live = await check('', [ddl(columns), sync({ table: 't', ...fields })]);
    expect(told(live)).toMatchObject([{ rule: 'dual-write-refused', refused: true }]);
    return told(live)[0]?.message ?? '';
  };
  const up = { b: 'a' };
  expect(await refusal("ALTER TABLE t ADD COLUMN b text DEFAULT ''", { up })).toContain(
    '"b" of "public"."t" has a DEFAULT',
  );
  expect(await refusal('ALTER TABLE t ADD COLUMN b preset', { up })).toContain('has a DEFAULT');
  expect(await refusal('ALTER TABLE t ADD COLUMN b given', { up })).toContain('of a domain that refuses NULL');
  expect(
    await refusal('ALTER TABLE t ADD COLUMN b int GENERATED BY DEFAULT AS IDENTITY', { up: { b: 'id' } }),
  ).toContain('has a DEFAULT');
  expect(await refusal('ALTER TABLE t ADD COLUMN b text GENERATED ALWAYS AS (a) STORED', { up })).toContain(
    '"b" is a generated column',
  );
  expect(await refusal('ALTER TABLE t ADD COLUMN b text', { up, down: { twice: 'b' } })).toContain(
    '"twice" is a generated column',
  );
  expect(await refusal('ALTER TABLE t ADD COLUMN b text', { up: { b: 'nope' } })).toContain(
    'column "nope" does not exist',
  );
  expect(await refusal('ALTER TABLE parts ADD COLUMN b text', { table: 'parts', up, down: { a: 'b' } })).toContain(
    'part of a partition key',
  );
  expect(await refusal('ALTER TABLE parts ADD COLUMN b text', { table: 'parts_1', up })).toContain('is a partition of');
  await admin.query('CREATE TRIGGER zzz_late BEFORE UPDATE ON public.t FOR EACH ROW EXECUTE FUNCTION public.noop()');
  expect(await refusal('ALTER TABLE t ADD COLUMN b text', { up })).toContain(
    'trigger zzz_late on public.t would run after ours',
  );
});

test('a trigger for UPDATE OF what is derived is a warning; what the plan makes before is not asked for', async () => {
  const live = await check(
    `CREATE TABLE seen (id int PRIMARY KEY, a text); CREATE TRIGGER looks AFTER UPDATE OF a ON seen FOR EACH ROW EXECUTE FUNCTION noop();
     INSERT INTO seen VALUES (1, 'x')`,
    [ddl('ALTER TABLE seen ADD COLUMN b text'), sync({ table: 'seen', up: { b: 'a' }, down: { a: 'b' } })],
  );
  expect(told(live)).toEqual([
    {
      rule: 'dual-write-update-of',
      refused: false,
      message: 'trigger looks on public.seen is for UPDATE OF a, which the step derives',
    },
  ]);
  const later = await check('', [
    ddl("CREATE TYPE public.feeling AS ENUM ('x'); ALTER TABLE seen ADD COLUMN b public.feeling"),
    sync({ table: 'seen', up: { b: 'a::public.feeling' } }),
  ]);
  expect(told(later)).toEqual([]);
  expect(later.notes.join('\n')).toContain("one/sync: can't be tried before the steps before it have run");
});
