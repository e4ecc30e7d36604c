import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Deps } from '../../src/activities/deps.ts';
import { createLiveCheck } from '../../src/activities/live-check.ts';
import { HomeLedger } from '../../src/adapters/postgres/home-ledger.ts';
import type { SwitchbackError } from '../../src/messages/index.ts';
import { planOf } from '../harness/engine.ts';
import { type AcrossRoom, acrossRoom } from './across-room.ts';

let room: AcrossRoom;
beforeAll(async () => {
  room = await acrossRoom();
});
afterAll(() => room.close());

/** `rows` people with ids from 1, in a table of this name. */
const people = (table: string, rows = 3_000): string => `
CREATE TABLE ${table} (id bigint PRIMARY KEY, name text, city text, note text);
INSERT INTO ${table} SELECT i, 'Name ' || i, CASE WHEN i % 7 > 0 THEN 'City ' || i % 7 END, 'n' FROM generate_series(1, ${rows}) i;
ANALYZE ${table}`;
const COLUMNS = ['name', 'city', 'note'];
/** The same table on both sides, compared under its own name. */
const sides = (table: string, columns: unknown = COLUMNS) => ({
  id: table.replaceAll('_', '-'),
  left: { database: 'left', table, columns },
  right: { database: 'right', table, columns },
});

test('equal tables are clean in one pass, and the second call only says so', async () => {
  await room.make(people('same'), people('same'));
  const clean = { note: '0 of 3,000 rows differ (1 pass)', progress: expect.objectContaining({ done: 3_000 }) };
  expect(await room.verify({ ...sides('same'), chunk: { rows: 500 } })).toEqual(clean);
  expect((await room.verify(sides('same'))).note).toBe(clean.note);
});

test('every kind of difference is found, by its key', async () => {
  await room.make(people('planted', 6_000), people('planted', 6_000));
  await room.query(
    'right',
    `DELETE FROM public.planted WHERE id IN (1, 6000);
     INSERT INTO public.planted VALUES (-5, 'before the first'), (7000, 'after the last');
     UPDATE public.planted SET name = 'other' WHERE id = 20;
     UPDATE public.planted SET city = '' WHERE id = 28;
     UPDATE public.planted SET name = city, city = name WHERE id = 31;
     UPDATE public.planted p SET name = q.name FROM public.planted q
       WHERE (p.id = 41 AND q.id = 42) OR (p.id = 42 AND q.id = 41)`,
  );
  const step = { ...sides('planted'), onMismatch: 'fail', chunk: { rows: 1_000 } };
  const failure = (await room.verify(step).catch((error: SwitchbackError) => error)) as SwitchbackError;
  expect(failure).toMatchObject({ code: 'VerifyMismatch', retry: false, fields: { differing: 9 } });
  expect(failure.fields['keys']).toBe('-5, 1, 20, 28, 31, 41, 42, 6000, 7000');
});

test('the right side is made like the left, and a whole clean pass follows', async () => {
  await room.make(people('mended'), people('mended'));
  await room.query(
    'right',
    `DELETE FROM public.mended WHERE id IN (1, 3000); INSERT INTO public.mended VALUES (-5, 'extra'), (9000, 'extra');
     UPDATE public.mended SET name = 'other', note = NULL WHERE id IN (20, 2000)`,
  );
  const result = await room.verify({ ...sides('mended'), chunk: { rows: 500 } });
  expect(result.note).toBe('0 of 3,000 rows differ (2 passes, 6 repaired)');
  const rows = 'SELECT count(*), bit_xor(hashtextextended(m::text, 0)) FROM public.mended m';
  expect(await room.query('right', rows)).toEqual(await room.query('left', rows));
  expect(
    await room.query(
      'right',
      `SELECT lower_key[1] AS key, rows_changed AS rows, before_digest = 0 AS was_missing, after_digest = 0 AS is_gone
       FROM switchback.lineage WHERE step = 'mended' ORDER BY 1`,
    ),
  ).toEqual([
    { key: '-5', rows: '1', was_missing: 'f', is_gone: 't' },
    { key: '1', rows: '1', was_missing: 't', is_gone: 'f' },
    { key: '20', rows: '1', was_missing: 'f', is_gone: 'f' },
    { key: '2000', rows: '1', was_missing: 'f', is_gone: 'f' },
    { key: '3000', rows: '1', was_missing: 't', is_gone: 'f' },
    { key: '9000', rows: '1', was_missing: 'f', is_gone: 't' },
  ]);
});

