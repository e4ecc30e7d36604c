import { expect, test } from 'vitest';
import { readAudit } from '../../src/activities/read-audit.ts';
import { Database } from '../../src/adapters/postgres/database.ts';
import { keyHash, saltOf } from '../../src/adapters/postgres/key-hash.ts';
import { recordLineage } from '../../src/adapters/postgres/lineage.ts';
import { stepKinds } from '../../src/plan/steps/index.ts';
import type { AuditQuestion, RunRef } from '../../src/messages/index.ts';
import { auditText } from '../../src/report/audit-text.ts';
import { type DataRoom, dataRoom, effects, users } from './room.ts';

const { dualWrite, backfill } = effects;
const NAME = 'test-migration';

/** The home ledger's row of a migration, without the run that would have written it. */
const register = (room: DataRoom, name = NAME, labels: Record<string, string> = {}) =>
  room.query(
    `INSERT INTO switchback.migrations (migration, version, digest, epoch, generation, direction, state, owner, requested_by, run_id, plan)
     VALUES ($1, 1, '', 1, 1, 'up', 'running', 'team-test', 'ana@example.com', '', $2)`,
    [name, JSON.stringify({ metadata: { labels } })],
  );
const auditOf = (
  { database }: Pick<DataRoom, 'database'>,
  row?: { table: string; key: string[]; schema?: string; database?: string },
  { plainKeys = true, name = NAME } = {},
) => {
  const question: AuditQuestion = {
    name,
    ...(row !== undefined && { row: { ...row, database: row.database ?? null, schema: row.schema ?? null } }),
  };
  return readAudit([database], database, question, { plainKeys });
};
const changesOf = async (room: DataRoom, table: string, ...key: string[]) =>
  (await auditOf(room, { table, key })).row?.changes.map(({ step, sure }) => `${step} ${sure}`);

test('a pair of two tables: which row counts, and that one has no pair', async () => {
  const room = await dataRoom(`CREATE TABLE users (id bigint PRIMARY KEY, bio text, mail text);
    CREATE TABLE profiles (user_id bigint PRIMARY KEY, about text);
    INSERT INTO users SELECT i, 'bio', 'mail' FROM generate_series(1, 3) i`);
  await register(room);
  const fields = { from: { table: 'users', key: 'id' }, to: { table: 'profiles', key: 'user_id' } };
  const up = { up: { about: 'bio' }, down: { bio: 'about' } };
  const step = stepKinds['dual-write'].parse({ uses: 'dual-write', id: 'pairs', database: 'app', ...fields, ...up });
  await dualWrite.up(room.bench.input(step), room.bench.context());
  await room.query(
    "UPDATE public.users SET bio = 'old' WHERE id = 1; UPDATE public.users SET bio = 'old' WHERE id = 2",
  );
  await room.query("UPDATE public.profiles SET about = 'new' WHERE user_id = 2");
  const words = async (table: string, key: string) =>
    (await auditOf(room, { table, key: [key] })).row?.markers.map((marker) => marker.words);
  for (const table of ['users', 'profiles']) {
    expect(await words(table, '1')).toEqual(['"users" was written last; "profiles" follows it']);
    expect(await words(table, '2')).toEqual(['"profiles" was written last; "users" follows it']);
  }
  expect(await words('users', '3')).toEqual(['it has no pair: there is no row of its key in the other table']);
});

