import { afterAll, beforeAll, expect, test } from 'vitest';
import { forgetImages } from '../../src/adapters/postgres/before-images.ts';
import { type Postgres14, postgres14 } from '../harness/postgres-14.ts';
import { clientOf, gateAt } from '../must-pass/gate.ts';
import { type DataRoom, dataRoom, effects, users } from './room.ts';

const { dualWrite, backfill } = effects;
const small = { chunk: { rows: 100, fixed: true }, preserve: true };
const step = { ...small, set: { note: "coalesce(note, '') || '!'" } };
const IMAGED = 'SELECT coalesce(sum(rows), 0) FROM switchback.before_images';
const NOTES = 'SELECT id, note FROM public.users ORDER BY id';
const undo = (
  room: DataRoom,
  input: ReturnType<DataRoom['backfill']>,
  context = room.bench.context(),
): ReturnType<typeof backfill.down> => backfill.down({ ...input, direction: 'down' }, context);

let oldest: Postgres14;
beforeAll(async () => {
  oldest = await postgres14();
}, 120_000);
afterAll(() => oldest.stop());

/** Names of 1,000 people, of whom every second has a note. */
const noted = (postgresUrl?: string): Promise<DataRoom> =>
  dataRoom(`${users(1_000)}; UPDATE users SET note = 'n' || id WHERE id % 2 = 0`, postgresUrl);

test.each([
  ['18', (): string | undefined => undefined],
  ['14', (): string | undefined => oldest.url],
])('on %s rows get back what they held, but not those that clients have changed, deleted or moved', async (_, url) => {
  const room = await noted(url());
  const before = await room.query('SELECT * FROM public.users ORDER BY id');
  const input = room.backfill(step);
  await backfill.up(input, room.bench.context());
  expect(await room.value(IMAGED)).toBe('1000');
  await room.query(`UPDATE public.users SET note = 'mine' WHERE id IN (10, 11); UPDATE public.users SET full_name = 'x' WHERE id = 12;
    DELETE FROM public.users WHERE id = 500; UPDATE public.users SET id = 5000 WHERE id = 600`);
  expect((await undo(room, input)).note).toBe(
    '996 of 1,000 rows hold again what they held; 2 rows that clients have changed since keep their values; 2 rows were deleted or have another key by now',
  );
  const expected = before.flatMap((row) => {
    const id = Number(row['id']);
    if (id === 500 || id === 600) return [];
    if (id === 10 || id === 11) return [{ ...row, note: 'mine' }];
    return [id === 12 ? { ...row, full_name: 'x' } : row];
  });
  expect(await room.query('SELECT * FROM public.users WHERE id <> 5000 ORDER BY id')).toEqual(expected);
  expect(await room.value('SELECT note FROM public.users WHERE id = 5000')).toBe('n600!');
  expect(await room.value(IMAGED)).toBe('0');
  expect((await undo(room, input)).note).toContain('996 of 1,000 rows');
});

const VALUES: Readonly<Record<string, readonly (string | null)[]>> = {
  bigint: ['9223372036854775807', '-1', null],
  'numeric(20,4)': ['1.0000', '12345678901234.5678', 'NaN'],
  numeric: ['1.0', '1.00', null],
  'double precision': ['0.1', '-0', 'NaN'],
  timestamptz: ['2026-01-02 03:04:05.123456+02', 'infinity', null],
  interval: ['1 mon 2 days 03:04:05.000001', '-1 day', null],
  json: ['{"b":  1, "a": 12345678901234567890}', 'null', null],
  jsonb: ['{"b": 1, "a": 12345678901234567890}', '"\\ud83d\\ude00"', null],
  bytea: ['\\x00ff', '', null],
  'text[]': ['{a,NULL,"b,\\"c"}', '[2:3]={x,y}', '{}'],
  'character(4)': ['ab', '', null],
  'bit varying(5)': ['101', '', null],
  uuid: ['3b241101-e2bb-4255-8caf-4136c566a962', null, null],
  '"Mood"': ['o k', 'sad', null],
  positive: ['1', '7', null],
};