test('what the right side does not take is told, and the rest is repaired', async () => {
  await room.make(
    people('refused', 100),
    `${people('refused', 100)}; ALTER TABLE refused ADD CHECK (name <> 'Name 7') NOT VALID;
     CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN new.city := upper(new.city); RETURN new; END';
     UPDATE refused SET name = 'x' WHERE id IN (7, 8, 9);
     CREATE TRIGGER shout BEFORE UPDATE ON refused FOR EACH ROW WHEN (new.id = 8) EXECUTE FUNCTION shout()`,
  );
  await expect(room.verify(sides('refused'))).rejects.toMatchObject({
    code: 'VerifyMismatch',
    message: '2 of 100 rows differ between both sides of step "refused": key 7, 8',
    hint: expect.stringContaining('did not take'),
  });
  const names = "SELECT string_agg(name, ', ' ORDER BY id) AS names FROM public.refused WHERE id IN (7, 8, 9)";
  expect(await room.query('right', names)).toEqual([{ names: 'x, x, Name 9' }]);
});

test('a row whose deletion would reach other tables stays; a deferred constraint speaks up for its row alone', async () => {
  await room.make(
    people('reached', 50),
    `${people('reached', 50)}; INSERT INTO reached VALUES (60, 'extra');
     CREATE TABLE orders (id int PRIMARY KEY, of bigint REFERENCES reached ON DELETE CASCADE); INSERT INTO orders VALUES (1, 60);
     ALTER TABLE reached ADD CONSTRAINT one_name UNIQUE (name) DEFERRABLE INITIALLY DEFERRED;
     UPDATE reached SET name = 'x' WHERE id = 3; UPDATE reached SET name = 'Name 4' WHERE id = 60; UPDATE reached SET name = 'y' WHERE id = 4`,
  );
  await expect(room.verify(sides('reached'))).rejects.toMatchObject({
    message: '2 of 51 rows differ between both sides of step "reached": key 4, 60',
  });
  expect(await room.query('right', 'SELECT count(*) FROM public.orders')).toEqual([{ count: '1' }]);
  expect(await room.query('right', 'SELECT name FROM public.reached WHERE id = 3')).toEqual([{ name: 'Name 3' }]);
});

test('expressions stand for columns; where the right side has one, a repair is refused by name', async () => {
  await room.make(
    `CREATE TABLE spelt (id int PRIMARY KEY, full_name text); INSERT INTO spelt SELECT i, 'Ada L' || i FROM generate_series(1, 50) i`,
    `CREATE TABLE spelt (id int PRIMARY KEY, given text, family text);
     INSERT INTO spelt SELECT i, 'Ada', 'L' || i FROM generate_series(1, 50) i; UPDATE spelt SET family = 'M' WHERE id = 5`,
  );
  const left = { database: 'left', table: 'spelt' };
  const right = { database: 'right', table: 'spelt' };
  const whole = { name: "given || ' ' || family" };
  const step = { left: { ...left, columns: { name: 'full_name' } }, right: { ...right, columns: whole } };
  await expect(room.verify({ ...step, id: 'spelt' })).rejects.toMatchObject({
    code: 'StatementFailed',
    message: expect.stringContaining('can\'t repair "name"'),
  });
  await expect(room.verify({ ...step, id: 'spelt-hold', onMismatch: 'hold' })).rejects.toMatchObject({
    code: 'VerifyMismatch',
    fields: { differing: 1, keys: '5', hold: true },
  });
  const parts = { first: "split_part(full_name, ' ', 1)", last: "split_part(full_name, ' ', 2)" };
  const mended = await room.verify({
    id: 'spelt-parts',
    left: { ...left, columns: parts },
    right: { ...right, columns: { first: 'given', last: 'family' } },
  });
  expect(mended.note).toBe('0 of 50 rows differ (2 passes, 1 repaired)');
});