test('a row filled, repaired and set aside: what is known of it, of a migration, and in words', async () => {
  const room = await dataRoom(`${users(100)}; UPDATE users SET note = 'poison' WHERE id = 50`);
  await register(room);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  await room.query(
    `ALTER TABLE public.users ADD CONSTRAINT no_poison CHECK (note <> 'poison' OR given_name IS NULL) NOT VALID`,
  );
  const step = { chunk: { rows: 10, fixed: true }, maxRowErrors: 2 };
  await backfill.up(room.backfill({ ...step, preserve: true }), room.bench.context());
  const seven = (await auditOf(room, { table: 'users', key: ['007'] })).row;
  expect(seven).toMatchObject({ database: 'app', schema: 'public', key: '7', exists: true, setAside: [] });
  const whole = await auditOf(room);
  expect(whole.ranges.map(({ kind, table, by, direction }) => [kind, table, by, direction])).toContainEqual([
    'backfill',
    'users',
    'test@example.com',
    'up',
  ]);
  expect(whole.ranges[0]?.before).toMatch(/^-?\d+$/);
  expect(whole.steps.find((one) => one.step === 'sync')?.derives).toMatchObject({
    table: 'users',
    columns: [
      { name: 'given_name', from: ['full_name'] },
      { name: 'family_name', from: ['full_name'] },
      { name: 'full_name', from: ['family_name', 'given_name'] },
    ],
  });
  const there = (await auditOf(room, { table: 'users', schema: 'public', key: ['3'] })).row;
  expect(there?.changes).toMatchObject([{ step: 'fill', sure: 'in-range', migration: NAME, version: 1 }]);
  expect(there?.markers).toEqual([
    { migration: NAME, step: 'sync', words: 'the backfill filled it, and no client has written it since' },
  ]);
  expect(there?.beforeImages).toMatchObject([{ migration: NAME, step: 'fill' }]);

  await room.query(`UPDATE public.users SET full_name = 'Grace Hopper' WHERE id = 3`);
  expect((await auditOf(room, { table: 'users', key: ['3'] })).row?.markers[0]?.words).toContain(
    'old side was written',
  );
  const poison = (await auditOf(room, { table: 'users', key: ['50'] })).row;
  expect(poison?.setAside).toMatchObject([{ step: 'fill', reason: expect.stringContaining('no_poison') }]);
  expect(poison?.beforeImages).toEqual([]);
  const text = auditText({ ...whole, row: poison });
  expect(text).toContain('key 50 of app/public.users: the row is there');
  expect(text).toContain('not migrated yet');
  expect(auditText(whole)).toMatch(
    /fill {2}backfill {2}app\/public\.users {2}.*digest [0-9a-f]{16} → [0-9a-f]{16} {2}by test@example\.com/,
  );
  expect((await auditOf(room, { table: 'users', key: ['9999'] })).row).toMatchObject({ exists: false, changes: [] });
});

test('ranges are compared by the types, directions and collations of the key, and a row alone is told apart', async () => {
  const room = await dataRoom(`
    CREATE COLLATION german (provider = icu, locale = 'de-u-ks-level2', deterministic = false);
    CREATE TABLE mixed (a int NOT NULL, b text COLLATE german NOT NULL, v int);
    CREATE UNIQUE INDEX mixed_key ON mixed (a DESC, b);
    INSERT INTO mixed SELECT i, chr(96 + j), 0 FROM generate_series(1, 12) i, generate_series(1, 4) j;
    CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
    CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
    INSERT INTO parts SELECT generate_series(1, 19);
    CREATE TABLE ledgerless (id int)`);
  await register(room);
  const note = async (table: string, step: string, lower: string[] | null, upper: string[] | null): Promise<void> => {
    const run: RunRef = room.bench.run();
    const line = { run, step, direction: 'up', kind: 'backfill', object: `"public"."${table}"`, rows: 1 } as const;
    await recordLineage(room.database, { ...line, lower, upper, requestedBy: 'ana' });
  };
  // Falls by a, rises by b: 12a, 12b, …, 11a, …
  await note('mixed', 'to-9b', null, ['9', 'b']);
  await note('mixed', 'from-9b', ['9', 'b'], ['2', 'c']);
  await note('mixed', 'the-rest', ['2', 'c'], null);
  await note('mixed', 'alone', ['9', 'B'], ['9', 'B']);
  await note('mixed', 'other-key', null, ['5']);
  await note('mixed', 'whole', null, null);
  const always = ['other-key maybe', 'whole in-range'];
  expect(await changesOf(room, 'mixed', '10', 'a')).toEqual(['to-9b in-range', ...always]);
  expect(await changesOf(room, 'mixed', '9', 'b')).toEqual(['to-9b in-range', 'alone this-row', ...always]);
  expect(await changesOf(room, 'mixed', '9', 'c')).toEqual(['from-9b in-range', ...always]);
  expect(await changesOf(room, 'mixed', '2', 'D')).toEqual(['the-rest in-range', ...always]);

  await room.query(
    `UPDATE switchback.migrations SET plan = '{"spec": {"phases": [{"steps": [{"id": "the-rest", "key": ["b", "a"]}, {"id": "pairs", "of": "sync"}]}]}}'`,
  );
  expect(await changesOf(room, 'mixed', '10', 'a')).toEqual(['to-9b in-range', 'the-rest maybe', ...always]);
  await room.query(
    `INSERT INTO switchback.steps (migration, version, epoch, step, phase, kind, state, generation, detail)
     VALUES ($1, 1, 1, 'sync', 'main', 'dual-write', 'applied', 1, $2)`,
    [
      NAME,
      JSON.stringify({
        tableSync: { schema: 'public', from: { table: 'elders' }, to: { table: 'mixed', key: ['a', 'b'] } },
      }),
    ],
  );
  await note('elders', 'pairs', null, ['9', 'b']);
  await note('elders', 'no-pairs', null, ['9', 'b']);
  expect(await changesOf(room, 'mixed', '12', 'd')).toContain('pairs in-range');
  expect(await changesOf(room, 'mixed', '12', 'd')).not.toContain('no-pairs in-range');
  expect(await changesOf(room, 'mixed', '2', 'a')).not.toContain('pairs in-range');

  await note('parts', 'all-parts', null, ['19']);
  await note('parts_1', 'first-part', null, null);
  expect(await changesOf(room, 'parts', '3')).toEqual(['all-parts in-range', 'first-part in-range']);
  expect(await changesOf(room, 'parts', '13')).toEqual(['all-parts in-range']);
  expect(await changesOf(room, 'parts_1', '3')).toEqual(['all-parts in-range', 'first-part in-range']);

  const refused: [string, string[], string][] = [
    ['mixed', ['9'], '1 keys were given, 2 are needed: the key of "public"."mixed" is ("a" integer, "b" text)'],
    ['mixed', ['nine', 'b'], 'the key given is of another type'],
    ['nowhere', ['1'], 'there is no table "nowhere"'],
    ['ledgerless', ['1'], 'no primary key'],
  ];
  for (const [table, key, words] of refused) await expect(auditOf(room, { table, key })).rejects.toThrow(words);
  await expect(auditOf(room, undefined, { name: 'nobody' })).rejects.toMatchObject({ code: 'UnknownMigration' });
});