test('every value comes back as it was, along a key of two columns and mixed directions', async () => {
  const columns = Object.keys(VALUES).map((type, at) => ({ type, name: `c${at}` }));
  const rows = [0, 1, 2].map((at) => Object.values(VALUES).map((of) => of[at] ?? null));
  const room =
    await dataRoom(`CREATE TYPE "Mood" AS ENUM ('o k', 'sad'); CREATE DOMAIN positive AS int CHECK (value > 0);
    CREATE TABLE users (a text COLLATE "C" NOT NULL, "B c" bigint NOT NULL, ${columns.map(({ name, type }) => `${name} ${type}`).join(', ')});
    CREATE UNIQUE INDEX by_both ON users (a DESC, "B c")`);
  for (const [at, values] of rows.entries()) {
    const casts = columns.map(
      ({ type }, n) => `$${n + 2}::text::${type === '"Mood"' || type === 'positive' ? `public.${type}` : type}`,
    );
    await room.query(`INSERT INTO public.users VALUES ('k', $1, ${casts.join(', ')})`, [at, ...values]);
  }
  const all = 'SELECT u::text AS "row" FROM public.users u ORDER BY "B c"';
  const before = await room.query(all);
  const input = room.backfill({ ...small, set: Object.fromEntries(columns.map(({ name }) => [name, 'NULL'])) });
  await backfill.up(input, room.bench.context());
  expect(await room.value('SELECT count(*) FROM public.users WHERE num_nonnulls(c0, c1, c6) > 0')).toBe('0');
  await undo(room, input);
  expect(await room.query(all)).toEqual(before);
});

test('with a dual write the new side comes back and nothing is derived from it', async () => {
  const room = await dataRoom(`${users(300)}; UPDATE users SET given_name = 'was' || id, family_name = NULL`);
  await dualWrite.up(room.dualWrite(), room.bench.context());
  const input = room.backfill(small);
  await backfill.up(input, room.bench.context());
  const names = await room.query('SELECT id, full_name FROM public.users ORDER BY id');
  await room.query(`UPDATE public.users SET note = 'unrelated' WHERE id = 20; UPDATE public.users SET full_name = 'Old Client' WHERE id = 30;
    UPDATE public.users SET given_name = 'New' WHERE id = 40`);
  expect((await undo(room, input)).note).toMatch(
    /^298 of 300 rows hold again.*; 2 rows that clients have changed since/,
  );
  const after = await room.query('SELECT id, full_name FROM public.users ORDER BY id');
  const written = ['30', '40'];
  expect(after.filter(({ id }) => !written.includes(id ?? ''))).toEqual(
    names.filter(({ id }) => !written.includes(id ?? '')),
  );
  expect(
    await room.query(
      'SELECT id, full_name, given_name, family_name FROM public.users WHERE id IN (20, 30, 40) ORDER BY id',
    ),
  ).toEqual([
    { id: '20', full_name: 'Solo20', given_name: 'was20', family_name: null },
    { id: '30', full_name: 'Old Client', given_name: 'Old', family_name: 'Client' },
    { id: '40', full_name: 'New', given_name: 'New', family_name: null },
  ]);
  await room.query("UPDATE public.users SET full_name = 'Still Kept' WHERE id = 50");
  expect(await room.value('SELECT given_name FROM public.users WHERE id = 50')).toBe('Still');
});

test('an image holds what the update saw, also where a client came between', async () => {
  const room = await noted();
  const client = await clientOf(room);
  await client.query('BEGIN; UPDATE users SET full_name = NULL WHERE id = 1');
  const input = room.backfill(step);
  const filling = backfill.up(input, room.bench.context());
  await Promise.race([client.isWaitedFor(), filling]);
  await room.query("UPDATE public.users SET note = 'client' WHERE id = 50");
  await client.query('COMMIT');
  await filling;
  expect(await room.value('SELECT note FROM public.users WHERE id = 50')).toBe('client!');
  await undo(room, input);
  expect(await room.value('SELECT note FROM public.users WHERE id = 50')).toBe('client');
});

test.each([
  ['with a trigger of the user on 18', (): string | undefined => undefined],
  ['before 18', (): string | undefined => oldest.url],
])('%s clients wait for the rows whose images are taken, and their values stay', async (_, url) => {
  const room = await noted(url());
  const gate = await gateAt(room, 'old.id = 1');
  const client = await clientOf(room);
  const input = room.backfill(step);
  const filling = backfill.up(input, room.bench.context());
  await gate.reached(filling);
  const writing = client.query("UPDATE users SET note = note || ' client' WHERE id = 50");
  await gate.open();
  await Promise.all([filling, writing]);
  expect(await room.value('SELECT note FROM public.users WHERE id = 50')).toBe('n50! client');
  await undo(room, input);
  expect(await room.value('SELECT note FROM public.users WHERE id = 50')).toBe('n50! client');
  expect(await room.value('SELECT note FROM public.users WHERE id = 52')).toBe('n52');
});

