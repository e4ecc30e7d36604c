import { readFileSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { dryRun, type DryRun } from '../../src/cli/dry-run/dry-run.ts';
import { dryRunText } from '../../src/cli/dry-run/dry-run-text.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { catalogDigest, catalogSnapshot } from '../../src/adapters/postgres/catalog.ts';
import { checkPlan } from '../../src/plan/file/index.ts';
import type { PlanInput } from '../../src/plan/index.ts';
import { freshDatabase } from '../harness/servers.ts';
import { DOWN, splitPlan, UP } from '../harness/names.ts';

async function original(setUp: string): Promise<{ url: string; database: Database }> {
  const { url } = await freshDatabase('dry');
  const database = new Database('app', { url });
  onTestFinished(() => database.close());
  await database.query(setUp);
  return { url, database };
}

async function run(plan: PlanInput, url: string, lines: string[] = []): Promise<DryRun> {
  const checked = await checkPlan(plan);
  if (!checked.ok) throw new Error(JSON.stringify(checked.problems));
  return dryRun({
    plan: checked.plan,
    digest: checked.digest,
    urls: { app: { url } },
    say: (line) => lines.push(line),
  });
}

const USERS = 'CREATE TABLE public.users (id bigint PRIMARY KEY, full_name text NOT NULL)';
const on = { database: 'app' } as const;

test('a plan that comes back: what changes, how it comes back and the locks really taken', async () => {
  const { url, database } = await original(USERS);
  await database.query(`INSERT INTO public.users SELECT n, 'a b' FROM generate_series(1, 1000) n`);
  const before = await database.session(async (session) => catalogDigest(await catalogSnapshot(session)));
  const plan = splitPlan('dry', [
    {
      name: 'expand',
      steps: [
        {
          id: 'index',
          uses: 'ddl',
          ...on,
          needs: ['columns'],
          up: 'CREATE INDEX CONCURRENTLY by_name ON users (given_name)',
        },
        {
          id: 'columns',
          uses: 'ddl',
          ...on,
          up: 'ALTER TABLE users ADD COLUMN given_name text; ALTER TABLE users ADD COLUMN family_name text',
        },
      ],
    },
    { name: 'sync', steps: [{ id: 'sync', uses: 'dual-write', ...on, table: 'users', up: UP, down: DOWN }] },
  ]);
  const lines: string[] = [];
  const result = await run(plan, url, lines);
  expect(result).toMatchObject({ ok: true, problems: [], left: [] });
  expect(result.effects.map(({ step, direction }) => `${step} ${direction}`)).toEqual([
    'columns up',
    'index up',
    'sync up',
    'sync down',
    'index down',
    'columns down',
  ]);
  expect(result.databases).toMatchObject([{ name: 'app', missing: [], notBack: [] }]);
  expect(result.databases[0]?.changed).toContain('+ column "public.users.given_name" text');
  const taken = result.effects[0]?.transactions.map(({ statements, locks }) => ({ statements, locks }));
  expect(taken?.[0]).toEqual({
    statements: ['ALTER TABLE users ADD COLUMN given_name text'],
    locks: [{ schema: 'public', relation: 'users', mode: 'ACCESS EXCLUSIVE' }],
  });
  expect(result.effects[1]?.transactions.map(({ locks }) => locks)).toContain(null);
  expect(lines).toContain('round 2 of 2: columns, back');
  // The original has only been looked at.
  expect(await database.session(async (session) => catalogDigest(await catalogSnapshot(session)))).toBe(before);
  expect(await database.query("SELECT to_regnamespace('switchback') AS ledger")).toEqual([{ ledger: null }]);
});

test('a split of a table is tried up and back; its text names the functions without their bodies', async () => {
  const { url } = await original(
    'CREATE TABLE public.users (id bigint PRIMARY KEY, full_name text NOT NULL, bio text, city text)',
  );
  const result = await run(
    splitPlan('dry', [
      {
        name: 'expand',
        steps: [
          {
            id: 'table',
            uses: 'ddl',
            ...on,
            up: 'CREATE TABLE profiles (user_id bigint PRIMARY KEY REFERENCES users (id), bio text, city text)',
          },
        ],
      },
      {
        name: 'sync',
        steps: [
          {
            id: 'sync',
            uses: 'dual-write',
            ...on,
            from: { table: 'users', key: 'id' },
            to: { table: 'profiles', key: 'user_id' },
            up: { bio: 'bio', city: 'upper(city)' },
            down: { bio: 'bio', city: 'lower(city)' },
          },
        ],
      },
      { name: 'contract', risk: 'low', steps: [{ id: 'retire', uses: 'retire', ...on, column: 'users.bio' }] },
    ]),
    url,
  );
  expect(result).toMatchObject({ ok: true, problems: [], left: [] });
  const text = dryRunText(result);
  expect(text).toContain('CREATE OR REPLACE FUNCTION "switchback"."sync_');
  expect(text).toMatch(/ALTER TABLE "public"\."users" RENAME COLUMN "bio"/);
  expect(text).not.toMatch(/TEMPORARY|zz_probe|BEGIN/);
  for (const line of text.split('\n')) expect(line.length).toBeLessThan(600);
  const bodies = result.effects.flatMap(({ transactions }) => transactions.flatMap(({ statements }) => statements));
  expect(bodies.some((sql) => sql.includes('BEGIN'))).toBe(true);
});

test('a plan that fails half-way says where, and what is left of it', async () => {
  const { url } = await original(`${USERS}; CREATE VIEW public.names AS SELECT full_name FROM public.users`);
  const result = await run(
    splitPlan('dry', [
      {
        name: 'expand',
        steps: [
          {
            id: 'columns',
            uses: 'ddl',
            ...on,
            up: 'ALTER TABLE users ADD COLUMN a text; ALTER TABLE users ADD COLUMN full_name text',
          },
        ],
      },
    ]),
    url,
  );
  expect(result.ok).toBe(false);
  expect(result.problems).toEqual([expect.stringContaining('column "full_name" of relation "users" already exists')]);
  expect(result.databases[0]).toMatchObject({ changed: ['+ column "public.users.a" text'], notBack: [] });
});

test('a `down` that does not bring everything back is told', async () => {
  const { url } = await original(USERS);
  const result = await run(
    splitPlan('dry', [
      {
        name: 'expand',
        steps: [
          {
            id: 'columns',
            uses: 'ddl',
            ...on,
            up: 'ALTER TABLE users ADD COLUMN a text; ALTER TABLE users ADD COLUMN b text',
            down: 'ALTER TABLE users DROP COLUMN a',
          },
        ],
      },
    ]),
    url,
  );
  expect(result.ok).toBe(false);
  expect(result.problems[0]).toBe('app is not as before: + column "public.users.b" text');
});

test.each([
  ['columns that change places under their dual writes come back', 'int-to-bigint', ['drop-key', 'drop-reference']],
  ['what comes after a drop is left out', 'replace-enum', ['drop', 'default', 'type']],
])('an example: %s', async (_, name, left) => {
  const example = (file: string): string => readFileSync(`examples/${name}/${file}`, 'utf8');
  const { url } = await original(`SET search_path = public; ${example('schema.sql')}`);
  const plan = parse(example('plan.yaml').replaceAll('orders-db', 'app'), { merge: true }) as PlanInput;
  const result = await run(plan, url);
  expect(result).toMatchObject({ ok: true, problems: [] });
  expect(result.left.map(({ step }) => step)).toEqual(left);
});