test('of a labelled table keys are hashes in the answer, and in a question that is kept', async () => {
  const room = await dataRoom(`
    CREATE TABLE people (email text PRIMARY KEY, n int); INSERT INTO people VALUES ('ada@example.com', 0), ('bo@example.com', 0);
    CREATE TABLE pets (name text PRIMARY KEY); INSERT INTO pets VALUES ('#0123456789')`);
  await register(room, NAME, { pii: 'people' });
  await register(room, 'another');
  const run = room.bench.run();
  for (const [of, table] of [
    [run, 'people'],
    [{ ...run, migration: 'another' }, 'people'],
    [run, 'pets'],
  ] as const) {
    await recordLineage(room.database, {
      ...{ run: of, step: `of-${of.migration}`, direction: 'up', kind: 'backfill', object: `"public"."${table}"` },
      ...{ lower: null, upper: ['bo@example.com'], rows: 2, requestedBy: 'ana' },
    });
  }
  await room.query(
    `INSERT INTO switchback.row_errors (migration, version, epoch, step, key, sql_state, message)
     VALUES ($1, 1, 1, 'fill', '{ada@example.com}', '23505', 'Key (email)=(ada@example.com) already exists.')`,
    [NAME],
  );
  await room.query(
    `INSERT INTO switchback.steps (migration, version, epoch, step, phase, kind, state, generation, detail)
     VALUES ($1, 1, 1, 'fill', 'main', 'backfill', 'intended', 1, '{"object": "\\"public\\".\\"people\\""}')`,
    [NAME],
  );
  const hash = keyHash(await saltOf(room.database, run), ['ada@example.com']);
  const answer = await auditOf(room, { table: 'people', key: [hash] }, { plainKeys: false });
  expect(answer.row).toMatchObject({ key: hash, exists: true, setAside: [{ reason: 'unique_violation' }] });
  expect(answer.row?.changes.map(({ step }) => step)).toEqual(['of-test-migration', 'of-another']);
  expect(answer.ranges.map(({ table }) => table)).toEqual(['people', 'pets']);
  const { ranges, ...rest } = answer;
  expect(JSON.stringify([rest, ranges[0], auditText(answer)])).not.toMatch(/ada@|bo@/);
  const plain = await auditOf(room, { table: 'people', key: ['ada@example.com'] });
  expect(plain.row).toEqual(answer.row);
  await expect(auditOf(room, { table: 'people', key: ['ada@example.com'] }, { plainKeys: false })).rejects.toThrow(
    'its keys are no part of a question',
  );
  await expect(auditOf(room, { table: 'people', key: ['#0000000000'] })).rejects.toThrow('no row of "public.people"');
  // A key that only looks like a hash.
  expect((await auditOf(room, { table: 'pets', key: ['#0123456789'] })).row).toMatchObject({ key: '#0123456789' });
  const shut = new Database('away', { url: 'postgres://nobody:secret@127.0.0.1:1/none' });
  const partly = await readAudit([room.database, shut], room.database, { name: NAME }, { plainKeys: true });
  expect(partly.unread).toMatchObject([{ database: 'away' }]);
  expect(JSON.stringify(partly)).not.toContain('secret');
  await shut.close();
});