test('what is not there or can not be compared is told with its side and name', async () => {
  await room.make(people('strange', 10), people('strange', 10));
  const right = { database: 'right', table: 'strange', columns: ['name'] };
  for (const [columns, message] of [
    [['nmae'], '"public"."strange" has no column "nmae"'],
    [{ name: 'nmae' }, 'left.columns.name: left: column "nmae" does not exist'],
    [
      { name: '(SELECT max(s.name) FROM public.strange s)' },
      'left.columns.name may read the columns of its own row only',
    ],
  ] as const) {
    const left = { database: 'left', table: 'strange', columns };
    await expect(
      room.verify({
        id: 'strange',
        left,
        right: { ...right, columns: Object.keys(columns)[0] === '0' ? columns : ['name'] },
      }),
    ).rejects.toMatchObject({
      code: 'StatementFailed',
      message: expect.stringContaining(message),
    });
  }
});

test('an interrupted pass goes on where it was', async () => {
  await room.make(people('stopped'), people('stopped'));
  const stop = new AbortController();
  const reason = new Error('interrupted');
  const step = { ...sides('stopped'), chunk: { rows: 100, fixed: true } };
  let reports = 0;
  const options = { signal: stop.signal, onNote: () => ++reports > 5 && stop.abort(reason) };
  await expect(room.verify(step, options)).rejects.toBe(reason);
  const ranges =
    "SELECT count(*) FILTER (WHERE state = 'done') AS done, count(*) FROM switchback.ranges WHERE step = 'stopped'";
  const [counts] = await room.query('right', ranges);
  expect(Number(counts?.['done'])).toBeGreaterThan(0);
  expect(Number(counts?.['done'])).toBeLessThan(Number(counts?.['count']));
  // What is planted behind the cursor is not seen by this pass; what comes after is.
  await room.query('right', "UPDATE public.stopped SET name = 'other' WHERE id = 2999");
  expect((await room.verify(step)).note).toBe('0 of 3,000 rows differ (2 passes, 1 repaired)');
});

test('interrupted while it looks again, it forgets no row', async () => {
  await room.make(people('looking'), people('looking'));
  await room.query('right', "UPDATE public.looking SET name = 'other' WHERE id % 1000 = 1");
  const stop = new AbortController();
  const reason = new Error('interrupted');
  const onNote = (note: string) => note.includes('are looked at again') && stop.abort(reason);
  const step = { ...sides('looking'), settle: '1s' };
  await expect(room.verify(step, { signal: stop.signal, onNote })).rejects.toBe(reason);
  const suspects = "SELECT count(*) FROM switchback.suspects WHERE step = 'looking'";
  expect(await room.query('right', suspects)).toEqual([{ count: '3' }]);
  expect((await room.verify(step)).note).toBe('0 of 3,000 rows differ (2 passes, 3 repaired)');
  expect(await room.query('right', suspects)).toEqual([{ count: '0' }]);
});

test('values are shown where the plan asks for them', async () => {
  await room.make(people('shown', 20), people('shown', 20));
  await room.query(
    'right',
    "UPDATE public.shown SET name = 'other', city = NULL WHERE id = 3; DELETE FROM public.shown WHERE id = 4",
  );
  const step = { ...sides('shown'), onMismatch: 'fail' };
  const told = "2 of 20 rows differ between both sides of step \"shown\": key 3, 4; 3: name is 'other', not 'Name 3'";
  await expect(room.verify({ ...step, showValues: true })).rejects.toMatchObject({
    message: `${told}, city is NULL, not 'City 3'; 4 is only on the left`,
  });
  await expect(room.verify({ ...step, id: 'hidden' })).rejects.toMatchObject({
    message: '2 of 20 rows differ between both sides of step "hidden": key 3, 4',
  });
  await expect(room.verify({ ...step, id: 'counted', aggregates: [{ count: '*' }] })).rejects.toMatchObject({
    message: '2 of 20 rows differ between both sides of step "counted": key 3, 4; count of * differs',
  });
});