test('a worker that dies in the middle of the way back, a client that comes between: the next one goes on', async () => {
  const room = await noted();
  const before = await room.query(NOTES);
  const input = room.backfill(step);
  await backfill.up(input, room.bench.context());
  const gate = await gateAt(room, 'old.id = 501');
  const dying = undo(room, input);
  await gate.reached(dying);
  await room.query(`UPDATE public.users SET note = 'client' WHERE id = 550;
    SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 4242 AND NOT granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);
  await expect(dying).rejects.toMatchObject({ code: 'DatabaseUnreachable', retry: true });
  expect(await room.value(IMAGED)).toBe('600');
  const next = undo(room, input);
  await gate.reached(next);
  await room.query("UPDATE public.users SET note = 'between' WHERE id = 560");
  await gate.open();
  expect((await next).note).toContain('998 of 1,000 rows hold again what they held; 2 rows that clients');
  expect(await room.query(NOTES)).toEqual(
    before.map((row) => ({ ...row, note: { 550: 'client', 560: 'between' }[Number(row['id'])] ?? row['note'] })),
  );
});

test('a worker whose generation is over gives nothing back', async () => {
  const room = await noted();
  const input = room.backfill(step);
  await backfill.up(input, room.bench.context());
  const gate = await gateAt(room, 'old.id = 501');
  const frozen = undo(room, input);
  await gate.reached(frozen);
  const raised = room.bench.raiseFence(2);
  await gate.open();
  await raised;
  const left = await room.value(IMAGED);
  await expect(frozen).rejects.toMatchObject({ code: 'Fenced' });
  expect(await room.value(IMAGED)).toBe(left);
  await undo(room, { ...input, run: room.bench.run({ generation: 2 }) });
  expect(await room.value("SELECT count(*) FROM public.users WHERE note LIKE '%!'")).toBe('0');
});

test('a row that can’t take back what it held is named; the others are restored, and it is once it can', async () => {
  const room = await noted();
  const before = await room.query(NOTES);
  const input = room.backfill(step);
  await backfill.up(input, room.bench.context());
  await room.query("ALTER TABLE public.users ADD CONSTRAINT later CHECK (note <> 'n70') NOT VALID");
  await expect(undo(room, input)).rejects.toMatchObject({ code: 'RowErrors', retry: false, fields: { keys: '70' } });
  expect(await room.value("SELECT count(*) FROM public.users WHERE note LIKE '%!'")).toBe('1');
  expect(await room.value('SELECT key || sql_state FROM switchback.row_errors')).toBe('{70,23514}');
  await room.query('ALTER TABLE public.users DROP CONSTRAINT later');
  expect((await undo(room, input)).note).toBe('1,000 of 1,000 rows hold again what they held');
  expect(await room.query(NOTES)).toEqual(before);
});

test('digests of a range are those of its rows before and after, there and back; images go with a run that completes', async () => {
  const room = await noted();
  const digest =
    'SELECT bit_xor(hashint8extended(id, id # coalesce(hashtextextended(note COLLATE "C", 1), 1))) FROM public.users';
  const before = await room.value(digest);
  const input = room.backfill(step);
  await backfill.up(input, room.bench.context());
  const after = await room.value(digest);
  const lineage = 'SELECT direction, before_digest, after_digest, rows_changed FROM switchback.lineage ORDER BY id';
  const there = { direction: 'up', before_digest: before, after_digest: after, rows_changed: '1000' };
  expect(await room.query(lineage)).toEqual([there]);
  await undo(room, input);
  expect(await room.query(lineage)).toEqual([
    there,
    { direction: 'down', before_digest: after, after_digest: before, rows_changed: '1000' },
  ]);
  const again = room.backfill({ ...step, id: 'again' });
  await backfill.up(again, room.bench.context());
  expect(await room.value(IMAGED)).toBe('1000');
  await forgetImages(room.database, room.bench.run());
  expect(await room.value(IMAGED)).toBe('0');
});

test('a table without a key has no place for images, and says so', async () => {
  const room = await dataRoom('CREATE TABLE users (a int, note text); INSERT INTO users VALUES (1, NULL)');
  await expect(backfill.up(room.backfill(step), room.bench.context())).rejects.toMatchObject({
    code: 'KeyMissing',
    message: expect.stringContaining('preserve'),
  });
});