test('aggregates of both sides must agree too', async () => {
  const table = (type: string) => `CREATE TABLE summed (id int PRIMARY KEY, amount ${type}, currency text);
    INSERT INTO summed SELECT i, i * 1.50, CASE i % 2 WHEN 0 THEN 'EUR' ELSE 'NOK' END FROM generate_series(1, 40) i`;
  await room.make(table('numeric(10, 2)'), table('numeric'));
  const step = sides('summed', ['amount', 'currency']);
  const aggregates = [{ sum: 'amount', count: '*', min: 'amount', by: 'currency' }];
  expect((await room.verify({ ...step, aggregates })).note).toBe('0 of 40 rows differ (1 pass)');
  // What isn't a function of the row differs from side to side.
  await expect(
    room.verify({ ...step, id: 'apart', showValues: true, aggregates: [{ max: 'current_database()' }] }),
  ).rejects.toMatchObject({
    code: 'VerifyMismatch',
    message: expect.stringMatching(
      /^the rows agree and the aggregates don't: max of current_database\(\) differs \(max across_\w+, not max across_\w+\)$/,
    ),
    fields: { hold: true },
  });
});

test('check sees before the run what can not be compared', async () => {
  await room.make(
    'CREATE TABLE seen (id int PRIMARY KEY, a text); CREATE TABLE bare (id int PRIMARY KEY, a text)',
    'CREATE TABLE seen (id text PRIMARY KEY, a text); CREATE TABLE bare (id int, a text)',
  );
  const home = new HomeLedger(room.databases.get('left'));
  const deps = { databases: room.databases, home, unleash: null, approvers: {} } as Partial<Deps> as Deps;
  const compare = (table: string, more: object = {}) => ({
    ...{ uses: 'verify' as const, id: `of-${table}` },
    left: { database: 'left', table, columns: ['a'] },
    right: { database: 'right', table, columns: ['a'] },
    ...more,
  });
  const wrong = { id: 'wrong', right: { database: 'right', table: 'seen', columns: { a: "a || 'x'" } } };
  const steps = [compare('seen'), compare('bare'), compare('seen', wrong), compare('nowhere')];
  const { problems, notes } = await createLiveCheck(deps).checkLive({
    plan: planOf('live', [{ name: 'one', steps }]),
  });
  expect(problems.filter((problem) => !problem.includes('nowhere')).map((problem) => problem.split(' (')[0])).toEqual([
    'one/of-bare: table "public"."bare" has no primary key and no unique index over NOT NULL columns',
    'one/wrong: step "wrong" can\'t repair "a": right.columns has an expression for it, not a column',
  ]);
  expect(problems.filter((problem) => problem.includes('nowhere'))).toHaveLength(2);
  expect(notes.join()).toContain('one/of-seen: id (integer) and id (text) may not be sorted alike');
});

// Last: the fence stays where it is.
test('a worker that was fenced off on either side changes nothing', async () => {
  await room.make(people('fenced', 500), people('fenced', 500));
  await room.query('right', "UPDATE public.fenced SET name = 'other' WHERE id = 7");
  for (const [generation, side] of [
    [1, 'left'],
    [2, 'right'],
  ] as const) {
    const raised: Promise<void>[] = [];
    const onNote = (note: string) => {
      if (note.includes('looked at again')) raised.push(room.raiseFence(side, generation + 1));
    };
    const step = { ...sides('fenced'), settle: '500ms' };
    await expect(room.verify(step, { onNote, run: { generation } })).rejects.toMatchObject({ code: 'Fenced' });
    await Promise.all(raised);
    expect(await room.query('right', 'SELECT name FROM public.fenced WHERE id = 7')).toEqual([{ name: 'other' }]);
    for (const other of ['left', 'right'] as const) await room.raiseFence(other, generation + 1);
  }
  const done = await room.verify(sides('fenced'), { run: { generation: 3 } });
  expect(done.note).toBe('0 of 500 rows differ (2 passes, 1 repaired)');
});
